import json
from pathlib import Path

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.data.benchmarks import benchmark_images, denoising_pair
from nlrn_tf.errors import NLRNError
from nlrn_tf.images import to_uint8
from nlrn_tf.metrics import psnr
from nlrn_tf.packaged import manifest, save_model
from nlrn_tf.packaging import package_weights
from nlrn_tf.restoration import predict
from nlrn_tf.training.checkpoint import Checkpoint, save_checkpoint
from nlrn_tf.training.history import read_history, record_start


@pytest.fixture
def run(tmp_path):
    """A work folder as training leaves it."""
    config = nlrn_tf.NLRNConfig(4, 2, 2, 5, task="denoise", noise_sigma=25.0)
    save_model(nlrn_tf.NLRN(config), tmp_path / "weights.keras")
    (tmp_path / "curve.csv").write_text("step,minutes\n5,1.5\n")
    checkpoint = Checkpoint({"trainable": [np.zeros(2)]}, step=5, minutes=1.5, best=28.0)
    save_checkpoint(tmp_path / "checkpoints", checkpoint, keep=1)
    record_start(tmp_path, ["run_train.py", "--flagfile=my flags.cfg"])
    return tmp_path


def test_history_grows_with_each_start(run):
    record_start(run, ["run_train.py", "--steps=2"])
    first, second = read_history(run)
    assert first["command"] == "python run_train.py '--flagfile=my flags.cfg'"
    assert second["command"].endswith("--steps=2")
    assert "cores" in first["machine"]


def test_weights_curve_and_entry_are_written(run, tmp_path):
    scores = tmp_path / "set12.json"
    image = {"name": "01.png", "psnr": 29.5, "ssim": 0.8, "seconds": 3.0}
    result = {"dataset": "Set12", "task": "denoise", "noise_sigma": 25, "protocol": "full"}
    scores.write_text(json.dumps({**result, "psnr": 29.5, "ssim": 0.8, "images": [image] * 3}))
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"other": {}}')
    entry = package_weights("denoise_s25", run, [scores], folder)
    written = json.loads((folder / "manifest.json").read_text())
    assert set(written) == {"denoise_s25", "other"}
    assert written["denoise_s25"] == json.loads(json.dumps(entry))
    assert (entry["steps"], entry["minutes"]) == (5, 1.5)
    assert entry["scores"][0]["psnr"] == 29.5
    assert entry["scores"][0]["images"] == {"01.png": 29.5}
    assert (folder / entry["curve"]).read_text() == "step,minutes\n5,1.5\n"
    assert nlrn_tf.load_model(folder / "denoise_s25.keras").config.noise_sigma == 25


def test_a_folder_without_a_run_and_a_wrong_file_of_scores_are_refused(run, tmp_path):
    with pytest.raises(NLRNError, match="no checkpoint"):
        package_weights("x", tmp_path / "nothing", [], tmp_path / "package")
    (tmp_path / "text.json").write_text("no scores")
    with pytest.raises(NLRNError, match=r"text\.json"):
        package_weights("x", run, [Path(tmp_path / "text.json")], tmp_path / "package")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(manifest()))
def test_packaged_weights_reproduce_their_scores(data_dir, name):
    """On the images whose scores the manifest keeps, to 0.03 dB: the precision may differ."""
    model = nlrn_tf.load_model(name)
    scores = [s for s in manifest()[name]["scores"] if s["dataset"] == "Set12"]
    assert scores
    paths = {path.name: (i, path) for i, path in enumerate(benchmark_images("Set12", data_dir))}
    for image, expected in scores[0]["images"].items():
        index, path = paths[image]
        clean, noisy = denoising_pair(path, index, scores[0]["noise_sigma"])
        assert psnr(clean, to_uint8(predict(model, noisy))) == pytest.approx(expected, abs=0.03)
