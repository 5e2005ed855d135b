"""A task that is not ours: all it takes is a class and a call of `register`."""

import dataclasses

import cv2
import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.data.record_check import write_samples
from nlrn_tf.data.records import ensure_records
from nlrn_tf.datasets.benchmarks import BENCHMARKS, Benchmark
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.colour import rgb_to_grey
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.settings import RestorationSettings
from nlrn_tf.tasks import registry
from nlrn_tf.tasks.task import Task
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.trainer import train
from nlrn_tf.weights.loading import save_model

QUALITY = 10


class JpegArtefacts(Task):
    """Grey images compressed as JPEG of quality 10."""

    name = "jpeg"
    title = "JPEG artefacts"
    channel = "grey"
    input_name = "compressed"

    def pair(self, path, index):
        clean = rgb_to_grey(read_image(path))
        _, content = cv2.imencode(".jpg", clean, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return clean, cv2.imdecode(content, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255

    def example(self, take, draws, noise_seed, config):
        import tensorflow as tf

        clean = tf.ensure_shape(take(config.patch_size), [config.patch_size] * 2 + [1])
        return tf.image.adjust_jpeg_quality(clean, QUALITY), clean

    def short(self):
        return "10"

    def protocol_note(self):
        return "Grey, whole image."

    def purpose(self, config):
        return "JPEG of quality 10"

    def default_weights(self):
        return "jpeg"


@pytest.fixture
def jpeg(monkeypatch):
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    registry.register(JpegArtefacts())


@pytest.fixture
def photos(tmp_path):
    y, x = np.mgrid[:48, :56]
    for number, name in enumerate("abc"):
        for folder, length in (("photos", 5), ("others", 6)):
            wave = np.sin(x / (3 + number)) * np.cos(y / length)
            write_image(tmp_path / folder / f"{name}.png", (128 + 90 * wave).astype(np.uint8))
    return tmp_path


SETTINGS = {
    "task": "jpeg",
    "sources": ("photos",),
    "filters": (8,),
    "embedding_size": (4,),
    "window_size": 15,
    "num_states": (2,),
    "patch_size": (15,),
    "batch_size": (8,),
    "steps": 60,
    "learning_rate": 3e-3,
    "lr_schedule": "cosine",
    "validation_images": ("photos/c",),
}


def test_a_third_task_trains_evaluates_and_restores(jpeg, photos, monkeypatch):
    monkeypatch.setitem(BENCHMARKS, "Waves", Benchmark("others", 3, "jpeg"))
    config = TrainingConfig.of(**SETTINGS)
    weights = train(config, workdir=photos / "run", data_dir=photos)
    model = nlrn_tf.load_model(weights)
    assert (model.config.task, model.config.noise_sigma) == ("jpeg", None)
    settings = EvaluationSettings("Waves", weights=str(weights), precision="float32")
    result = evaluate(settings, data_dir=photos, json_path=photos / "scores.json")
    assert (result["task"], "scale" in result, "noise_sigma" in result) == ("jpeg", False, False)
    assert result["psnr"] > result["input_psnr"]
    again = evaluate(settings, data_dir=photos, json_path=photos / "scores.json")
    assert again == result
    restoration = RestorationSettings(weights=str(weights), task="jpeg", precision="float32")
    degraded = (JpegArtefacts().pair(photos / "photos" / "a.png", 0)[1] * 255).round()
    write_image(photos / "in.png", degraded.astype(np.uint8))
    restore_files(restoration, [photos / "in.png"], photos / "out.png")
    expected = nlrn_tf.restore(model, read_image(photos / "in.png"))
    difference = read_image(photos / "out.png").astype(int) - expected
    assert np.abs(difference).max() <= 1


def test_its_records_are_those_of_its_channel_and_do_not_replace_another_task(jpeg, photos):
    """Two tasks learn from grey images; the samples are of the first unless told."""
    records = ensure_records(photos / "r", photos, sources=["photos"], channel="grey")
    write_samples(photos / "noisy.png", records, patch_size=15)
    write_samples(photos / "jpeg.png", records, patch_size=15, task="jpeg")
    noisy, compressed = read_image(photos / "noisy.png"), read_image(photos / "jpeg.png")
    assert noisy.shape == compressed.shape
    assert np.abs(noisy.astype(int) - compressed).mean() > 5


def test_weights_for_it_are_refused_for_another_task(jpeg, photos):
    tiny = nlrn_tf.NLRNConfig(filters=4, embedding_size=2, num_states=1, window_size=5)
    weights = photos / "jpeg.keras"
    model = nlrn_tf.NLRN(dataclasses.replace(tiny, task="jpeg"))
    save_model(model, weights)
    write_image(photos / "Set12" / "01.png", np.zeros((20, 20), np.uint8))
    settings = EvaluationSettings("Set12", noise_sigma=25, weights=str(weights), max_images=1)
    with pytest.raises(NLRNError, match="are for task jpeg, not denoise"):
        evaluate(settings, data_dir=photos)


def test_an_unknown_task_is_named():
    with pytest.raises(NLRNError, match="task='inpaint' is unknown: choose one of denoise, sr"):
        registry.task_named("inpaint")
