import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maintenance.held_out import centre, crops, held_out_images
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image

ROOT = Path(__file__).resolve().parents[2]


def test_the_recipe_and_the_one_it_includes_name_the_same_images():
    names = held_out_images()
    assert names == held_out_images("denoise_lite_s25.cfg")
    assert len(names) == len(set(names)) == 10
    assert not any("val" in name for name in names)  # BSDS500 val is a test set


def test_the_centre_is_in_the_middle():
    image = np.arange(7 * 9).reshape(7, 9)
    np.testing.assert_array_equal(centre(image, 3), image[2:5, 3:6])
    np.testing.assert_array_equal(centre(image, 8), image[:, :8])


def test_images_are_found(data_dir):
    found = crops(held_out_images()[:2], data_dir, 64, read_image)
    assert [image.shape for image in found] == [(64, 64, 3)] * 2
    with pytest.raises(NLRNError, match="none"):
        crops(["none"], data_dir, 64, read_image)


def run(script, *arguments):
    command = [sys.executable, f"maintenance/{script}.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_levels_are_measured(data_dir, tmp_path):
    table = tmp_path / "levels.json"
    done = run(
        "measure_levels",
        *("--weights=denoise_lite_s25", "--levels=15,40", "--mismatches=15:10,15:40"),
        *("--max_images=2", "--side=48", f"--data_dir={data_dir}", f"--json={table}"),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(table.read_text())
    scores = result["scores"]["denoise_lite_s25"]["psnr"]
    for level in ("15", "40"):
        # The noise alone would have this PSNR, but for its sample and clipping.
        assert result["input"][level] == pytest.approx(20 * math.log10(255 / int(level)), abs=0.5)
        assert scores[level] > result["input"][level] + 4
    weaker, stronger = result["mismatches"]
    assert weaker["cost"] > 0.5
    assert stronger["cost"] > 0.5
    assert weaker["psnr"] == pytest.approx(scores["15"] - weaker["cost"], abs=2e-3)


@pytest.mark.slow
def test_ways_of_colour_are_compared(data_dir, tmp_path):
    table = tmp_path / "colour.json"
    ways = "channels own lite,own lite | own lite"
    done = run(
        "measure_colour",
        *("--noise_sigma=25", f"--ways={ways}", "--max_images=2", "--side=48"),
        *(f"--data_dir={data_dir}", f"--json={table}"),
    )
    assert done.returncode == 0, done.stderr
    rows = {row["way"]: row for row in json.loads(table.read_text())["rows"]}
    assert list(rows) == ["noisy", *ways.split(",")]
    noisy, channels, opponent = (row["PSNR 25"] for row in rows.values())
    assert noisy == pytest.approx(20.4, abs=0.3)
    assert noisy + 4 < channels < opponent


@pytest.mark.parametrize(
    ("script", "argument", "code", "message"),
    [
        ("measure_levels", "--levels=0", 1, "noise_sigma=0"),
        ("measure_colour", "--ways=none", 2, "--ways=none"),
    ],
)
def test_wrong_flags_are_told(script, argument, code, message):
    done = run(script, argument)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
