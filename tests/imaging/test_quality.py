import math

import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb
from nlrn_tf.imaging.quality import psnr, ssim


def noisy_pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    image = data.camera()[: shape[0], : shape[1]]
    noisy = np.clip(image + rng.normal(0, 20, shape), 0, 255)
    return image, noisy.astype(np.uint8)


def test_psnr_of_a_known_error():
    # An error of 1 everywhere: 20 log10(255) dB.
    black, almost = np.zeros((4, 5), np.uint8), np.ones((4, 5), np.uint8)
    assert psnr(black, almost) == pytest.approx(48.1308, abs=1e-4)
    # uint8 differences must not wrap around.
    assert psnr(black, np.full((4, 5), 255, np.uint8)) == 0


def test_psnr_of_equal_images_is_infinite():
    image, _ = noisy_pair((20, 30))
    assert psnr(image, image) == math.inf


def test_border_is_left_out():
    image = np.zeros((20, 30), np.uint8)
    other = image.copy()
    other[:3], other[-3:], other[:, :3], other[:, -3:] = 9, 9, 9, 9
    assert psnr(image, other, border=3) == math.inf
    assert ssim(image, other, border=3) == 1
    assert psnr(image, other, border=2) < math.inf


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_symmetric_and_a_channel_axis_makes_no_difference(metric):
    image, noisy = noisy_pair((33, 40))
    assert metric(image, noisy) == pytest.approx(metric(noisy, image), rel=1e-12)
    assert metric(image[..., None], noisy) == metric(image, noisy)


@pytest.mark.parametrize("shape", [(11, 11), (12, 37), (200, 101)])
@pytest.mark.parametrize("border", [0, 3])
def test_ssim_equals_scikit_image(shape, border):
    image, noisy = noisy_pair((shape[0] + 2 * border, shape[1] + 2 * border))
    inside = np.s_[border : border + shape[0], border : border + shape[1]]
    expected = structural_similarity(
        image[inside],
        noisy[inside],
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert ssim(image, noisy, border) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_equal_images_is_one():
    image, _ = noisy_pair((40, 40))
    assert ssim(image, image) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    ("reference", "image", "border", "message"),
    [
        (np.zeros((20, 20), np.uint8), np.zeros((20, 21), np.uint8), 0, "differ in size"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.float32), 0, "uint8"),
        (np.zeros((20, 20, 2), np.uint8), np.zeros((20, 20, 2), np.uint8), 0, "uint8"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8), 10, "border"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8), -1, "border"),
    ],
)
def test_wrong_images_are_refused(metric, reference, image, border, message):
    with pytest.raises(NLRNError, match=message):
        metric(reference, image, border)


def test_ssim_refuses_images_below_its_window():
    small = np.zeros((10, 50), np.uint8)
    with pytest.raises(NLRNError, match="11 x 11"):
        ssim(small, small)


def test_luma_of_the_corners_of_the_cube():
    # BT.601 in 8 bits: black 16, white 235, and the primaries of MATLAB's rgb2ycbcr.
    colours = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    luma = rgb_to_y(np.array([colours], np.uint8))
    np.testing.assert_array_equal(luma, [[16, 235, 81, 145, 41]])
    assert luma.dtype == np.uint8


def test_ycbcr_equals_scikit_image():
    image = data.astronaut()[::8, ::8]
    expected = rgb2ycbcr(image)
    np.testing.assert_allclose(rgb_to_ycbcr(image) * 255, expected, atol=2e-5)
    np.testing.assert_array_equal(rgb_to_y(image), np.round(expected[..., 0]))


def test_ycbcr_back_to_rgb():
    image = np.random.default_rng(0).random((9, 7, 3)).astype(np.float32)
    back = ycbcr_to_rgb(rgb_to_ycbcr(image))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, image, atol=1e-6)


def test_grey_is_its_own_luma():
    image, _ = noisy_pair((8, 8))
    assert rgb_to_y(image) is image
