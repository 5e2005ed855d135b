"""The first line of an evaluation, by a model with a clock of its own."""

import os
import time

import numpy as np
import pytest
from rich.console import Console

from nlrn_tf.evaluation.evaluate import evaluate_all
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.files import write_image


class Slow:
    """Does nothing to images, for 300 microseconds a pixel."""

    def __init__(self):
        self.now = 0.0

    def __call__(self, images):
        self.now += 300e-6 * images.size
        return images


@pytest.fixture
def set5(tmp_path):
    for index in range(5):
        shape = (300 + 100 * index, 200)
        image = np.random.default_rng(index).integers(0, 255, shape).astype(np.uint8)
        write_image(tmp_path / "Set5" / f"{index}.png", image)
    return tmp_path


@pytest.fixture
def shown(set5, monkeypatch):
    """What evaluating prints first."""

    def evaluated(*all_settings, **options):
        console = Console(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115
        model = Slow()
        monkeypatch.setattr(time, "perf_counter", lambda: model.now)
        settings = [EvaluationSettings("Set5", **each) for each in all_settings]
        options = {"model": model, **options}
        evaluate_all(settings, data_dir=set5, console=console, **options)
        return console.export_text().splitlines()[0]

    return evaluated


def test_one_evaluation(shown):
    line = shown({"noise_sigma": 25, "self_ensemble": True})
    start = "5 images, 0.50 megapixels: about 20 minutes on this machine. Faster: "
    assert line.startswith(start + "without --self_ensemble")
    assert "--weights=denoise_lite" in line
    assert line.endswith("--images or --max_images for a part of the set")


def test_enlarging_by_the_network_of_the_paper_tells_of_the_fast_one(shown):
    line = shown(*({"scale": scale, "weights": "sr"} for scale in (2, 3)))
    assert "Faster: --weights=sr_lite (tens of times as fast)" in line


def test_several_count_together(shown):
    assert shown({"scale": 2}, {"scale": 3}).startswith("10 images, 1.0 megapixels: about 5 min")
    line = shown({"scale": 2, "images": ("1", "3")})
    assert line == "2 images, 0.20 megapixels: about 60 seconds on this machine"


def test_images_that_are_done_do_not_count(shown, set5):
    path = set5 / "scores.json"
    shown({"scale": 2, "images": ("3", "4")}, json_path=path)
    line = shown({"scale": 2}, json_path=path)
    assert line.startswith("3 images, 0.24 megapixels: about 70 seconds")


def test_nothing_of_work_that_ends_in_seconds(shown):
    assert "megapixels" not in shown({"scale": 2, "images": ("0",)})
    assert "megapixels" not in shown({"scale": 2, "method": "bicubic"}, model=None)
