import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maintenance.crops import Crop, compare_crops
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.tasks.denoising import Denoising
from nlrn_tf.tasks.super_resolution import SuperResolution

SCRIPT = Path(__file__).resolve().parents[2] / "maintenance" / "compare_crops.py"
STRIP = 30  # pixels of a caption
GAP = 8


@pytest.fixture
def set5(tmp_path):
    for index in range(5):
        image = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        write_image(tmp_path / "Set5" / f"{index}.png", image)
    return tmp_path


def negative(images):
    return 1 - images


def panels(picture, top, side):
    """The squares of a row of the picture."""
    starts = range(0, picture.shape[1], side + GAP)
    return [picture[top + STRIP : top + STRIP + side, x : x + side] for x in starts]


def enlarged(image, y, x, size, times):
    return image[y : y + size, x : x + size].repeat(times, 0).repeat(times, 1)


def test_the_panels_are_the_pixels_that_are_scored(set5):
    crops = [Crop("3", 10, 20, 32), Crop("1", 0, 48, 32)]
    settings = EvaluationSettings("Set5", noise_sigma=25)
    compare_crops(settings, crops, set5 / "x.png", data_dir=set5, model=negative)
    picture = read_image(set5 / "x.png")
    side = 256
    assert picture.shape == (2 * (STRIP + side) + GAP, 3 * side + 2 * GAP)
    for row, crop in enumerate(crops):
        path = set5 / "Set5" / f"{crop.image}.png"
        clean, noisy = Denoising().pair(path, int(crop.image), noise_sigma=25)
        images = [to_uint8(noisy), to_uint8(1 - noisy), clean]
        found = panels(picture, row * (STRIP + side + GAP), side)
        for panel, image in zip(found, images, strict=True):
            np.testing.assert_array_equal(panel, enlarged(image, crop.y, crop.x, 32, 8))


def test_super_resolution_shows_y(set5):
    settings = EvaluationSettings("Set5", scale=2)
    crop = Crop("0", 4, 4, 50)
    compare_crops(settings, [crop], set5 / "x.png", data_dir=set5, model=negative)
    truth, small = SuperResolution().pair(set5 / "Set5" / "0.png", 0, scale=2)
    bicubic = imresize(small, 2)
    picture = read_image(set5 / "x.png")
    for panel, image in zip(panels(picture, 0, 250), [bicubic, 1 - bicubic, truth], strict=True):
        np.testing.assert_array_equal(panel, enlarged(to_uint8(image), 4, 4, 50, 5))
    captions = picture[:STRIP]
    assert captions.min() < 100
    assert np.median(captions) == 255


def test_rows_of_different_sizes_fit_on_white_and_bicubic_is_shown_once(set5):
    crops = [Crop("0", 0, 0, 40), Crop("0", 0, 0, 50)]
    settings = EvaluationSettings("Set5", scale=2, method="bicubic")
    compare_crops(settings, crops, set5 / "x.png", data_dir=set5)
    picture = read_image(set5 / "x.png")
    assert picture.shape[1] == 2 * 250 + GAP
    assert (picture[: STRIP + 240, 2 * 240 + GAP :] == 255).all()


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        ([], "no crop"),
        ([Crop("0", 30, 0, 31)], "30,0,31: is not inside 0, 80 x 60"),
        ([Crop("0", 0, 0, 8), Crop("0", -1, 0, 8)], "-1,0,8: is not inside"),
        ([Crop("0", 0, 0, 0)], "not inside"),
        ([Crop("9", 0, 0, 8)], "image 9: not in Set5"),
    ],
)
def test_impossible_crops_are_told_before_the_work(set5, crops, message):
    def model(images):
        raise AssertionError("work began")

    settings = EvaluationSettings("Set5", noise_sigma=25)
    with pytest.raises(NLRNError, match=message):
        compare_crops(settings, crops, set5 / "x.png", data_dir=set5, model=model)
    assert not (set5 / "x.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--image=0,1", "--crop=0,0,20", "--crop=9,9,20"], 0, ""),
        (["--image=0,1", "--crop=0,0,20"], 2, "--image"),
        (["--image=0", "--crop=0,0"], 2, "--crop=0,0: must be"),
        (["--image=0", "--crop=0,0,20", "--noise_sigma=25"], 2, "bicubic"),
    ],
)
def test_the_script(set5, arguments, code, message):
    flags = ["--dataset=Set5", "--method=bicubic", f"--data_dir={set5}", "--output=x.png"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *flags, *arguments],
        cwd=set5,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if code == 0:
        assert read_image(set5 / "x.png").shape == (2 * (STRIP + 260) + GAP, 2 * 260 + GAP)
