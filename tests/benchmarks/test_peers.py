import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from benchmarks import peer_methods
from nlrn_tf.config import NLRNConfig
from nlrn_tf.imaging.files import write_image
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.model import NLRN
from nlrn_tf.tasks.denoising import add_gaussian_noise
from nlrn_tf.weights.loading import save_model

ROOT = Path(__file__).resolve().parents[2]
METHODS = {
    "OpenCV": lambda sigma: peer_methods.opencv_means(sigma, 0.9),
    "scikit-image means": peer_methods.skimage_means,
    "wavelets": peer_methods.skimage_wavelets,
    "BM3D": peer_methods.bm3d,
}


def photograph(top, left, size=72):
    """uint8 `[size, size]`."""
    return np.ascontiguousarray(data.camera()[top : top + size, left : left + size])


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


@pytest.mark.parametrize(("sigma", "gain"), [(15, 2), (50, 5)])
def test_methods_take_noise_away(method, sigma, gain):
    cleans = [photograph(60, 180), photograph(200, 200)]
    noisy = np.stack([add_gaussian_noise(clean, sigma, seed=k) for k, clean in enumerate(cleans)])
    assert noisy.min() < 0 or noisy.max() > 1
    restored = peer_methods.as_model(method(sigma))(noisy[..., None])
    assert restored.shape == (2, 72, 72, 1)
    for clean, before, after in zip(cleans, noisy, restored[..., 0], strict=True):
        assert psnr(clean, to_uint8(after)) > psnr(clean, to_uint8(before)) + gain


def test_methods_keep_the_grey_levels(method):
    """Of a flat image with weak noise; a wrong unit of sigma or of the result would show."""
    flat = add_gaussian_noise(np.full((72, 72), 180, np.uint8), 5, seed=0)
    restored = peer_methods.as_model(method(5))(flat[None, ..., None])
    assert abs(restored.mean() * 255 - 180) < 0.5
    assert restored.std() < flat.std() / 2


def test_the_benchmark_compares_all_methods(tmp_path):
    cleans = [photograph(60, 180), photograph(200, 200)]
    for k, clean in enumerate(cleans):
        write_image(tmp_path / "Set12" / f"{k}.png", clean)
    weights = [tmp_path / "tiny.keras", tmp_path / "other.keras"]
    for path in weights:
        save_model(NLRN(NLRNConfig(4, 2, 2, 5, task="denoise", noise_sigma=25.0)), path)
    names = ",".join(map(str, weights))
    command = [sys.executable, "benchmarks/peers.py", f"--weights={names}", "--max_images=2"]
    command += [f"--data_dir={tmp_path}", f"--json={tmp_path / 'peers.json'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "peers.json").read_text())
    rows = {row.pop("method"): row for row in result["rows"]}
    published = {name: rows.pop(name) for name in [*rows] if name.endswith("all 12)")}
    assert published["FFDNet (published, all 12)"]["PSNR"] == 30.43
    assert published["BM3D (paper, all 12)"] == {"PSNR": 29.97, "SSIM": 0.8504, "seconds": None}
    expected = ["noisy images", "OpenCV non-local means", "scikit-image wavelets"]
    expected += ["scikit-image non-local means", "NLRN tiny", "NLRN other"]
    assert [name for name in rows if name != "BM3D"] == expected
    for name, row in rows.items():
        assert name in done.stdout
        assert all(math.isfinite(value) for value in row.values())
        assert row["seconds"] > 0 or name == "noisy images"
    noisy = [to_uint8(add_gaussian_noise(clean, 25, seed=k)) for k, clean in enumerate(cleans)]
    before = np.mean([psnr(*pair) for pair in zip(cleans, noisy, strict=True)])
    assert rows["noisy images"]["PSNR"] == pytest.approx(before)
    for name in expected[1:-2]:
        assert rows[name]["PSNR"] > before + 3
    assert result["settings"]["images"] == 2
    assert {"precision", "attention"} <= set(result["settings"])
    assert {"cpu", "instructions"} <= set(result["machine"])
    assert ("BM3D" in rows) == (result["settings"]["BM3D"] != "not installed")


@pytest.mark.parametrize(
    ("argument", "code", "message"),
    [("--noise_sigma=0", 2, "noise_sigma"), ("--weights=none.keras", 1, "none.keras")],
)
def test_wrong_flags_are_told(argument, code, message):
    command = [sys.executable, "benchmarks/peers.py", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
