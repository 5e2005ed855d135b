"""The windowed attention against its reference and against properties of attention."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nlrn_tf.layers.attention.blocks import (
    windowed_attention,
    windowed_attention_reference,
)

TOLERANCE = {"float32": 1e-5, "float64": 1e-10, "bfloat16": 0.1, "float16": 0.02}


def _inputs(rng, height, width, dtype="float32", batch=1, inner=3, channels=2):
    def features(size):
        return tf.constant(rng.normal(size=(batch, height, width, size)), dtype)

    return features(inner), features(inner), features(channels)


# Not shrunk: the reference takes its time.
@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    window_size=st.integers(1, 26),
    border=st.sampled_from(["clamp", "circular"]),
    normalization=st.sampled_from(["softmax", "mean"]),
    dtype=st.sampled_from(list(TOLERANCE)),
    batch=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_equals_the_reference_in_value_and_gradient(
    height, width, window_size, border, normalization, dtype, batch, seed
):
    inputs = _inputs(np.random.default_rng(seed), height, width, dtype, batch)
    exact = [tf.cast(x, "float64") for x in inputs]
    weights = tf.constant(np.random.default_rng(1).normal(size=inputs[2].shape))
    results = []
    for attention, arguments in (
        (windowed_attention, inputs),
        (windowed_attention_reference, exact),
    ):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            output = attention(
                *arguments, window_size=window_size, border=border, normalization=normalization
            )
            total = tf.reduce_sum(tf.cast(output, "float64") * weights)
        results.append([output, *tape.gradient(total, arguments, unconnected_gradients="zero")])
    assert results[0][0].dtype == dtype
    for fast, reference in zip(*results, strict=True):
        # A gradient sums over the queries of a window, so its error grows with its size.
        scale = max(1.0, np.abs(reference).max())
        fast = tf.cast(fast, "float64").numpy()
        np.testing.assert_allclose(fast / scale, reference / scale, atol=TOLERANCE[dtype])


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
        expected = windowed_attention_reference(*inputs, window_size=7)
        np.testing.assert_allclose(graph(*inputs), expected, atol=1e-5)
