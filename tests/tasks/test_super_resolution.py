import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_y
from nlrn_tf.imaging.files import write_image
from nlrn_tf.tasks.super_resolution import SuperResolution


def colour(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_sr_pair_crops_first_and_does_not_round_in_between(tmp_path):
    image = colour(13, 20)
    write_image(tmp_path / "image.png", image)
    task = SuperResolution()
    truth, small = task.pair(tmp_path / "image.png", 0, scale=3)
    np.testing.assert_array_equal(truth, rgb_to_y(image)[:12, :18])
    bicubic = task.input_image(small, scale=3)
    for each, shape in ((small, (4, 6)), (bicubic, (12, 18))):
        assert each.dtype == np.float32
        assert each.shape == shape
        grid = each * 255
        assert np.abs(grid - np.rint(grid)).mean() > 0.1


def test_sr_pair_refuses_images_below_the_scale(tmp_path):
    write_image(tmp_path / "tiny.png", colour(2, 9))
    with pytest.raises(NLRNError, match=r"tiny\.png"):
        SuperResolution().pair(tmp_path / "tiny.png", 0, scale=3)
