import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from nlrn_tf import precision
from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import check_purpose, evaluate
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.imaging.montage import comparison
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.model import NLRN
from nlrn_tf.weights.levels import at_level
from nlrn_tf.weights.loading import load_model, save_model

SCRIPT = Path(__file__).parents[2] / "run_eval.py"
KEYS = ["dataset", "task", "method", "protocol"]
SCORES = ["weights", "images", "psnr", "ssim", "seconds_per_image"]


def identity(images):
    return images


@pytest.fixture
def set5(tmp_path):
    """A folder of data sets with a Set5 of our own making."""
    for index in range(5):
        ramp = np.add.outer(np.arange(40 + index), np.arange(50)) * 2
        noise = np.random.default_rng(index).integers(0, 30, ramp.shape)
        image = np.stack([ramp + noise, ramp, ramp - noise], axis=-1)
        write_image(tmp_path / "Set5" / f"{index}.png", np.clip(image, 0, 255).astype(np.uint8))
    return tmp_path


def test_the_result_has_the_fixed_keys(set5):
    path = set5 / "out" / "scores.json"
    settings = EvaluationSettings("Set5", noise_sigma=25, method="identity")
    result = evaluate(settings, data_dir=set5, json_path=path)
    assert list(result)[:10] == [*KEYS, "noise_sigma", *SCORES]
    keys = [list(image)[:4] for image in result["images"]]
    assert keys == [["name", "psnr", "ssim", "seconds"]] * 5
    assert [image["name"] for image in result["images"]] == [f"{index}.png" for index in range(5)]
    assert result["psnr"] == pytest.approx(np.mean([image["psnr"] for image in result["images"]]))
    assert json.loads(path.read_text()) == result
    settings = EvaluationSettings("Set5", scale=3, method="bicubic")
    path = set5 / "out" / "bicubic.json"
    result = evaluate(settings, data_dir=set5, json_path=path)
    assert list(result)[:10] == [*KEYS, "scale", *SCORES]
    assert json.loads(path.read_text()) == result
    assert (result["scale"], result["weights"]) == (3, None)


@pytest.mark.parametrize("protocol", ["full", "patches"])
@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("degradation", [{"noise_sigma": 25}, {"scale": 2}])
def test_a_model_that_does_nothing_scores_as_its_input(set5, protocol, ensemble, degradation):
    expected = evaluate(EvaluationSettings("Set5", method="identity", **degradation), data_dir=set5)
    settings = EvaluationSettings(
        "Set5", protocol=protocol, stride=13, self_ensemble=ensemble, **degradation
    )
    result = evaluate(settings, data_dir=set5, model=identity)
    assert result["psnr"] == pytest.approx(expected["psnr"], abs=1e-3)
    assert result["ssim"] == pytest.approx(expected["ssim"], abs=1e-5)


def test_self_ensemble_averages_the_views(set5):
    # Views of the image see a left-right gradient in all directions: it cancels.
    def tilted(images):
        return images + np.linspace(-0.2, 0.2, images.shape[2])[:, None]

    settings = EvaluationSettings("Set5", noise_sigma=5)
    plain = evaluate(settings, data_dir=set5, model=tilted)
    ensemble = evaluate(
        EvaluationSettings("Set5", noise_sigma=5, self_ensemble=True), data_dir=set5, model=tilted
    )
    noisy = evaluate(EvaluationSettings("Set5", noise_sigma=5, method="identity"), data_dir=set5)
    assert plain["psnr"] < 20
    assert ensemble["psnr"] == pytest.approx(noisy["psnr"], abs=0.01)


def test_the_first_images_keep_their_noise(set5):
    settings = EvaluationSettings("Set5", noise_sigma=50, method="identity")
    first = EvaluationSettings("Set5", noise_sigma=50, method="identity", max_images=2)
    scores = [image["psnr"] for image in evaluate(settings, data_dir=set5)["images"]]
    assert [image["psnr"] for image in evaluate(first, data_dir=set5)["images"]] == scores[:2]


def test_saved_images_are_those_that_were_scored(set5):
    settings = EvaluationSettings("Set5", scale=2, method="bicubic", max_images=1)
    result = evaluate(settings, data_dir=set5, output_dir=set5 / "out")
    restored = read_image(set5 / "out" / "0.png")
    beside = read_image(set5 / "out" / "0_comparison.png")
    height, width = restored.shape
    assert (height, width) == (40, 50)
    truth = beside[-height:, -width:]
    assert psnr(truth, restored, border=2) == result["psnr"]
    np.testing.assert_array_equal(beside[-height:, :width], restored)
    assert sorted(path.name for path in (set5 / "out").iterdir()) == ["0.png", "0_comparison.png"]


def test_an_interrupted_run_leaves_what_it_scored(set5):
    calls = []

    def stops(images):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return images

    path = set5 / "scores.json"
    with pytest.raises(KeyboardInterrupt):
        evaluate(
            EvaluationSettings("Set5", noise_sigma=25), data_dir=set5, model=stops, json_path=path
        )
    assert [image["name"] for image in json.loads(path.read_text())["images"]] == ["0.png", "1.png"]


def test_infinite_psnr_is_null_in_json(tmp_path):
    write_image(tmp_path / "Set5" / "flat.png", np.full((30, 30), 9, np.uint8))
    settings = EvaluationSettings("Set5", scale=2, method="bicubic", max_images=1)
    result = evaluate(settings, data_dir=tmp_path, json_path=tmp_path / "scores.json")
    assert result["psnr"] == math.inf
    text = (tmp_path / "scores.json").read_text()
    assert "Infinity" not in text
    assert json.loads(text)["psnr"] is None


def test_the_table_has_the_means_and_the_figures_of_the_paper(set5):
    console = Console(record=True, width=100, file=open(os.devnull, "w"))  # noqa: SIM115
    settings = EvaluationSettings("Set5", scale=4, method="bicubic", max_images=2)
    result = evaluate(settings, data_dir=set5, console=console)
    text = console.export_text()
    assert f"{result['psnr']:.2f}" in text
    assert "mean of the first 2 of 5" in text
    assert "NLRN (paper, all 5)" in text
    assert "31.92 │ 0.8916" in text  # NLRN, Table 6
    assert "not rounded" in text


def test_comparison_of_small_images():
    image = np.zeros((5, 7), np.uint8)
    beside = comparison({"bicubic 20.00 dB": image, "truth": image})
    assert beside.dtype == np.uint8
    assert beside.shape[1] > 14
    np.testing.assert_array_equal(beside[-5:, :7], image)


def test_an_image_too_small_to_score_is_named(tmp_path):
    write_image(tmp_path / "Set5" / "tiny.png", np.zeros((9, 30), np.uint8))
    settings = EvaluationSettings("Set5", noise_sigma=25, method="identity", max_images=1)
    with pytest.raises(NLRNError, match=r"tiny\.png.*11"):
        evaluate(settings, data_dir=tmp_path)


def test_defaults():
    denoise = EvaluationSettings("Set12")
    assert (denoise.task, denoise.noise_sigma, denoise.scale) == ("denoise", 25, None)
    assert (denoise.weights, denoise.border) == ("denoise_s25", 0)
    sr = EvaluationSettings("Urban100")
    assert (sr.task, sr.noise_sigma, sr.scale) == ("sr", None, 2)
    assert (sr.weights, sr.border) == ("sr_lite", 2)
    assert EvaluationSettings("Urban100", noise_sigma=15).weights == "denoise_s15"
    assert EvaluationSettings("Set12", scale=3).task == "sr"
    assert EvaluationSettings("Set5", method="bicubic", weights="sr").weights is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "Set13"}, "dataset"),
        ({"task": "deblur"}, "task"),
        ({"method": "bm3d"}, "method"),
        ({"protocol": "tiles"}, "protocol"),
        ({"window_border": "zero"}, "window_border"),
        ({"task": "denoise", "scale": 2}, "scale"),
        ({"task": "sr", "noise_sigma": 25}, "noise_sigma"),
        ({"task": "denoise", "method": "bicubic"}, "bicubic"),
        ({"noise_sigma": 0}, "noise_sigma"),
        ({"noise_sigma": math.inf}, "noise_sigma"),
        ({"scale": 1}, "scale"),
        ({"stride": 46}, "stride"),
        ({"stride": 0}, "stride"),
        ({"max_images": 0}, "max_images"),
        ({"max_images": 2, "images": ["0"]}, "images"),
        ({"noise_sigma": 25, "quantize_lr": True}, "quantize_lr"),
        ({"scale": 2, "method": "bicubic", "exact": True}, "exact=True"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(NLRNError, match=message):
        EvaluationSettings(**{"dataset": "Set5", **values})


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        ({"task": "sr", "scales": (2, 3)}, {"noise_sigma": 25}, "task sr"),
        ({"task": "denoise", "noise_sigma": 25.0}, {"scale": 2}, "task denoise"),
        ({"task": "sr", "scales": (2, 3)}, {"scale": 4}, "scale 2, 3"),
    ],
)
def test_weights_for_something_else_are_refused(config, settings, message):
    with pytest.raises(NLRNError, match=message):
        check_purpose(NLRNConfig(**config), EvaluationSettings("Set5", **settings))


def test_scores_with_the_exact_sum_and_without_are_told_apart(set5, monkeypatch):
    """float32 by its name is exact, and auto is not, where it takes float32 too."""
    monkeypatch.setattr(precision, "_cpu_multiplies", lambda: False)
    save_model(NLRN(NLRNConfig(4, 2, 1, 5, task="sr", scales=(2,))), set5 / "w.keras")
    choices = {"float32": {"precision": "float32"}, "exact": {"exact": True}, "auto": {}}
    settings = {
        name: EvaluationSettings("Set5", max_images=1, weights=str(set5 / "w.keras"), **choice)
        for name, choice in choices.items()
    }
    path = set5 / "scores.json"
    results = {name: evaluate(each, data_dir=set5) for name, each in settings.items()}
    recorded = {name: result["settings"].get("exact") for name, result in results.items()}
    assert recorded == {"float32": None, "exact": None, "auto": False}
    by_name = evaluate(settings["float32"], data_dir=set5, json_path=path)
    exact = evaluate(settings["exact"], data_dir=set5, json_path=path)
    assert exact["images"] == by_name["images"]  # taken over
    with pytest.raises(NLRNError, match="exact True there, False now"):
        evaluate(settings["auto"], data_dir=set5, json_path=path)


def test_weights_for_another_noise_level_are_scaled(tmp_path):
    """The score is that of a network for the level of the noise."""
    write_image(tmp_path / "Set12" / "01.png", np.full((40, 40), 100, np.uint8))
    model = load_model("denoise_lite_s25")
    settings = EvaluationSettings("Set12", noise_sigma=50, weights="mine.keras", max_images=1)
    found = evaluate(settings, data_dir=tmp_path, model=model)["psnr"]
    scaled = evaluate(settings, data_dir=tmp_path, model=at_level(model, 50.0))["psnr"]
    as_it_is = evaluate(settings, data_dir=tmp_path, model=lambda images: model(images))["psnr"]
    assert found == pytest.approx(scaled, abs=0.01)
    assert found > as_it_is + 3


def test_weights_are_not_scored_on_their_training_images():
    for level in (15, 25, 50):
        name = f"denoise_s{level}"
        settings = EvaluationSettings("BSD200", noise_sigma=level, weights=name)
        config = NLRNConfig(task="denoise", noise_sigma=float(level))
        with pytest.raises(NLRNError, match="trained with the images of BSD200"):
            check_purpose(config, settings)
        check_purpose(config, EvaluationSettings("BSD68", noise_sigma=level))
        own = EvaluationSettings("BSD200", noise_sigma=level, weights="own.keras")
        check_purpose(config, own)


def test_weights_that_are_not_packaged_say_what_to_do(set5):
    assert EvaluationSettings("Set5", noise_sigma=33).weights == "denoise_s25"  # the best at 33
    with pytest.raises(NLRNError, match=r"nowhere\.keras"):
        evaluate(EvaluationSettings("Set5", noise_sigma=25, weights="nowhere.keras"), data_dir=set5)


def run_eval(*arguments, **environment):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_the_script_scores_a_set(set5):
    path = set5 / "scores.json"
    done = run_eval("--dataset=Set5", "--method=bicubic", f"--json={path}", NLRN_DATA_DIR=str(set5))
    assert done.returncode == 0, done.stderr
    assert "mean of 5" in done.stdout
    expected = evaluate(EvaluationSettings("Set5", method="bicubic"), data_dir=set5)
    assert json.loads(path.read_text())["psnr"] == pytest.approx(expected["psnr"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--dataset"),
        (["--dataset=Set13"], 2, "Set13"),
        (["--dataset=Set12", "--method=bicubic"], 2, "method=bicubic"),
        (["--dataset=Set12", "--stride=90"], 2, "--stride=90"),
        (["--dataset=Set12", "image.png"], 2, "image.png"),
        (["--dataset=Set5", "--scale=2.5"], 2, "--scale=2.5"),
        (["--dataset=Set12", "--noise_sigma=some"], 2, "--noise_sigma=some"),
        (["--dataset=Set12", "--noise_sigma=all", "--scale=all"], 2, "scale"),
        (["--dataset=Set12", "--data_dir=/nowhere"], 1, "/nowhere/Set12"),
    ],
)
def test_the_script_complains_in_one_line(arguments, code, message):
    done = run_eval(*arguments)
    assert done.returncode == code
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("run_eval.py: ")
    assert message in last
    assert "Traceback" not in done.stderr


def test_help_is_complete():
    done = run_eval("--help")
    assert done.returncode == 0
    fixed = "dataset task noise_sigma scale weights method protocol stride patch_size max_images"
    others = (
        "[no]self_ensemble output_dir window_border json images [no]quantize_lr precision [no]exact"
    )
    for flag in f"{fixed} {others}".split():
        assert f"--{flag}:" in done.stdout
