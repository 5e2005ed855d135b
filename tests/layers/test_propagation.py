"""The forms of the correlation: which is chosen, and that each attends by the sum."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.layers import compiled
from nlrn_tf.layers import propagation as forms
from nlrn_tf.layers.attention import reference
from nlrn_tf.layers.propagation import propagation

CONFIG = nlrn_tf.NLRNConfig(filters=6, embedding_size=3, num_states=4, window_size=7)
IN_WINDOW, PATCH, LARGE = (None, 7, 5, 6), (None, 14, 5, 6), (None, 15, 5, 6)
UNKNOWN = (None, None, 5, 6)


@pytest.mark.parametrize(
    "shape", [IN_WINDOW, PATCH, LARGE, UNKNOWN], ids=["dense", "patch", "large", "unknown"]
)
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("similarity", ["embedded_gaussian", "dot_product"])
def test_the_form_follows_from_the_shape_and_the_network(shape, unroll, training, similarity):
    config = dataclasses.replace(CONFIG, unroll=unroll, similarity=similarity)
    form = propagation(config, shape, dtype="float32", training=training)
    may_be_dense = shape in (IN_WINDOW, PATCH)
    if may_be_dense and unroll and training and similarity == "embedded_gaussian":
        expected = forms.SummedForTraining
    elif shape != IN_WINDOW:
        expected = forms.ListedFactors if unroll else forms.StackedFactors
    else:
        expected = forms.SummedLogits
    assert type(form) is expected
    alone = dataclasses.replace(config, correlation_propagation=False)
    form = propagation(alone, shape, dtype="float32", training=training)
    assert type(form) is forms.NoPropagation


@pytest.mark.parametrize(
    ("variants", "changes", "expected"),
    [
        (["avx2"], {}, forms.KernelLogits),
        (["avx2"], {"attention": "kernel"}, forms.KernelLogits),
        (["avx2"], {"window_size": 9}, forms.ListedFactors),  # 81 logits, 2 x 4 x 2 x 4 factors
        (["avx2"], {"attention": "blocks"}, forms.ListedFactors),
        (["avx2"], {"similarity": "embedded_dot_product"}, forms.ListedFactors),
        (["avx2"], {"unroll": False}, forms.StackedFactors),
        (["amx"], {}, forms.ListedFactors),
        ([], {}, forms.ListedFactors),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_kernel_keeps_the_logits_where_it_can(monkeypatch, variants, changes, expected, dtype):
    monkeypatch.setattr(compiled, "variants", lambda: variants)
    config = dataclasses.replace(CONFIG, **{"embedding_size": 4, "unroll": True, **changes})
    form = propagation(config, (None, None, None, 6), dtype=dtype, training=False)
    assert type(form) is expected
    form = propagation(config, (None, None, None, 6), dtype=dtype, training=True)
    assert type(form) is not forms.KernelLogits


@pytest.mark.parametrize("size", [(7, 5), (14, 9), (15, 5)], ids=["dense", "patch", "windowed"])
@pytest.mark.parametrize("border", ["clamp", "circular"])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("similarity", "normalization"),
    [("embedded_gaussian", "softmax"), ("embedded_dot_product", "mean")],
)
@pytest.mark.parametrize("propagates", [False, True])
def test_each_state_attends_by_the_sum_of_the_correlations(
    rng, size, border, unroll, training, similarity, normalization, propagates
):
    """The definition has the embeddings of all states so far side by side."""
    config = dataclasses.replace(
        CONFIG,
        unroll=unroll,
        similarity=similarity,
        correlation_propagation=propagates,
        window_border=border,
    )
    features = tf.zeros((2, *size, 6))
    form = propagation(config, features.shape, dtype="float32", training=training)
    correlation = form.start(features)
    states = [rng.normal(size=(3, 2, *size, 3)).astype("float32") for _ in range(4)]
    for number in range(4):
        queries, keys, values = map(tf.constant, states[number])
        attended, correlation = form.attend(correlation, number, queries, keys, values)
        summed = states[: number + 1] if propagates else states[number : number + 1]
        expected = reference.attention(
            [queries for queries, _, _ in summed],
            [keys for _, keys, _ in summed],
            values,
            window_size=7,
            border=border,
            normalization=normalization,
        )
        np.testing.assert_allclose(attended, expected, atol=2e-5)


@pytest.mark.parametrize("border", ["clamp", "circular"])
def test_the_gradient_of_a_patch_is_that_of_its_windows(rng, border):
    """As automatic differentiation of the definition has it."""
    config = dataclasses.replace(CONFIG, unroll=True, window_border=border)
    form = propagation(config, (1, 9, 8, 6), dtype="float32", training=True)
    assert type(form) is forms.SummedForTraining
    states = tf.constant(rng.normal(size=(3, 3, 1, 9, 8, 4)), "float32")

    def summed(queries, keys, values):
        correlation, total = form.start(tf.zeros((1, 9, 8, 6))), 0.0
        for number in range(3):
            attended, correlation = form.attend(
                correlation, number, queries[number], keys[number], values[number]
            )
            total += tf.reduce_sum(tf.square(attended))
        return total

    def defined(queries, keys, values):
        total = 0.0
        for number in range(3):
            past = [list(tf.unstack(x[: number + 1])) for x in (queries, keys)]
            attended = reference.attention(
                *past, values[number], window_size=7, border=border, normalization="softmax"
            )
            total += tf.reduce_sum(tf.square(attended))
        return total

    found, expected = (_gradients(function, *tf.unstack(states)) for function in (summed, defined))
    for gradient, truth in zip(found, expected, strict=True):
        assert np.abs(truth).max() > 1
        np.testing.assert_allclose(gradient, truth, atol=2e-4)


def _gradients(function, *inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = function(*inputs)
    return tape.gradient(total, inputs)


@pytest.mark.parametrize(
    ("attention", "training", "expected"),
    [
        (None, False, None),
        (None, True, "blocks"),
        ("kernel", False, "kernel"),
        ("kernel", True, "blocks"),
        ("reference", True, "reference"),
    ],
)
def test_the_kernel_does_not_train(monkeypatch, attention, training, expected):
    used = []
    monkeypatch.setattr(forms, "attend", lambda *_, backend, **__: used.append(backend))
    config = dataclasses.replace(CONFIG, attention=attention, unroll=True)
    form = propagation(config, LARGE, dtype="float32", training=training)
    form.attend((), 0, tf.zeros((1, 15, 5, 3)), tf.zeros((1, 15, 5, 3)), tf.zeros((1, 15, 5, 6)))
    assert used == [expected]
