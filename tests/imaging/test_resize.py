import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image
from nlrn_tf.imaging.resize import crop_to_multiple, imresize, resize_bicubic
from nlrn_tf.tasks.denoising import add_gaussian_noise

# Scales are ratios, as in super-resolution, or anything.
SCALES = st.sampled_from([1 / 2, 1 / 3, 1 / 4, 1, 2, 3, 4]) | st.floats(0.1, 5)
SIDES = st.integers(1, 40)
EDGES = st.sampled_from(["mirror", "replicate"])


def cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def matlab_matrix(size, scale, edges):
    """MATLAB's `contributions`, pixel by pixel, with its counting from 1: `[out, size]`."""
    shrink = min(scale, 1)
    matrix = np.zeros((math.ceil(scale * size), size))
    for x, row in enumerate(matrix, start=1):
        centre = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(centre - 2 / shrink)
        taps = range(left, left + math.ceil(4 / shrink) + 3)
        weights = np.array([cubic(shrink * (centre - tap)) for tap in taps])
        for tap, weight in zip(taps, weights / weights.sum(), strict=True):
            inside = min(max(tap, 1), size)
            if edges == "mirror":
                inside = [*range(1, size + 1), *range(size, 0, -1)][(tap - 1) % (2 * size)]
            row[inside - 1] += weight
    return matrix


def matlab_imresize(image, scale, edges):
    """float64 `[H, W]`."""
    rows = matlab_matrix(image.shape[0], scale, edges)
    columns = matlab_matrix(image.shape[1], scale, edges)
    return rows @ image.astype(np.float64) @ columns.T


def half_up(values):
    """MATLAB's rounding of positive numbers; NumPy rounds halves to even."""
    return np.floor(values + 0.5)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, SCALES, EDGES)
def test_float_resize_equals_the_slow_reference(height, width, scale, edges):
    image = np.random.default_rng(0).random((height, width)).astype(np.float32)
    resized = imresize(image, scale, edges=edges)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, matlab_imresize(image, scale, edges), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1 / 3, 0.7, 3])
def test_float_resize_stays_exact_on_large_images(scale):
    image = np.random.default_rng(0).random((3, 1501)).astype(np.float32)
    expected = matlab_imresize(image, scale, "mirror")
    np.testing.assert_allclose(imresize(image, scale), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 2, 3])
@pytest.mark.parametrize("edges", ["mirror", "replicate"])
def test_uint8_is_rounded_after_each_pass(scale, edges):
    image = np.random.default_rng(1).integers(0, 256, (23, 30), np.uint8)
    rows = matlab_matrix(23, scale, edges) @ image
    columns = matlab_matrix(30, scale, edges)
    expected = np.clip(half_up(np.clip(half_up(rows), 0, 255) @ columns.T), 0, 255)
    resized = imresize(image, scale, edges=edges)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("data_set", ["Set5", "Set14"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bit_exact_with_matlab(data_dir, data_set, scale):
    folder = data_dir / "matlab_bicubic" / data_set / f"x{scale}"
    sources = sorted(folder.glob("*_HR.png"))
    assert sources
    for source in sources:
        expected = read_image(str(source).replace("_HR", "_LR"))
        resized = imresize(read_image(source), 1 / scale, edges="replicate")
        np.testing.assert_array_equal(resized, expected, err_msg=str(source))


def test_channels_are_resized_alike():
    image = np.random.default_rng(2).random((9, 14, 3)).astype(np.float32)
    resized = imresize(image, 0.5)
    assert resized.shape == (5, 7, 3)
    for channel in range(3):
        np.testing.assert_allclose(
            resized[..., channel], imresize(image[..., channel], 0.5), atol=1e-6
        )


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, SCALES, EDGES)
def test_constant_stays_constant_and_scale_one_is_the_identity(height, width, scale, edges):
    constant = np.full((height, width), 0.7, np.float32)
    np.testing.assert_allclose(imresize(constant, scale, edges=edges), 0.7, atol=1e-6)
    image = np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)
    np.testing.assert_array_equal(imresize(image, 1, edges=edges), image)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dtype", [tf.float32, tf.int32, None])
def test_graph_version_with_dynamic_shape_and_scale(scale, dtype):
    image = np.random.default_rng(4).random((24, 36, 2)).astype(np.float32)
    signature = [tf.TensorSpec([None, None, None, 2]), tf.TensorSpec([], dtype or tf.float32)]

    @tf.function(input_signature=signature)
    def degrade(images, factor):
        return resize_bicubic(resize_bicubic(images, 1 / factor), factor)

    if dtype is None:  # static
        degraded = resize_bicubic(resize_bicubic(image[None], 1 / scale), scale)
    else:
        degraded = degrade(image[None], tf.constant(scale, dtype))
    assert degraded.shape == (1, 24, 36, 2)
    expected = imresize(imresize(image, 1 / scale), scale)
    np.testing.assert_allclose(degraded[0], expected, atol=2e-6)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4])
def test_a_float32_scale_gives_the_size_of_the_exact_ratio(scale):
    shrink = tf.function(resize_bicubic)
    for size in (1, 2, 5, 21, 341, 683, 1365):
        full = size * round(1 / scale)
        resized = shrink(tf.zeros([1, full, 1, 1]), tf.constant(scale, tf.float32))
        assert resized.shape[1] == size


@pytest.mark.parametrize(
    ("image", "scale", "options", "message"),
    [
        (np.zeros((4, 4), np.uint8), 0, {}, "scale"),
        (np.zeros((4, 4), np.uint8), -2, {}, "scale"),
        (np.zeros((4, 4), np.uint8), math.nan, {}, "scale"),
        (np.zeros((4, 4), np.uint8), math.inf, {}, "scale"),
        (np.zeros((4, 4), np.uint8), 2, {"edges": "wrap"}, "edges"),
        (np.zeros((4, 4), np.int32), 2, {}, "dtype"),
        (np.zeros((0, 4), np.uint8), 2, {}, "shape"),
        (np.zeros(4, np.uint8), 2, {}, "shape"),
        (np.zeros((1, 4, 4, 1), np.float32), 2, {}, "shape"),
    ],
)
def test_imresize_refuses(image, scale, options, message):
    with pytest.raises(NLRNError, match=message):
        imresize(image, scale, **options)


def test_noise_follows_the_fixed_rule():
    image = np.random.default_rng(5).integers(0, 256, (50, 57), np.uint8)
    noisy = add_gaussian_noise(image, 25, seed=7)
    noise = np.random.default_rng(7).normal(0, 25 / 255, (50, 57)).astype(np.float32)
    assert noisy.dtype == np.float32
    np.testing.assert_array_equal(noisy, image.astype(np.float32) / np.float32(255) + noise)
    assert noisy.min() < 0  # not clipped
    np.testing.assert_array_equal(noisy, add_gaussian_noise(image, 25, seed=7))
    assert (noisy != add_gaussian_noise(image, 25, seed=8)).mean() > 0.99


@pytest.mark.parametrize("sigma", [-1, math.nan, math.inf])
def test_noise_refuses_a_wrong_sigma(sigma):
    with pytest.raises(NLRNError, match="sigma"):
        add_gaussian_noise(np.zeros((3, 3), np.uint8), sigma, seed=0)


def test_crop_to_multiple():
    image = np.arange(7 * 11 * 3).reshape(7, 11, 3)
    np.testing.assert_array_equal(crop_to_multiple(image, 3), image[:6, :9])
    np.testing.assert_array_equal(crop_to_multiple(image[..., 0], 11), image[:0, :, 0])
    assert crop_to_multiple(image, 1).shape == image.shape
