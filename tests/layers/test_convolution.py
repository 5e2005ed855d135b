"""The compiled convolution, by each variant that this machine can run, against the definition."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nlrn_tf.layers import compiled, convolution
from nlrn_tf.layers.convolution import convolve

VARIANTS = [name for name in compiled.usable() if name != "amx"]

needs_kernel = pytest.mark.skipif(not VARIANTS, reason="no kernel was compiled, or a GPU is used")


@pytest.fixture(params=VARIANTS or ["none"])
def variant(request, monkeypatch):
    monkeypatch.setenv(compiled.VARIABLE, request.param)
    return request.param


def by_definition(inputs, weights):
    """The sum over the nine neighbours, in float64."""
    inputs, weights = np.asarray(inputs, np.float64), np.asarray(weights, np.float64)
    height, width = inputs.shape[1:3]
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(
        padded[:, y : y + height, x : x + width] @ weights[y, x] for y in range(3) for x in range(3)
    )


def operands(rng, batch, height, width, inputs, outputs):
    images = rng.normal(size=(batch, height, width, inputs)).astype(np.float32)
    weights = rng.normal(size=(3, 3, inputs, outputs)).astype(np.float32)
    return tf.constant(images), tf.constant(weights / np.sqrt(9 * inputs, dtype=np.float32))


def is_by_kernel(images, weights):
    return convolution._variant_for(images, weights) is not None


@needs_kernel
@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 140)),
    channels=st.tuples(st.sampled_from([16, 32, 48, 80]), st.sampled_from([16, 64, 112])),
    seed=st.integers(0, 9),
)
def test_is_the_sum_over_the_neighbours(name, size, channels, seed):
    images, weights = operands(np.random.default_rng(seed), *size, *channels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.VARIABLE, name)
        assert is_by_kernel(images, weights)
        convolved = convolve(images, weights)
    # Outputs are of the order of 1; the transforms add to the rounding of the sums themselves.
    error = convolved - by_definition(images, weights)
    assert np.abs(error).max() < 1e-4
    assert np.sqrt(np.mean(np.square(error))) < 5e-6


@needs_kernel
def test_gradient_is_that_of_the_definition(variant, rng):
    images, weights = operands(rng, 2, 9, 14, 32, 48)
    upstream = tf.constant(rng.normal(size=(2, 9, 14, 48)), tf.float32)
    gradients = []
    for by_kernel in (True, False):
        with tf.GradientTape() as tape:
            tape.watch((images, weights))
            total = tf.reduce_sum(convolve(images, weights, by_kernel=by_kernel) * upstream)
        gradients.append(tape.gradient(total, (images, weights)))
    for one, another in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("variants", "dtype", "kernel_size", "channels", "expected"),  # in inference
    [
        (["avx2"], "float32", 3, (64, 128), "avx2"),
        (["avx512", "avx2"], "float32", 3, (64, 64), "avx512"),
        (["avx512", "avx2"], "bfloat16", 3, (64, 64), "avx512"),
        (["amx", "avx512"], "bfloat16", 3, (64, 64), None),
        (["amx", "avx512"], "float32", 3, (64, 64), "avx512"),
        (["avx2"], "float16", 3, (64, 64), None),
        (["avx2"], "float64", 3, (64, 64), None),
        (["avx2"], "float32", 1, (64, 64), None),
        (["avx2"], "float32", 3, (1, 64), None),
        (["avx2"], "float32", 3, (64, 20), None),
        (["amx"], "float32", 3, (64, 64), None),
        ([], "float32", 3, (64, 64), None),
    ],
)
def test_where_it_is_used(monkeypatch, variants, dtype, kernel_size, channels, expected):
    monkeypatch.setattr(compiled, "variants", lambda: variants)
    images = tf.zeros((1, 5, 5, channels[0]), dtype)
    weights = tf.zeros((kernel_size, kernel_size, *channels))
    assert convolution._variant_for(images, weights) == expected


@needs_kernel
def test_bfloat16_is_rounded_once_in_inference_and_left_alone_in_training(variant, rng):
    images, weights = (tf.cast(x, "bfloat16") for x in operands(rng, 1, 12, 9, 32, 16))
    assert is_by_kernel(images, weights)
    convolved = convolve(images, weights)
    assert convolved.dtype == tf.bfloat16
    exact = by_definition(tf.cast(images, "float32"), tf.cast(weights, "float32"))
    # Of the half of the last place, and the sums in float32 before it.
    np.testing.assert_allclose(tf.cast(convolved, "float64"), exact, rtol=2**-8, atol=1e-4)
    trained = convolve(images, weights, training=True)
    np.testing.assert_array_equal(trained, convolve(images, weights, by_kernel=False))


@needs_kernel
def test_no_image_gives_none(variant, rng):
    images, weights = operands(rng, 0, 9, 9, 16, 32)
    assert convolve(images, weights).shape == (0, 9, 9, 32)


@needs_kernel
def test_an_image_does_not_leak_into_another(variant, rng):
    images, weights = operands(rng, 3, 7, 11, 16, 16)
    together = convolve(images, weights)
    for image, expected in zip(images, together, strict=True):
        np.testing.assert_array_equal(convolve(image[None], weights)[0], expected)


@needs_kernel
def test_several_threads_at_once(variant, rng):
    cases = [operands(rng, 1, 30, 41, 32, 32) for _ in range(6)]
    alone = [convolve(*case).numpy() for case in cases]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for one, another in zip(alone, pool.map(lambda case: convolve(*case), cases), strict=True):
            np.testing.assert_array_equal(one, another)


@needs_kernel
def test_arrays_of_wrong_sizes_are_refused(variant):
    image, weights = np.zeros((9, 9, 16), np.float32), np.zeros((3, 3, 16, 16), np.float32)
    transformed = np.zeros(compiled.kernels.num_transformed(16, 16), np.float32)

    def convolve_rows(image=image, transformed=transformed, channels=(16, 16), rows=(0, 9)):
        result = np.zeros((9, 9, 16), np.float32)
        arrays = (image, transformed, result)
        compiled.kernels.convolve_rows(variant, *arrays, 9, 9, *channels, *rows)

    convolve_rows()
    for wrong in (
        {"image": image[:8]},
        {"transformed": transformed[1:]},
        {"channels": (16, 8)},
        {"channels": (0, 16)},
        {"rows": (0, 10)},
        {"rows": (2, 9)},
        {"rows": (4, 4)},
        {"rows": (-4, 4)},
    ):
        with pytest.raises(ValueError, match="arrays"):
            convolve_rows(**wrong)
    for arrays in ((weights[..., :8].copy(), transformed), (weights, transformed[1:])):
        with pytest.raises(ValueError, match="arrays"):
            compiled.kernels.transform_weights(variant, *arrays, 16, 16)
