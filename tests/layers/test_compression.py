"""The compressed correlation against the best one there is, and where there is nothing to keep."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.layers import propagation
from nlrn_tf.layers.compression import compressed


def _correlated(rng, shape, channels, rank, dtype="float32"):
    """Features of `rank` independent directions of quickly falling size, and a little noise."""
    directions = rng.normal(size=(*shape, rank)) * 0.7 ** np.arange(rank)
    return tf.constant(directions @ rng.normal(size=(rank, channels)), dtype)


def _products(queries, keys):
    batch, channels = queries.shape[0], queries.shape[-1]
    queries = np.reshape(queries, (batch, -1, channels)).astype("float64")
    keys = np.reshape(keys, (batch, -1, channels)).astype("float64")
    return queries @ keys.transpose(0, 2, 1)


def test_exact_when_the_rank_suffices(rng):
    queries = _correlated(rng, (2, 9, 14), 12, 5)
    keys = _correlated(rng, (2, 9, 14), 12, 11)
    few_queries, few_keys = compressed([queries], [keys], 5)
    assert few_queries.shape == few_keys.shape == (2, 9, 14, 5)
    exact = _products(queries, keys)
    np.testing.assert_allclose(
        _products(few_queries, few_keys), exact, atol=1e-4 * np.abs(exact).max()
    )


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_as_near_as_any_product_of_that_rank(rng, rank):
    """By the theorem of Eckart and Young the singular values left out are the smallest error."""
    queries = _correlated(rng, (1, 20, 31), 24, 24)
    keys = _correlated(rng, (1, 20, 31), 24, 24)
    exact = _products(queries, keys)
    few = compressed([queries[..., :10], queries[..., 10:]], [keys[..., :16], keys[..., 16:]], rank)
    error = np.linalg.norm(_products(*few) - exact)
    best = np.sqrt((np.linalg.svd(exact[0], compute_uv=False)[rank:] ** 2).sum())
    assert error <= 1.001 * best


def test_samples_of_a_large_image_are_enough(rng):
    queries = _correlated(rng, (1, 150, 150), 24, 24)
    keys = _correlated(rng, (1, 150, 150), 24, 24)
    few_queries, few_keys = compressed([queries], [keys], 8)
    some = rng.integers(0, 150, (2, 500))
    queries, keys, few_queries, few_keys = (
        x.numpy()[:, some[0], some[1]] for x in (queries, keys, few_queries, few_keys)
    )
    exact = _products(queries, keys)
    best = np.sqrt((np.linalg.svd(exact[0], compute_uv=False)[8:] ** 2).sum())
    assert np.linalg.norm(_products(few_queries, few_keys) - exact) <= 1.1 * best


def test_features_without_variation():
    ones, zeros = tf.ones((1, 5, 6, 7)), tf.zeros((1, 5, 6, 7))
    for queries, keys in ((ones, ones), (ones, zeros), (zeros, ones), (zeros, zeros)):
        products = _products(*compressed([queries], [keys], 3))
        np.testing.assert_allclose(products, _products(queries, keys), rtol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_stay_so(rng, bad):
    queries = rng.normal(size=(1, 5, 6, 7)).astype("float32")
    keys = queries.copy()
    queries[0, 2, 3] = bad
    few_queries, few_keys = compressed([tf.constant(queries)], [tf.constant(keys)], 3)
    assert not np.isfinite(few_queries[0, 2, 3]).any()
    assert np.isfinite(few_keys).all()


def test_gradients_are_those_of_the_projection(rng):
    queries = _correlated(rng, (1, 6, 7), 9, 4)
    keys = _correlated(rng, (1, 6, 7), 9, 4)
    weights = tf.constant(rng.normal(size=(42, 42)), "float32")

    def loss(queries, keys):
        products = tf.reshape(queries, (42, -1)) @ tf.transpose(tf.reshape(keys, (42, -1)))
        return tf.reduce_sum(weights * products)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([queries, keys])
        all_channels = loss(queries, keys)
        few_channels = loss(*compressed([queries], [keys], 6))
    # Along the features themselves the projection changes nothing: they have rank 4.
    for features in (queries, keys):
        exact = tf.reduce_sum(tape.gradient(all_channels, features) * features)
        projected = tf.reduce_sum(tape.gradient(few_channels, features) * features)
        np.testing.assert_allclose(projected, exact, rtol=1e-3)


def test_a_network_that_need_not_be_exact_needs_the_channels_of_four_states(rng, monkeypatch):
    config = nlrn_tf.NLRNConfig(
        filters=8, embedding_size=4, num_states=6, window_size=5, unroll=True
    )
    images = rng.random((2, 12, 15, 1)).astype("float32")
    channels = []
    attend = propagation.attend

    def counting(queries, keys, values, **options):
        channels.append(sum(x.shape[-1] for x in keys))
        return attend(queries, keys, values, **options)

    monkeypatch.setattr(propagation, "attend", counting)
    monkeypatch.setenv("NLRN_KERNEL", "off")  # which needs no compression where it keeps the logits
    exact, compressed = [4, 8, 12, 16, 20, 24], [4, 8, 12, 16, 12, 16]
    for precision, training, exact_propagation, expected in (
        ("float32", False, None, exact),
        ("float32", False, True, exact),
        ("float32", False, False, compressed),
        ("float32", True, False, exact),
        ("mixed_bfloat16", True, None, exact),
        ("mixed_bfloat16", False, None, compressed),
        ("mixed_bfloat16", False, True, exact),
    ):
        channels.clear()
        config = dataclasses.replace(config, exact_propagation=exact_propagation)
        nlrn_tf.NLRN(config, dtype=precision)(images, training=training)
        assert channels == expected
