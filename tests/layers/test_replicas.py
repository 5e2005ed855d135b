"""Batch norms whose batch is shared by replicas, against NumPy and against the whole batch."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from nlrn_tf.layers import batch_norm
from nlrn_tf.layers.replicas import mean_over_replicas, replicated
from nlrn_tf.layers.statewise import StatewiseBatchNorm

EPSILON = 1e-3


class Meeting:
    """The replicas of a test: threads that wait for each other."""

    def __init__(self, count):
        self.count = count
        self._barrier = threading.Barrier(count)
        self._values = [None] * count

    def run(self, function):
        """What `function(number)` returns in each thread, within `replicated`."""
        results = [None] * self.count

        def thread(number):
            try:
                with replicated(lambda value: self._mean(number, value)):
                    results[number] = function(number)
            except BaseException:
                self._barrier.abort()
                raise

        threads = [threading.Thread(target=thread, args=(n,)) for n in range(self.count)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert None not in results
        return results

    def _mean(self, number, value):
        self._values[number] = value
        self._barrier.wait(60)
        mean = tf.add_n(self._values) / len(self._values)
        self._barrier.wait(60)
        return mean


@pytest.fixture(params=[2, 3])
def count(request):
    return request.param


def features(rng, mean, deviation):
    """`[6, 4, 5, 7]`, float32; its parts have other means than the whole."""
    parts = rng.normal(0, deviation, (6, 1, 1, 1))
    return (mean + parts + rng.normal(0, deviation, (6, 4, 5, 7))).astype("float32")


def by_definition(inputs, gamma, beta):
    inputs = tf.cast(inputs, tf.float64)
    mean = tf.reduce_mean(inputs, (0, 1, 2))
    variance = tf.reduce_mean((inputs - mean) ** 2, (0, 1, 2))
    normalized = (inputs - mean) / tf.sqrt(variance + EPSILON)
    return normalized * tf.cast(gamma, tf.float64) + tf.cast(beta, tf.float64), mean, variance


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 2), (100, 0.5)], ids=["usual", "flat"])
def test_output_statistics_and_gradients_are_those_of_the_whole_batch(rng, count, mean, deviation):
    inputs = features(rng, mean, deviation)
    gamma, beta = tf.constant(rng.uniform(0.5, 2, (2, 7)), tf.float32)
    weights = rng.normal(size=inputs.shape).astype("float32")
    variables = [tf.constant(inputs), gamma, beta]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs, *moments = by_definition(*variables)
        loss = tf.reduce_sum(tf.sin(outputs) * weights)
    expected = [outputs, *moments, *tape.gradient(loss, variables)]

    def replica(number):
        part = slice(number * 6 // count, (number + 1) * 6 // count)
        own = [tf.constant(inputs[part]), gamma, beta]
        with tf.GradientTape() as tape:
            tape.watch(own)
            outputs, *moments = batch_norm.normalize_by_batch(*own, EPSILON, mean_over_replicas())
            loss = tf.reduce_sum(tf.sin(outputs) * weights[part])
        return outputs, *moments, *tape.gradient(loss, own)

    outputs, means, variances, of_inputs, of_gamma, of_beta = zip(
        *Meeting(count).run(replica), strict=True
    )
    found = [np.concatenate(outputs), means[0], variances[0], np.concatenate(of_inputs)]
    found += [sum(of_gamma), sum(of_beta)]
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * scale, err_msg=str(number))
    for same in (means, variances):
        for other in same[1:]:
            np.testing.assert_array_equal(same[0], other)


def test_low_precision_is_normalised_in_float32(rng, count):
    inputs = features(rng, 3, 2)
    gamma, beta = tf.ones(7), tf.zeros(7)

    def replica(number):
        part = slice(number * 6 // count, (number + 1) * 6 // count)
        shared = tf.cast(inputs[part], tf.bfloat16)
        return batch_norm.normalize_by_batch(shared, gamma, beta, EPSILON, mean_over_replicas())

    results = Meeting(count).run(replica)
    assert {outputs.dtype for outputs, _, _ in results} == {tf.bfloat16}
    rounded = tf.cast(tf.cast(inputs, tf.bfloat16), tf.float32)
    expected, mean, variance = by_definition(rounded, gamma, beta)
    outputs = np.concatenate([np.asarray(tf.cast(o, tf.float32)) for o, _, _ in results])
    np.testing.assert_allclose(outputs, expected, rtol=2**-8, atol=1e-5)
    np.testing.assert_allclose(results[0][1], mean, rtol=1e-5)
    np.testing.assert_allclose(results[0][2], variance, rtol=1e-5)


def test_a_layer_takes_the_statistics_of_all_replicas_within_its_context_only(rng):
    inputs = features(rng, 3, 2)
    layer = StatewiseBatchNorm()
    layer.build(inputs.shape)
    alone = layer(inputs[:3], training=True)[1]
    (shared, _), _ = Meeting(2).run(
        lambda number: (layer(inputs[3 * number : 3 * number + 3], training=True)[1], number)
    )
    np.testing.assert_allclose(alone[0], inputs[:3].mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(shared[0], inputs.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(shared[1], inputs.var((0, 1, 2)), rtol=1e-4)
    assert mean_over_replicas() is None
