import numpy as np

from nlrn_tf.imaging.colour import rgb_to_grey
from nlrn_tf.imaging.files import write_image
from nlrn_tf.tasks.denoising import Denoising


def colour(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_denoising_pair_is_grey_with_noise_of_its_index(tmp_path):
    image = colour(6, 7)
    write_image(tmp_path / "image.png", image)
    clean, noisy = Denoising().pair(tmp_path / "image.png", 3, noise_sigma=50)
    np.testing.assert_array_equal(clean, rgb_to_grey(image))
    noise = np.random.default_rng(3).normal(0, 50 / 255, (6, 7))
    np.testing.assert_allclose(noisy, clean / 255 + noise, atol=1e-6)
    assert noisy.dtype == np.float32
