import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.demo import MIN_GAIN, demo, enlargement_demo
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image
from nlrn_tf.weights import loading

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def image():
    """A smooth image, uint8 `[60, 50]`."""
    return np.add.outer(np.arange(60) * 2, np.arange(50)).astype(np.uint8) + 40


@pytest.fixture
def blur(monkeypatch):
    """Makes `load_model` return a blur, which restores a smooth image well."""

    def model(images):
        return cv2.GaussianBlur(images[0, ..., 0], (0, 0), 2)[None, ..., None]

    model.config = nlrn_tf.NLRNConfig(task="denoise", noise_sigma=25.0)
    monkeypatch.setattr(loading, "load_model", lambda name, precision: model)


def test_writes_what_it_scores(blur, image, tmp_path, capsys):
    before, after = demo("blur", tmp_path / "out", image)
    names = ("noisy", "restored", "truth", "comparison")
    noisy, restored, truth, comparison = (
        read_image(tmp_path / "out" / f"{name}.png") for name in names
    )
    np.testing.assert_array_equal(truth, image)
    assert nlrn_tf.psnr(image, noisy) == before == pytest.approx(20.2, abs=0.3)
    assert nlrn_tf.psnr(image, restored) == after > before + MIN_GAIN
    for column, panel in ((0, noisy), (58, restored), (116, image)):
        np.testing.assert_array_equal(comparison[-60:, column : column + 50], panel)
    printed = capsys.readouterr().out
    assert f"noisy {before:.2f} dB, restored {after:.2f} dB" in printed
    assert str(tmp_path / "out" / "comparison.png") in printed


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"task": "denoise", "noise_sigma": 25.0}, "gained"),
        ({"task": "sr", "scales": (2,)}, "not the weights of a denoiser"),
    ],
)
def test_weights_that_do_not_denoise_are_refused(config, message, image, tmp_path):
    sizes = {"filters": 4, "embedding_size": 2, "num_states": 1, "window_size": 5}
    path = tmp_path / "untrained.keras"
    loading.save_model(nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**sizes, **config)), path)
    with pytest.raises(NLRNError, match=rf"untrained\.keras: {message}"):
        demo(path, tmp_path, image)


def test_an_enlargement_is_beside_the_bicubic_one(tmp_path, capsys):
    """By the packaged weights: every third pixel of a photograph, and what comes back."""
    before, after = enlargement_demo(output_dir=tmp_path)
    small, bicubic, enlarged = (
        read_image(tmp_path / f"{name}.png") for name in ("small", "bicubic", "enlarged")
    )
    assert small.shape == (85, 85)
    np.testing.assert_allclose(bicubic, nlrn_tf.imresize(small, 3), atol=1)
    truth = read_image(tmp_path / "enlargement.png")[-255:, -255:]
    assert nlrn_tf.psnr(truth, enlarged, border=3) == after > before + 1
    assert f"bicubic {before:.2f} dB, enlarged {after:.2f} dB" in capsys.readouterr().out


def test_a_denoiser_does_not_enlarge_and_untrained_weights_gain_nothing(image, tmp_path):
    sizes = {"filters": 4, "embedding_size": 2, "num_states": 1, "window_size": 5}
    for config, message in (
        ({"task": "denoise", "noise_sigma": 25.0}, "not the weights of super-resolution"),
        ({"task": "sr", "scales": (3,)}, "gained"),
    ):
        path = tmp_path / "untrained.keras"
        loading.save_model(nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**sizes, **config)), path)
        with pytest.raises(NLRNError, match=rf"untrained\.keras: {message}"):
            enlargement_demo(path, tmp_path, image)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), [("camera", (256, 256)), ("cat", (256, 256, 3))])
def test_the_packaged_weights_restore_the_photographs(tmp_path, name, shape):
    command = [sys.executable, "-m", "nlrn_tf.demo", f"--output_dir={tmp_path}"]
    command.append(f"--photograph={name}")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert read_image(tmp_path / "restored.png").shape == shape
