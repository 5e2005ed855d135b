"""The similarities: their table, and that a new one is an entry and a name."""

import dataclasses

import numpy as np
import pytest
from keras import ops

import nlrn_tf
from nlrn_tf import config
from nlrn_tf.layers import similarity
from nlrn_tf.layers.non_local import NonLocal
from nlrn_tf.layers.similarity import Similarity, negative_distances, similarity_of
from nlrn_tf.restoration.inference import apply_model

TINY = nlrn_tf.NLRNConfig(filters=8, embedding_size=4, num_states=2, window_size=5)


def test_the_names_are_those_of_the_configuration():
    assert tuple(similarity._SIMILARITIES) == config.SIMILARITIES


@pytest.mark.parametrize("name", config.SIMILARITIES)
def test_the_factors_have_the_inner_size_that_is_promised(rng, name):
    settings = dataclasses.replace(TINY, similarity=name)
    entry = similarity_of(settings)
    channels = settings.embedding_size if entry.has_theta else settings.filters
    embedded = ops.convert_to_tensor(rng.normal(size=(2, 3, 4, channels)).astype("float32"))
    for factor in entry.factors(embedded, embedded):
        assert factor.shape == (2, 3, 4, entry.inner_size(settings))


def test_products_of_the_factors_are_distances_up_to_a_number_for_each_query(rng):
    queries, keys = rng.normal(size=(2, 1, 5, 6, 8))
    factors = [np.reshape(x, (30, 9)) for x in negative_distances(queries, keys)]
    queries, keys = queries.reshape(30, 8), keys.reshape(30, 8)
    distances = -((queries[:, None] - keys[None]) ** 2).mean(-1)
    surplus = factors[0] @ factors[1].T - distances
    np.testing.assert_allclose(surplus, surplus[:, :1] + np.zeros(30), atol=1e-5)


def cosines(queries, keys):
    """The cosine of the angle between two embedded pixels."""
    return ops.normalize(queries, axis=-1), ops.normalize(keys, axis=-1)


@pytest.fixture
def cosine(monkeypatch):
    entry = Similarity(has_theta=True, has_phi=True, factors=cosines)
    monkeypatch.setitem(similarity._SIMILARITIES, "cosine", entry)
    monkeypatch.setattr(config, "SIMILARITIES", (*config.SIMILARITIES, "cosine"))
    return "cosine"


@pytest.mark.parametrize("propagates", [True, False])
def test_a_seventh_similarity_is_an_entry_and_a_name(rng, cosine, propagates):
    """A network with it gives the same densely and in windows, in a loop and unrolled."""
    settings = dataclasses.replace(TINY, similarity=cosine, correlation_propagation=propagates)
    images = rng.random((2, 5, 4, 1), "float32")
    first = nlrn_tf.NLRN(settings)
    weights = [w + rng.uniform(0.05, 0.2, w.shape) for w in first.get_weights()]
    outputs = {}
    for unroll in (False, True):
        model = nlrn_tf.NLRN(dataclasses.replace(settings, unroll=unroll))
        model.set_weights(weights)
        outputs["dense", unroll] = model(images)
        outputs["windows", unroll] = apply_model(model, images)
    expected = outputs.pop(("dense", False))
    other = nlrn_tf.NLRN(dataclasses.replace(settings, similarity="embedded_gaussian"))
    other.set_weights(weights)
    scale = np.abs(expected).max()
    assert np.abs(other(images) - expected).max() > 1e-3 * scale
    for output in outputs.values():
        np.testing.assert_allclose(output / scale, expected / scale, atol=1e-5)


def test_a_seventh_similarity_is_the_one_that_it_says(rng, cosine):
    """The module alone, against the cosines of its own embeddings."""
    settings = dataclasses.replace(TINY, similarity=cosine, correlation_propagation=False)
    layer = NonLocal(settings)
    layer.build((None, None, None, 8))
    layer.g.kernel.assign(np.eye(8)[None, None, None])
    layer.theta.bias.assign(rng.normal(size=(1, 4)))
    layer.phi.bias.assign(rng.normal(size=(1, 4)))
    features = rng.normal(size=(1, 4, 5, 8)).astype("float32")
    output, _ = layer(features, ())
    flat = features.reshape(20, 8)
    theta, phi = (
        flat @ np.asarray(embedding.kernel)[0, 0, 0] + np.asarray(embedding.bias)
        for embedding in (layer.theta, layer.phi)
    )
    theta, phi = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (theta, phi))
    weights = np.exp(theta @ phi.T)
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        (output - features).numpy().reshape(20, 8), weights @ flat, atol=1e-4
    )
