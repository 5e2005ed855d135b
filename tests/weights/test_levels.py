import functools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nlrn_tf
from nlrn_tf.datasets.benchmarks import benchmark_images
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.tasks.denoising import add_gaussian_noise
from nlrn_tf.weights.levels import at_level
from nlrn_tf.weights.loading import save_model

TINY = nlrn_tf.NLRNConfig(
    filters=6, embedding_size=3, num_states=2, window_size=5, task="denoise", noise_sigma=25.0
)


@functools.cache
def random_network(seed=0, **options):
    """A tiny denoiser whose weights are all away from their initial values."""
    model = nlrn_tf.NLRN(TINY, **options)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(0, 0.3, weight.shape)
        if weight.name == "moving_variance":
            # Of the image thousands of squared grey levels; small ones make epsilon count.
            values = 10.0 ** rng.uniform(-3, 3, weight.shape)
        elif weight.name == "moving_mean" and weight is model.norm_in.moving_mean:
            values = rng.uniform(50, 150, weight.shape)
        elif weight is model.norm_in.gamma or weight is model.conv_in.kernel:
            values = np.abs(values)
        weight.assign(values)
    return model


@pytest.fixture(scope="module")
def model():
    return random_network()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-0.2, 1.2, (2, 11, 9, 1)).astype(np.float32)


def evaluate(model, images):
    return keras.ops.convert_to_numpy(model(images))


def scaled_by_hand(model, images, noise_sigma):
    """f0(a y) / a as it is written; below a third of the level a share of the third's residual."""
    third = model.config.noise_sigma / 3
    scale = np.float32(model.config.noise_sigma / max(noise_sigma, third))
    restored = evaluate(model, scale * images) / scale
    return images + min(1, noise_sigma / third) ** 3 * (restored - images)


@settings(max_examples=8, deadline=None)
@given(
    noise_sigma=st.one_of(st.sampled_from([5.0, 8.3, 15, 37, 75, 150]), st.floats(4, 150)),
    seed=st.integers(0, 2),
)
def test_the_scale_is_absorbed_exactly(noise_sigma, seed):
    model = random_network(seed)
    images = np.random.default_rng(seed).uniform(0, 1, (1, 8, 7, 1)).astype(np.float32)
    expected = scaled_by_hand(model, images, noise_sigma)
    residual = np.abs(expected - images).max()
    assert residual > 1e-3  # or the identity alone would pass
    found = evaluate(at_level(model, noise_sigma), images)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, residual))


@pytest.mark.parametrize("name", ["denoise_s15", "denoise_lite_s25"])
@pytest.mark.parametrize("noise_sigma", [10, 37, 75])
def test_packaged_networks(name, noise_sigma, rng):
    model = nlrn_tf.load_model(name)
    images = rng.uniform(0.2, 0.8, (1, 12, 14, 1)).astype(np.float32)
    images += rng.normal(0, noise_sigma / 255, images.shape).astype(np.float32)
    scaled = at_level(model, noise_sigma)
    assert scaled.config.noise_sigma == noise_sigma
    expected = scaled_by_hand(model, images, noise_sigma)
    assert np.abs(expected - images).max() > 0.3 * noise_sigma / 255
    np.testing.assert_allclose(evaluate(scaled, images), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoise_s15", "denoise_lite_s25"])
def test_weak_noise_is_not_made_worse(name, data_dir):
    image = read_image(benchmark_images("Set12", data_dir)[0])[80:176, 80:176]
    model = nlrn_tf.load_model(name)
    for noise_sigma in (2, 5):
        noisy = to_uint8(add_gaussian_noise(image, noise_sigma, seed=0))
        network = at_level(model, noise_sigma)
        restored = evaluate(network, noisy[None, ..., None].astype(np.float32) / 255)
        # At a level of 2 nearly nothing changes, and rounding may decide.
        assert psnr(image, to_uint8(restored[0, ..., 0])) > psnr(image, noisy) - 0.002
    clean = image[None, ..., None].astype(np.float32) / 255
    change = 255 * (evaluate(at_level(model, 2), clean) - clean)
    assert np.sqrt(np.mean(change**2)) < 1


def test_its_own_level_changes_nothing(model):
    for a, b in zip(model.get_weights(), at_level(model, 25).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_levels_can_be_changed_again(model, images):
    there_and_on = at_level(at_level(model, 60), 12)
    np.testing.assert_allclose(
        evaluate(there_and_on, images), evaluate(at_level(model, 12), images), atol=1e-5
    )


def test_the_original_stays_as_it_was(images):
    model = random_network()
    before = evaluate(model, images)
    at_level(model, 50)
    np.testing.assert_array_equal(evaluate(model, images), before)
    assert model.config.noise_sigma == 25


def test_it_is_saved_and_loaded_as_any_network(model, images, tmp_path):
    scaled = at_level(model, 40)
    save_model(scaled, tmp_path / "s40.keras")
    loaded = nlrn_tf.load_model(tmp_path / "s40.keras", unroll=False)
    assert loaded.config.noise_sigma == 40
    np.testing.assert_array_equal(evaluate(loaded, images), evaluate(scaled, images))


def test_the_precision_stays():
    scaled = at_level(random_network(dtype="mixed_bfloat16"), 40)
    assert scaled.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.slow
def test_other_backends_give_the_same(images, tmp_path):
    model = random_network()
    save_model(model, tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "expected.npy", scaled_by_hand(model, images, 40))
    code = """
import numpy as np
from nlrn_tf.weights.levels import at_level
from nlrn_tf.weights.loading import load_model
found = np.asarray(at_level(load_model("model.keras"), 40)(np.load("images.npy")))
np.testing.assert_allclose(found, np.load("expected.npy"), atol=1e-5)
"""
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.parametrize(
    "noise_sigma", [0, -1, 150.1, float("nan"), float("inf"), "25", None, True]
)
def test_impossible_levels_are_one_line(model, noise_sigma):
    with pytest.raises(NLRNError, match=f"^noise_sigma={noise_sigma}: .*0 and at most 150") as told:
        at_level(model, noise_sigma)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"task": "sr", "scales": (2,), "noise_sigma": None}, "sr"), ({"noise_sigma": None}, "level")],
)
def test_other_networks_are_refused(options, message):
    config = nlrn_tf.NLRNConfig(**{**TINY.to_dict(), **options})
    with pytest.raises(NLRNError, match=f"^noise_sigma=30: .*{message}"):
        at_level(nlrn_tf.NLRN(config), 30)
