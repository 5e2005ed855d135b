"""Attention in blocks against properties of attention; `test_attend.py` has the definition."""

import numpy as np
import pytest
import tensorflow as tf

from nlrn_tf.layers.attention import blocks, reference

OPTIONS = {"border": "clamp", "normalization": "softmax"}


def windowed_attention(*tensors, **options):
    return blocks.attention(*tensors, **{**OPTIONS, **options})


def _inputs(rng, height, width, dtype="float32", batch=1, inner=3, channels=2):
    def features(size):
        return tf.constant(rng.normal(size=(batch, height, width, size)), dtype)

    return features(inner), features(inner), features(channels)


@pytest.mark.parametrize("border", ["clamp", "circular"])
def test_a_window_of_the_whole_image_is_dense_attention(rng, border):
    queries, keys, values = _inputs(rng, 19, 33)
    windowed = windowed_attention(queries, keys, values, window_size=33, border=border)
    logits = np.einsum("byxc,bvuc->byxvu", queries, keys)
    weights = np.exp(logits) / np.exp(logits).sum(axis=(3, 4), keepdims=True)
    dense = np.einsum("byxvu,bvum->byxm", weights, values)
    np.testing.assert_allclose(windowed, dense, atol=1e-5)


def test_a_window_of_one_pixel_returns_the_values(rng):
    queries, keys, values = _inputs(rng, 20, 18)
    np.testing.assert_allclose(
        windowed_attention(queries, keys, values, window_size=1), values, atol=1e-6
    )


def test_equal_logits_average_the_clamped_window(rng):
    """With queries of zero the result is a box filter whose box stays inside the image."""
    values = rng.normal(size=(1, 25, 40, 1)).astype("float32")
    zeros = tf.zeros((1, 25, 40, 2))
    output = windowed_attention(zeros, zeros, values, window_size=7).numpy()[0, ..., 0]
    for y, x in [(0, 0), (3, 3), (12, 20), (24, 39), (2, 38)]:
        top, left = min(max(y - 3, 0), 25 - 7), min(max(x - 3, 0), 40 - 7)
        expected = values[0, top : top + 7, left : left + 7, 0].mean()
        assert output[y, x] == pytest.approx(expected, abs=1e-5)


def test_circular_windows_commute_with_cyclic_shifts(rng):
    inputs = _inputs(rng, 21, 34)
    shifted = [tf.roll(x, (5, 11), axis=(1, 2)) for x in inputs]
    output = windowed_attention(*inputs, window_size=9, border="circular")
    shifted_output = windowed_attention(*shifted, window_size=9, border="circular")
    np.testing.assert_allclose(shifted_output, tf.roll(output, (5, 11), axis=(1, 2)), atol=1e-5)


def test_huge_logits_stay_finite(rng):
    queries, keys, values = _inputs(rng, 17, 30)
    output = windowed_attention(queries * 1e4, keys * 1e4, values, window_size=5).numpy()
    assert np.isfinite(output).all()
    assert np.abs(output).max() <= np.abs(values).max() + 1e-5


def test_sizes_may_be_unknown_when_the_graph_is_made(rng):
    spec = tf.TensorSpec([None, None, None, None], tf.float32)

    @tf.function(input_signature=[spec] * 3, autograph=False)
    def graph(queries, keys, values):
        return windowed_attention(queries, keys, values, window_size=7)

    for size in [(1, 1), (5, 40), (16, 16), (33, 17)]:
        inputs = _inputs(rng, *size)
        expected = reference.attention(*inputs, window_size=7, **OPTIONS)
        np.testing.assert_allclose(graph(*inputs), expected, atol=1e-5)
