"""benchmarks/attention.py, restoration.py and enlarging.py, at small sizes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.attention import kernel
from nlrn_tf.machine import processor_name
from nlrn_tf.model import NLRN
from nlrn_tf.weights.loading import save_model

ROOT = Path(__file__).resolve().parents[2]


def rows_of(tmp_path, script, *arguments):
    command = [sys.executable, f"benchmarks/{script}.py", f"--json={tmp_path / 'rows.json'}"]
    subprocess.run([*command, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)
    result = json.loads((tmp_path / "rows.json").read_text())
    assert result["machine"]["cpu"] == processor_name()
    rows = result["rows"]
    numbers = [value for row in rows for value in row.values() if not isinstance(value, str)]
    assert all(math.isfinite(number) and number > 0 for number in numbers)
    return rows, result["settings"]


def test_attention(tmp_path):
    sizes = ("--size=40", "--window_size=9", "--matrix=64", "--repeats=1")
    rows, _ = rows_of(tmp_path, "attention", "--states=1,3", *sizes)
    ways = [
        (precision, by)
        for precision in ("float32", "bfloat16")
        for by in ("operations", kernel.variant_for(precision, (64, 128)))
        if by
    ]
    cases = [(row["precision"], row["by"], row["states"]) for row in rows]
    assert cases == [(*way, states) for way in ways for states in (1, 3)]
    for row in rows:  # 2 N q^2 (L + C)
        assert row["GFLOP/s"] * row["seconds"] == pytest.approx(2 * 40**2 * 9**2 * 192 / 1e9)
        assert row["share"] == pytest.approx(row["GFLOP/s"] / row["matrices GFLOP/s"])


@pytest.mark.slow
def test_enlarging(tmp_path):
    sizes = (8, 4, 2, 9)
    for upsample in ("before", "after"):
        keras.utils.set_random_seed(0)
        config = NLRNConfig(*sizes, task="sr", scales=(2, 3), upsample=upsample)
        save_model(NLRN(config), tmp_path / f"{upsample}.keras")
    weights = [str(tmp_path / f"{name}.keras") for name in ("before", "after")]
    arguments = (f"--weights={','.join(weights)}", "--scales=2,3", "--side=50", "--turns=1")
    rows, settings = rows_of(tmp_path, "enlarging", *arguments, "--precision=float32")
    assert (settings["side"], settings["precision"]) == (50, "float32")
    cases = [(row["scale"], row["weights"]) for row in rows]
    assert cases == [(scale, name) for scale in (2, 3) for name in weights]
    for first, second in (rows[:2], rows[2:]):
        assert first["times"] == 1
        assert second["times"] == pytest.approx(first["s/MP"] / second["s/MP"])


def test_restoration(tmp_path):
    keras.utils.set_random_seed(0)
    config = NLRNConfig(8, 4, 2, 9, task="denoise", noise_sigma=25.0)
    save_model(NLRN(config), tmp_path / "small.keras")
    arguments = (f"--weights={tmp_path / 'small.keras'}", "--precision=float32")
    arguments = (*arguments, "--sizes=70,50x90", "--patch_sizes=70")
    rows, settings = rows_of(tmp_path, "restoration", *arguments)
    variant = kernel.variant_for("float32", (4, 8))
    by = f"kernel for {variant}" if variant else "TensorFlow's operations"
    assert (settings["precision"], settings["attention"]) == ("float32", by)
    cases = [(row["image"], row["protocol"]) for row in rows]
    assert cases == [("70", "patches"), ("70", "whole"), ("50x90", "whole")]
    patches, whole, _ = rows
    assert patches["times whole"] == patches["seconds"] / whole["seconds"]
    # 5 x 5 patches of 45 x 45.
    ratio = patches["GFLOP/s"] * patches["seconds"] / (whole["GFLOP/s"] * whole["seconds"])
    assert ratio == pytest.approx(25 * 45**2 / 70**2)
    assert patches["PSNR"] == pytest.approx(whole["PSNR"], abs=0.5)
