"""Logits that the kernel keeps from state to state: their sums, and how long they stay."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlrn_tf.layers import compiled
from nlrn_tf.layers.attention import kept_logits, kernel

VARIANTS = compiled.usable()
IN_FLOAT32 = [name for name in VARIANTS if name != "amx"]
SOFTMAX = {"border": "clamp", "normalization": "softmax"}
STATM = Path("/proc/self/statm")

pytestmark = pytest.mark.skipif(not VARIANTS, reason="no kernel was compiled, or a GPU is used")


def resident_bytes():
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def features(rng, *shape):
    return tf.constant(rng.normal(size=shape), tf.float32)


@pytest.mark.parametrize("name", IN_FLOAT32)
@pytest.mark.parametrize("border", ["clamp", "circular"])
@pytest.mark.parametrize("size", [(1, 1), (19, 34), (40, 3)])
def test_logits_that_are_kept_give_the_same_as_all_factors(monkeypatch, name, border, size):
    """State by state, in value and in gradient; the sum is made in the same order."""
    monkeypatch.setenv(compiled.VARIABLE, name)
    rng = np.random.default_rng(0)
    options = {"window_size": 9, "border": border, "normalization": "softmax"}
    queries, keys, values = (
        [features(rng, 2, *size, channels) for _ in range(3)] for channels in (5, 5, 7)
    )
    logits = None
    for state in range(1, 4):
        tensors = [*queries[:state], *keys[:state], values[state - 1]]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors)
            attended, logits = kernel.accumulating_attention(
                tensors[:state], tensors[state:-1], tensors[-1], logits, **options
            )
            expected = kernel.attention(tensors[:state], tensors[state:-1], tensors[-1], **options)
        np.testing.assert_allclose(attended, expected, atol=2e-5)
        for one, another in zip(
            tape.gradient(attended, tensors), tape.gradient(expected, tensors), strict=True
        ):
            np.testing.assert_allclose(one, another, atol=2e-5)


def test_logits_do_not_outlive_their_image():
    """TensorFlow lets go of an array at the next call of a function of NumPy arrays."""
    rng = np.random.default_rng(0)
    tensors = [features(rng, 1, 20, 30, 16) for _ in range(3)]

    @tf.function(autograph=False)
    def run(queries, keys, values):
        logits = None
        for state in range(1, 9):
            attended, logits = kernel.accumulating_attention(
                [queries] * state, [keys] * state, values, logits, window_size=9, **SOFTMAX
            )
        return kernel.attention(queries, keys, attended, window_size=9, **SOFTMAX)

    run(*tensors)
    assert not kept_logits._ALIVE


@pytest.mark.skipif(not STATM.exists(), reason="only Linux tells the resident memory")
def test_the_memory_of_logits_is_given_back_after_the_last_state():
    """Even while somebody holds them, as TensorFlow may until another image is under way."""
    rng = np.random.default_rng(0)
    tensors = [features(rng, 1, 60, 60, 16) for _ in range(3)]

    def states(gives_back):
        @tf.function(autograph=False)
        def run(queries, keys, values):
            logits = None
            for state in range(1, 4):
                options = {"is_last": gives_back and state == 3, "window_size": 45, **SOFTMAX}
                attended, logits = kernel.accumulating_attention(
                    [queries] * state, [keys] * state, values, logits, **options
                )
            return attended, logits

        run(*tensors)  # what the first call makes of memory is not that of the logits
        before = resident_bytes()
        attended, logits = run(*tensors)
        return attended, logits, resident_bytes() - before

    expected, held, taken = states(gives_back=False)
    size = held.numpy().nbytes
    assert taken > 0.8 * size > 2**24
    attended, held_too, taken = states(gives_back=True)
    np.testing.assert_array_equal(attended, expected)
    assert held_too.shape == held.shape
    assert taken < 0.2 * size
