"""The attention with a gradient of its own against automatic differentiation in float64."""

import numpy as np
import pytest
import tensorflow as tf

from nlrn_tf.layers.attention.dense import accumulating_attention

TOLERANCE = {"float32": 2e-6, "bfloat16": 0.02, "float16": 3e-3}


def _reference(queries, keys, values, weights):
    """The sum over the states of equations 4 and 7 of the paper, weighed, as they stand."""
    total, logits = 0.0, 0.0
    for q, k, v, w in zip(queries, keys, values, weights, strict=True):
        logits += tf.einsum("bil,bjl->bij", q, k)
        total += tf.reduce_sum(w * tf.einsum("bij,bjm->bim", tf.nn.softmax(logits), v))
    return total


def _accumulated(queries, keys, values, weights):
    total, correlation = 0.0, ()
    for q, k, v, w in zip(queries, keys, values, weights, strict=True):
        attended, correlation = accumulating_attention(correlation, q, k, v)
        assert attended.dtype == v.dtype
        total += tf.reduce_sum(w * tf.cast(attended, "float64"))
    return total


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("num_states", [1, 2, 4])
@pytest.mark.parametrize("pixels", [2, 9])
@pytest.mark.parametrize("in_a_graph", [False, True])
def test_value_and_gradients_of_several_states(rng, dtype, num_states, pixels, in_a_graph):
    def features(channels):
        shape = (num_states, 2, pixels, channels)
        return tf.unstack(tf.cast(tf.constant(rng.normal(size=shape)), dtype))

    inputs = [features(3), features(3), features(5)]
    exact = [[tf.cast(x, "float64") for x in group] for group in inputs]
    weights = [tf.constant(rng.normal(size=(2, pixels, 5))) for _ in range(num_states)]

    def with_gradients(function, *inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = function(*inputs, weights)
        return total, tape.gradient(total, inputs, unconnected_gradients="zero")

    run = tf.function(with_gradients, autograph=False) if in_a_graph else with_gradients
    total, gradients = run(_accumulated, *inputs)
    expected_total, expected = with_gradients(_reference, *exact)
    tolerance = TOLERANCE[dtype] * num_states
    np.testing.assert_allclose(total, expected_total, rtol=tolerance, atol=10 * tolerance)
    for gradient, reference in zip(
        tf.nest.flatten(gradients), tf.nest.flatten(expected), strict=True
    ):
        assert gradient.dtype == dtype
        scale = max(1.0, np.abs(reference).max())
        error = np.abs(tf.cast(gradient, "float64") - reference).max()
        assert error <= 3 * tolerance * scale


def test_a_constant_added_to_all_logits_of_a_query_has_no_gradient(rng):
    """Keys that all move the same way change no weight: their gradients sum to zero."""
    queries, keys, values = (
        tf.constant(rng.normal(size=(2, 40, channels)), "float32") for channels in (4, 4, 6)
    )
    with tf.GradientTape() as tape:
        tape.watch(keys)
        correlation = ()
        for _ in range(3):
            attended, correlation = accumulating_attention(correlation, queries, keys, values)
        total = tf.reduce_sum(tf.square(attended))
    gradient = tape.gradient(total, keys).numpy()
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-4)
