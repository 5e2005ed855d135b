"""What people get at every noise level, with the packaged weights."""

import functools

import numpy as np
import pytest
from skimage import data

import nlrn_tf
from nlrn_tf.datasets.benchmarks import benchmark_images
from nlrn_tf.imaging.files import Photo, read_image
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.restoration.choice import RestorerChoice
from nlrn_tf.restoration.settings import RestorationSettings
from nlrn_tf.tasks.denoising import add_gaussian_noise
from nlrn_tf.weights.level_choice import best_denoiser, denoisers

LEVELS = range(5, 80, 5)


@functools.cache
def load(name):
    return nlrn_tf.load_model(name)


@pytest.mark.slow
def test_no_level_is_worse_than_the_nearest_weights_as_they_are(data_dir):
    """The first three images of Set12, central 96x96; and PSNR falls as the noise rises."""
    cleans = [read_image(path)[80:176, 80:176] for path in benchmark_images("Set12", data_dir, 3)]
    means = []
    for level in LEVELS:
        full = denoisers("denoise")
        nearest = min(full, key=lambda name, level=level: abs(full[name] - level))
        scaled, unscaled = [], []
        for index, clean in enumerate(cleans):
            noisy = add_gaussian_noise(clean, level, seed=index)
            best = load(best_denoiser(level))
            restored = to_uint8(nlrn_tf.restore(best, noisy, noise_sigma=float(level)))
            scaled.append(nlrn_tf.psnr(clean, restored))
            unscaled.append(nlrn_tf.psnr(clean, to_uint8(nlrn_tf.restore(load(nearest), noisy))))
        means.append(np.mean(scaled))
        print(f"sigma {level}: {means[-1]:.2f} dB, {nearest} as it is {np.mean(unscaled):.2f} dB")
        assert means[-1] >= np.mean(unscaled) - 0.01
    assert means == sorted(means, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["camera", "chelsea", "coffee"])
def test_an_estimated_level_does_no_harm_and_nearly_as_well_as_the_right_one(name):
    """Photographs of 8 bits by default, as `run_restore.py` restores them."""
    clean = getattr(data, name)()[100:228, 100:228]
    choice = RestorerChoice(RestorationSettings(weights="denoise_lite"), say=print)
    for sigma in (0, 2, 5, 40, 75):
        noisy = to_uint8(add_gaussian_noise(clean, sigma, seed=0))
        restored = choice(Photo(noisy), name)(noisy)
        if sigma == 0:
            assert np.sqrt(np.mean((restored.astype(float) - clean) ** 2)) < 1
            continue
        found = nlrn_tf.psnr(clean, restored)
        print(f"sigma {sigma}: {nlrn_tf.psnr(clean, noisy):.2f} to {found:.2f} dB")
        if sigma <= 5:
            assert found >= nlrn_tf.psnr(clean, noisy) - 0.02
        else:
            given = RestorationSettings(weights="denoise_lite", noise_sigma=sigma)
            right = RestorerChoice(given)(Photo(noisy), name)(noisy)
            assert found > nlrn_tf.psnr(clean, right) - 0.3
