"""Several evaluations in one, parts of a set, and going on from a file of scores."""

import json
import os

import keras
import numpy as np
import pytest
from rich.console import Console

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate, evaluate_all
from nlrn_tf.evaluation.scores import read_results
from nlrn_tf.evaluation.settings import EvaluationSettings, settings_for
from nlrn_tf.imaging.colour import rgb_to_y
from nlrn_tf.imaging.files import write_image
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.imaging.samples import to_uint8, unit_range
from nlrn_tf.model import NLRN
from nlrn_tf.tasks.super_resolution import SuperResolution
from nlrn_tf.weights.loading import save_model


class Counting:
    """Does nothing to an image, and counts how often."""

    def __init__(self, stop_after=None):
        self.calls = 0
        self.stop_after = stop_after

    def __call__(self, images):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        return images


@pytest.fixture
def set5(tmp_path):
    """A folder of data sets with a Set5 of our own making, images "0" to "4"."""
    for index in range(5):
        ramp = np.add.outer(np.arange(36), np.arange(48 + index)) * 2
        noise = np.random.default_rng(index).integers(0, 60, ramp.shape)
        write_image(tmp_path / "Set5" / f"{index}.png", (ramp + noise).astype(np.uint8))
    return tmp_path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two files of tiny networks for super-resolution."""
    folder = tmp_path_factory.mktemp("weights")
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        config = NLRNConfig(4, 2, 1, 5, task="sr", scales=(2, 3, 4))
        save_model(NLRN(config), folder / f"{seed}.keras")
    return folder


def names(result):
    return [image["name"] for image in result["images"]]


def test_an_interrupted_run_is_completed(set5):
    settings, path = EvaluationSettings("Set5", noise_sigma=25), set5 / "scores.json"
    options = {"data_dir": set5, "json_path": path}
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings, model=Counting(stop_after=3), **options)
    before = json.loads(path.read_text())["images"]
    assert len(before) == 3
    rest = Counting()
    result = evaluate(settings, model=rest, **options)
    assert rest.calls == 2
    assert result["images"][:3] == before  # their seconds too
    whole = evaluate(settings, model=Counting(), data_dir=set5)
    for key in ("psnr", "ssim", "input_psnr", "input_ssim"):
        assert result[key] == pytest.approx(whole[key], rel=1e-12)


def test_a_complete_run_is_only_shown(set5):
    settings, path = EvaluationSettings("Set5", scale=2, method="bicubic"), set5 / "scores.json"
    result = evaluate(settings, data_dir=set5, json_path=path)
    content = path.read_bytes()
    for image in (set5 / "Set5").iterdir():
        image.write_bytes(b"not read again")
    console = Console(record=True, width=100, file=open(os.devnull, "w"))  # noqa: SIM115
    again = evaluate(settings, data_dir=set5, json_path=path, console=console)
    assert again == result
    assert path.read_bytes() == content
    assert f"{result['psnr']:.2f}" in console.export_text()


def test_more_images_go_on_from_fewer_but_none_is_lost(set5):
    path = set5 / "scores.json"
    options = {"data_dir": set5, "json_path": path}
    settings = {"dataset": "Set5", "noise_sigma": 25}
    evaluate(EvaluationSettings(images=("1", "3"), **settings), model=Counting(), **options)
    rest = Counting()
    result = evaluate(EvaluationSettings(**settings), model=rest, **options)
    assert rest.calls == 3
    assert names(result) == [f"{k}.png" for k in range(5)]
    content = path.read_bytes()
    with pytest.raises(NLRNError, match=r"holds 4 images that are not asked for now, .* 1\.png"):
        evaluate(EvaluationSettings(max_images=1, **settings), model=Counting(), **options)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 3}, "scale 2 there, 3 now"),
        ({"scale": None, "noise_sigma": 25}, "task sr there, denoise now"),
        ({"method": "bicubic"}, "method nlrn there, bicubic now"),
        ({"self_ensemble": True}, "self_ensemble False there, True now"),
        ({"window_border": "circular"}, "window_border None there, circular now"),
        ({"quantize_lr": True}, "quantize_lr False there, True now"),
        ({"protocol": "patches"}, "protocol full there, patches now"),
    ],
)
def test_other_settings_are_told_apart(set5, change, message):
    path = set5 / "scores.json"
    options = {"data_dir": set5, "json_path": path, "model": Counting()}
    settings = {"dataset": "Set5", "scale": 2, "max_images": 1}
    evaluate(EvaluationSettings(**settings), **options)
    content = path.read_bytes()
    with pytest.raises(NLRNError) as error:
        evaluate(EvaluationSettings(**{**settings, **change}), **options)
    assert message in str(error.value)
    assert "another file" in str(error.value)
    assert path.read_bytes() == content


def test_patches_are_told_apart_by_their_stride_whole_images_are_not(set5):
    settings = {"dataset": "Set5", "scale": 2, "max_images": 1}
    for protocol, count in (("full", 0), ("patches", None)):
        options = {"data_dir": set5, "json_path": set5 / f"{protocol}.json"}
        first = EvaluationSettings(protocol=protocol, stride=20, **settings)
        second = EvaluationSettings(protocol=protocol, stride=30, **settings)
        evaluate(first, model=Counting(), **options)
        model = Counting()
        if count is None:
            with pytest.raises(NLRNError, match="stride 20 there, 30 now"):
                evaluate(second, model=model, **options)
        else:
            evaluate(second, model=model, **options)
        assert model.calls == 0


def test_other_weights_and_another_precision_are_told_apart(set5, weights):
    options = {"data_dir": set5, "json_path": set5 / "scores.json"}
    settings = {"dataset": "Set5", "max_images": 1, "precision": "float32"}
    copy = weights / "copy.keras"
    copy.write_bytes((weights / "1.keras").read_bytes())
    result = evaluate(EvaluationSettings(weights=str(weights / "1.keras"), **settings), **options)
    same = evaluate(EvaluationSettings(weights=str(copy), **settings), **options)
    assert same["images"] == result["images"]
    with pytest.raises(NLRNError, match="weights_sha256"):
        evaluate(EvaluationSettings(weights=str(weights / "2.keras"), **settings), **options)
    settings["precision"] = "bfloat16"
    with pytest.raises(NLRNError, match="precision float32 there, bfloat16 now"):
        evaluate(EvaluationSettings(weights=str(copy), **settings), **options)


def test_images_whose_files_are_missing_are_done_again(set5):
    settings = EvaluationSettings("Set5", noise_sigma=25)
    options = {"data_dir": set5, "json_path": set5 / "scores.json", "output_dir": set5 / "out"}
    evaluate(settings, model=Counting(), **options)
    (set5 / "out" / "2_comparison.png").unlink()
    model = Counting()
    evaluate(settings, model=model, **options)
    assert model.calls == 1
    assert (set5 / "out" / "2_comparison.png").exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"images": []}', '{"images": [{}], "psnr": 1}'])
def test_another_file_is_not_overwritten(set5, content):
    path = set5 / "scores.json"
    path.write_text(content)
    with pytest.raises(NLRNError, match=r"scores\.json: not a file of scores"):
        evaluate(EvaluationSettings("Set5", method="bicubic"), data_dir=set5, json_path=path)
    assert path.read_text() == content


def test_scores_of_an_older_version_are_not_overwritten(set5):
    path = set5 / "scores.json"
    settings = EvaluationSettings("Set5", method="bicubic")
    result = evaluate(settings, data_dir=set5, json_path=path)
    del result["settings"]
    path.write_text(json.dumps(result))
    with pytest.raises(NLRNError, match="all of their settings"):
        evaluate(settings, data_dir=set5, json_path=path)


def test_infinite_psnr_survives_a_resume(tmp_path):
    write_image(tmp_path / "Set5" / "flat.png", np.full((30, 30), 9, np.uint8))
    settings = EvaluationSettings("Set5", method="bicubic", max_images=1)
    options = {"data_dir": tmp_path, "json_path": tmp_path / "scores.json"}
    result = evaluate(settings, **options)
    assert result["psnr"] == result["input_psnr"] == np.inf
    assert evaluate(settings, **options) == result


def test_named_images_keep_the_noise_of_their_place(set5):
    settings = {"dataset": "Set5", "noise_sigma": 50, "method": "identity"}
    whole = evaluate(EvaluationSettings(**settings), data_dir=set5)
    part = evaluate(EvaluationSettings(images=("4", "1"), **settings), data_dir=set5)
    assert names(part) == ["1.png", "4.png"]
    for image in part["images"]:
        [expected] = [other for other in whole["images"] if other["name"] == image["name"]]
        assert image["psnr"] == expected["psnr"]
    with pytest.raises(NLRNError, match=r"^images=9: not in Set5"):
        evaluate(EvaluationSettings(images=("1", "9"), **settings), data_dir=set5)


def test_the_input_is_scored_beside(set5):
    def brighter(images):
        return images + np.float32(0.02)

    result = evaluate(EvaluationSettings("Set5", scale=3), data_dir=set5, model=brighter)
    bicubic = evaluate(EvaluationSettings("Set5", scale=3, method="bicubic"), data_dir=set5)
    assert result["input_psnr"] == bicubic["psnr"] > result["psnr"] + 0.2
    assert result["input_ssim"] == bicubic["ssim"]


def test_all_scales_in_one_file(set5, weights):
    path = set5 / "scores.json"
    all_settings = settings_for(dataset="Set5", scale="all", weights=str(weights / "1.keras"))
    options = {"data_dir": set5, "json_path": path}
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: SIM115
    results = evaluate_all(all_settings, console=console, output_dir=set5 / "out", **options)
    assert [result["scale"] for result in results] == [2, 3, 4]
    assert read_results(path) == results
    assert isinstance(json.loads(path.read_text()), list)
    assert results[1]["psnr"] == evaluate(all_settings[1], data_dir=set5)["psnr"]
    overview = console.export_text().split("PSNR (dB) / SSIM")[1]
    for figure in ("37.53 / 0.9587", "34.27 / 0.9266", f"{results[2]['psnr']:.2f}", "bicubic"):
        assert figure in overview
    assert {folder.name for folder in (set5 / "out").iterdir()} == {"x2", "x3", "x4"}
    with pytest.raises(NLRNError, match="scale 3 there, 2 now"):
        evaluate(all_settings[0], **options)


def test_all_scales_go_on_from_one(set5):
    path = set5 / "scores.json"
    first, *_ = all_settings = settings_for(dataset="Set5", scale="all")
    evaluate(first, data_dir=set5, json_path=path, model=Counting())
    with pytest.raises(KeyboardInterrupt):
        evaluate_all(all_settings, data_dir=set5, json_path=path, model=Counting(stop_after=7))
    assert [len(result["images"]) for result in read_results(path)] == [5, 5, 2]
    rest = Counting()
    evaluate_all(all_settings, data_dir=set5, json_path=path, model=rest)
    assert rest.calls == 3


def test_all_stands_for_the_settings_of_the_paper():
    levels = settings_for(dataset="Set12", noise_sigma="all")
    assert [s.noise_sigma for s in levels] == [15, 25, 50]
    assert [s.weights for s in levels] == ["denoise_s15", "denoise_s25", "denoise_s50"]
    assert [s.scale for s in settings_for(dataset="Set12", scale="all")] == [2, 3, 4]
    assert settings_for(dataset="Urban100") == [EvaluationSettings("Urban100")]


@pytest.mark.parametrize(
    "settings",
    [
        {"noise_sigma": 15, "self_ensemble": True, "images": ("img_001", "img_011")},
        {"scale": 3, "quantize_lr": True, "weights": "a b.keras", "max_images": 3},
        {"scale": 4, "method": "bicubic"},
        {"noise_sigma": 25, "protocol": "patches", "stride": 9, "window_border": "circular"},
    ],
)
def test_the_command_names_what_is_not_the_default(settings):
    command = EvaluationSettings("Urban100", **settings).command
    for name, value in settings.items():
        text = ",".join(value) if isinstance(value, tuple) else value
        assert f"--{name}" in command if value is True else f"--{name}={text}" in command
    assert "patch_size" not in command


def test_quantized_low_resolution_is_what_matlab_makes_of_8_bits(set5):
    path = set5 / "Set5" / "3.png"
    truth, plain = SuperResolution().pair(path, 0, scale=3)
    same, rounded = SuperResolution().pair(path, 0, scale=3, quantize_lr=True)
    np.testing.assert_array_equal(truth, same)
    low_resolution = imresize(truth, 1 / 3)  # uint8: bit by bit MATLAB's, see test_degradations
    np.testing.assert_array_equal(rounded, unit_range(low_resolution))
    assert 0 < np.abs(rounded - plain).max() < 2 / 255


def test_quantizing_costs_bicubic_a_hundredth(data_dir):
    scores = {}
    for quantize_lr in (False, True):
        settings = EvaluationSettings("Set5", method="bicubic", quantize_lr=quantize_lr)
        scores[quantize_lr] = evaluate(settings, data_dir=data_dir)
    assert round(scores[False]["psnr"], 2) == 33.66
    assert round(scores[True]["psnr"], 2) == 33.65
    assert scores[True]["settings"] == {"quantize_lr": True}


def test_quantized_low_resolution_agrees_with_the_published_files(data_dir):
    """Of colour images, whose Y is rounded before in ours and after in theirs."""
    from nlrn_tf.imaging.files import read_image

    for name, index in (("baby", 1), ("butterfly", 3)):
        folder = data_dir / "matlab_bicubic" / "Set5" / "x4"
        published = rgb_to_y(read_image(folder / f"img_00{index}_LR.png"))
        _, ours = SuperResolution().pair(
            data_dir / "Set5" / f"{name}_GT.png", 0, scale=4, quantize_lr=True
        )
        theirs, ours = (imresize(small, 4) for small in (unit_range(published), ours))
        assert psnr(to_uint8(theirs), to_uint8(ours), border=8) > 45
