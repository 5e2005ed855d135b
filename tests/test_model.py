"""The network against the released one, its own slow definition, and the paper's figures."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.config import SIMILARITIES
from nlrn_tf.layers.non_local import NonLocal
from nlrn_tf.weights.rebuilding import rebuild
from nlrn_tf.weights.released import import_saved_model

TINY = nlrn_tf.NLRNConfig(filters=8, embedding_size=4, num_states=3, window_size=7)


def _randomized(config, seed=0, dtype="float32"):
    """A network none of whose weights has its initial value, such as 0 or 1."""
    model = nlrn_tf.NLRN(config, dtype=dtype)
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0.05, 0.2, w.shape) for w in model.get_weights()])
    return model


def _images(rng, *shape):
    return tf.constant(rng.random((*shape, 1)), tf.float32)


@pytest.fixture(scope="module")
def released(reference_dir):
    return import_saved_model(reference_dir / "released_sigma15", noise_sigma=15.0, task="denoise")


def test_parameters_at_paper_settings():
    model = nlrn_tf.NLRN()
    norms = sum(v.shape.num_elements() for v in model.trainable_variables if "norm" in v.path)
    assert norms == 9_474
    assert model.count_params() - norms - _statistics(model) == 330_625


def _statistics(model):
    return sum(v.shape.num_elements() for v in model.non_trainable_variables)


@pytest.mark.parametrize("name", ["patches", "rect"])
def test_dense_output_is_the_released_models(released, reference_dir, name):
    """The released graph attends densely: over all 31x57 pixels of `rect`."""
    io = np.load(reference_dir / "released_sigma15_io.npz")
    config = dataclasses.replace(released.config, window_size=57)
    model = rebuild(released, config)
    output = np.clip(model(io[name]), 0, 1)
    np.testing.assert_allclose(output, io[f"{name}_out"], atol=1e-5)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize(
    "name", ["clamp_q45", "circular_q45", "clamp_q15", "circular_q15", "clamp_q15_no_propagation"]
)
def test_whole_image_output_is_the_references(released, reference_dir, name, unroll):
    oracle = np.load(reference_dir / "whole_image_reference.npz")
    border, window = name.split("_")[:2]
    config = dataclasses.replace(
        released.config,
        window_border=border,
        window_size=int(window[1:]),
        correlation_propagation="no_propagation" not in name,
        unroll=unroll,
    )
    model = rebuild(released, config)
    output = model(oracle["noisy"][None, ..., None].astype("float32"))[0, ..., 0]
    np.testing.assert_allclose(output, oracle[name], atol=2e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"correlation_propagation": False},
        {"tied_weights": False},
        {"non_local_every": 2},
        {"non_local_every": 0},
        *({"similarity": similarity} for similarity in SIMILARITIES[1:]),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(7, 6), (10, 19)], ids=["dense", "windowed"])
def test_the_loop_equals_the_unrolled_network(rng, changes, size):
    loop = _randomized(dataclasses.replace(TINY, **changes))
    unrolled = rebuild(loop, dataclasses.replace(loop.config, unroll=True))
    images = _images(rng, 2, *size)
    results = []
    for model in (loop, unrolled):
        with tf.GradientTape() as tape:
            output = tf.function(model, autograph=False)(images, training=True)
            loss = tf.reduce_sum(tf.square(output - images))
        results.append([output, *tape.gradient(loss, [v.value for v in model.trainable_variables])])
        results[-1] += [v.numpy() for v in model.non_trainable_variables]
    for in_loop, in_turn in zip(*results, strict=True):
        if in_loop is None:  # a weight of the non-local module before it is used
            assert in_turn is None
            continue
        scale = max(1.0, np.abs(in_turn).max())  # some gradients are 0 except for rounding
        np.testing.assert_allclose(in_loop / scale, in_turn / scale, atol=2e-5)


def test_table_1_similarities_differ_and_are_what_they_say(rng):
    features = tf.constant(rng.normal(size=(1, 4, 5, 8)), tf.float32)
    flat = features.numpy().reshape(20, 8).astype("float64")
    products = flat @ flat.T
    distances = ((flat[:, None] - flat[None]) ** 2).sum(-1)
    expected = {
        "gaussian": _softmax(products),
        "dot_product": products / 20,
        "euclidean": _softmax(-distances / 8),
    }
    for similarity, weights in expected.items():
        config = dataclasses.replace(TINY, similarity=similarity, correlation_propagation=False)
        layer = NonLocal(config)
        layer.build((None, None, None, 8))
        layer.g.kernel.assign(np.eye(8)[None, None, None])
        bias = rng.normal(size=8)
        layer.g.bias.assign(bias[None])
        output, _ = layer(features, ())
        attended = (output - features).numpy().reshape(20, 8)
        np.testing.assert_allclose(attended, weights @ (flat + bias), atol=1e-4)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("unroll", [False, True])
def test_low_precision_is_near_float32_for_all_similarities(rng, similarity, unroll):
    config = dataclasses.replace(TINY, similarity=similarity, unroll=unroll)
    exact = _randomized(config)
    rounded = nlrn_tf.NLRN(config, dtype="mixed_bfloat16")
    rounded.set_weights(exact.get_weights())
    images = _images(rng, 1, 10, 19)
    # Normalised by the batch: dot products, which nothing bounds, overflow with any others.
    expected = exact(images, training=True)
    change = expected - images
    difference = rounded(images, training=True) - expected
    assert np.abs(difference).max() < 0.1 * np.abs(change).max()


def _softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_a_new_network_starts_near_the_identity(rng):
    images = _images(rng, 4, 12, 12)
    output = nlrn_tf.NLRN(TINY)(images, training=True)
    assert 0 < np.abs(output - images).max() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (8, 7), (23, 50)])
def test_any_size_in_either_form_of_attention(rng, size):
    """A graph for unknown sizes always attends in windows, a call knows when dense is enough."""
    model = _randomized(TINY)
    graph = tf.function(
        model, autograph=False, input_signature=[tf.TensorSpec([None, None, None, 1])]
    )
    images = _images(rng, 1, *size)
    expected = model(images)
    assert expected.shape == images.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(graph(images) / scale, expected / scale, atol=1e-5)


def test_images_of_a_batch_do_not_mix(rng):
    model = _randomized(TINY)
    images = _images(rng, 3, 9, 11)
    one_by_one = tf.concat([model(images[i : i + 1]) for i in range(3)], axis=0)
    np.testing.assert_allclose(model(images), one_by_one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("size", [(7, 6), (12, 15)], ids=["dense", "windowed"])
def test_mixed_precision_is_near_float32(rng, precision, size):
    """With the statistics of the batch: those of a new network normalise nothing."""
    exact = nlrn_tf.NLRN(TINY)
    mixed = nlrn_tf.NLRN(TINY, dtype=precision)
    mixed.set_weights(exact.get_weights())
    images = _images(rng, 2, *size)
    output = mixed(images, training=True)
    assert output.dtype == "float32"
    residual = (exact(images, training=True) - images).numpy()
    np.testing.assert_allclose(output - images, residual, atol=0.1 * np.abs(residual).max())


def test_training_updates_the_moving_statistics_of_each_state(rng):
    model = nlrn_tf.NLRN(TINY)
    before = model.recurrent.norm_b.moving_mean.numpy()
    model(_images(rng, 2, 6, 6), training=True)
    moved = np.abs(model.recurrent.norm_b.moving_mean.numpy() - before).max(axis=1)
    assert (moved > 0).all()


def test_fused_normalization_equals_its_definition(rng):
    from nlrn_tf.layers.statewise import StatewiseBatchNorm

    inputs = rng.normal(3, 2, (2, 5, 4, 6)).astype("float32")
    norm = StatewiseBatchNorm(num_states=2)
    norm.build(inputs.shape)
    outputs, statistics = norm(inputs, state=1, training=True)
    mean, variance = inputs.mean((0, 1, 2)), inputs.var((0, 1, 2))
    np.testing.assert_allclose(statistics, [mean, variance], rtol=1e-5)
    np.testing.assert_allclose(outputs, (inputs - mean) / np.sqrt(variance + 1e-3), atol=1e-5)


def test_serialises_with_all_of_its_configuration(rng, tmp_path):
    config = dataclasses.replace(
        TINY, window_border="circular", similarity="gaussian", task="sr", scales=(2, 3)
    )
    model = _randomized(config)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == config
    images = _images(rng, 1, 9, 8)
    np.testing.assert_array_equal(loaded(images), model(images))


def test_wrong_input_shape_is_refused(rng):
    with pytest.raises(ValueError, match=r"\[B, H, W, 1\]"):
        nlrn_tf.NLRN(TINY)(tf.zeros((1, 8, 8, 3)))
