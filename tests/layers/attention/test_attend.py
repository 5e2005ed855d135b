"""All backends of attention against the definition, and which of them is chosen."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import nlrn_tf
from nlrn_tf.config import ATTENTIONS
from nlrn_tf.errors import NLRNError
from nlrn_tf.layers import compiled
from nlrn_tf.layers.attention import attend as door
from nlrn_tf.layers.attention import blocks, kernel, reference
from nlrn_tf.layers.attention.attend import attend, compatible_backends
from nlrn_tf.restoration.inference import apply_model

TOLERANCE = {"float32": 1e-5, "float64": 1e-10, "bfloat16": 0.1, "float16": 0.02}


def _features(rng, shape, channels, dtype):
    return tf.cast(tf.constant(rng.normal(size=(*shape, channels))), dtype)


def _tolerance(backend, dtype):
    # The logits of dense attention are float32 at the most.
    return TOLERANCE["float32" if backend == "dense" and dtype == "float64" else dtype]


def _with_gradients(tensors, weights, options, backend):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        *pair, values = tensors
        parts = [tf.split(x, [1, x.shape[-1] - 1], -1) if options["listed"] else x for x in pair]
        output = attend(*parts, values, **options["attention"], backend=backend)
        total = tf.reduce_sum(tf.cast(output, "float64") * weights)
    return [output, *tape.gradient(total, tensors, unconnected_gradients="zero")]


# Not shrunk: the definition takes its time.
@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    height=st.integers(1, 22),
    width=st.integers(1, 22),
    window_size=st.integers(1, 26),
    border=st.sampled_from(["clamp", "circular"]),
    normalization=st.sampled_from(["softmax", "mean"]),
    dtype=st.sampled_from(list(TOLERANCE)),
    batch=st.integers(1, 2),
    listed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_all_backends_equal_the_definition_in_value_and_gradient(
    height, width, window_size, border, normalization, dtype, batch, listed, seed
):
    rng = np.random.default_rng(seed)
    shape = (batch, height, width)
    tensors = [_features(rng, shape, channels, dtype) for channels in (3, 3, 2)]
    attention = {"window_size": window_size, "border": border, "normalization": normalization}
    options = {"attention": attention, "listed": listed}
    weights = tf.constant(rng.normal(size=(*shape, 2)))
    exact = [tf.cast(x, "float64") for x in tensors]
    expected = _with_gradients(exact, weights, options, "reference")
    backends = compatible_backends(*tensors, **attention)
    assert ("dense" in backends) == (max(height, width) <= window_size)
    assert {"blocks", "reference"} <= set(backends)
    for backend in set(backends) - {"reference"}:
        results = _with_gradients(tensors, weights, options, backend)
        assert results[0].dtype == dtype
        for fast, definition in zip(results, expected, strict=True):
            # A gradient sums over the queries of a window, so its error grows with its size.
            scale = max(1.0, np.abs(definition).max())
            fast = tf.cast(fast, "float64").numpy()
            tolerance = _tolerance(backend, dtype)
            np.testing.assert_allclose(fast / scale, definition / scale, atol=tolerance)


def test_the_names_are_those_of_the_configuration():
    assert tuple(door._MODULES) == ATTENTIONS


OPTIONS = {"window_size": 9, "border": "clamp", "normalization": "softmax"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["kernel", "blocks", "reference"]),
        ({"size": (9, 8)}, ["kernel", "dense", "blocks", "reference"]),
        ({"size": (None, 8)}, ["kernel", "blocks"]),
        ({"dtype": "float32"}, ["blocks", "reference"]),
        ({"inner": 48}, ["blocks", "reference"]),
        ({"channels": 48}, ["blocks", "reference"]),
        ({"normalization": "mean"}, ["blocks", "reference"]),
        ({"window_size": kernel.LARGEST_WINDOW + 1}, ["dense", "blocks", "reference"]),
    ],
    ids=str,
)
def test_compatible_backends_in_order_of_preference(monkeypatch, changes, expected):
    monkeypatch.setattr(compiled, "variants", lambda: ["amx"])
    case = {"size": (20, 9), "dtype": "bfloat16", "inner": 64, "channels": 32, **changes}
    options = {name: changes.get(name, value) for name, value in OPTIONS.items()}
    found = []

    def record(queries, keys, values):
        found.extend(compatible_backends([queries] * 2, [keys] * 2, values, **options))
        return values

    spec = [
        tf.TensorSpec([None, *case["size"], channels], case["dtype"])
        for channels in (case["inner"], case["inner"], case["channels"])
    ]
    tf.function(record, input_signature=spec, autograph=False).get_concrete_function()
    assert found == expected


@pytest.mark.parametrize("size", [(5, 4), (12, 11)])
def test_the_definition_is_never_chosen(rng, monkeypatch, size):
    monkeypatch.setattr(reference, "attention", None)
    tensors = [_features(rng, (1, *size), channels, "float32") for channels in (3, 3, 2)]
    assert attend(*tensors, **OPTIONS).shape == (1, *size, 2)


@pytest.mark.parametrize(
    ("backend", "supported", "changes", "reason"),
    [
        ("kernel", [], {}, "to have been compiled"),
        ("kernel", ["amx"], {"normalization": "mean"}, "softmax"),
        ("kernel", ["amx"], {}, "amx cannot take float32"),
        ("dense", [], {}, "12 x 11 pixels does not fit into a window of 9"),
        ("fast", [], {}, "must be one of kernel, dense, blocks, reference"),
    ],
)
def test_an_impossible_backend_is_refused_with_the_reason(
    rng, monkeypatch, backend, supported, changes, reason
):
    monkeypatch.setattr(compiled, "variants", lambda: supported)
    tensors = [_features(rng, (1, 12, 11), 32, "float32") for _ in range(3)]
    with pytest.raises(NLRNError, match=reason):
        attend(*tensors, **{**OPTIONS, **changes}, backend=backend)


def test_the_definition_needs_a_known_size():
    @tf.function(input_signature=[tf.TensorSpec([1, None, 4, 3])], autograph=False)
    def graph(features):
        return attend(features, features, features, **OPTIONS, backend="reference")

    with pytest.raises(NLRNError, match="known height and width"):
        graph(tf.zeros((1, 5, 4, 3)))


CONFIG = nlrn_tf.NLRNConfig(filters=32, embedding_size=32, num_states=2, window_size=5, unroll=True)


@pytest.fixture
def by_kernel(monkeypatch):
    """Counts the calls of the kernel, as which the blocks pass themselves off."""
    calls = []

    def attention(*tensors, **options):
        calls.append(1)
        return blocks.attention(*tensors, **options)

    monkeypatch.setattr(compiled, "variants", lambda: ["amx"])
    monkeypatch.setattr(kernel, "attention", attention)
    return calls


@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("attention", [None, "kernel"])
def test_networks_use_the_kernel_to_restore_and_not_to_train(rng, by_kernel, unroll, attention):
    images = rng.random((1, 12, 9, 1), "float32")
    config = nlrn_tf.NLRNConfig(
        filters=32,
        embedding_size=32,
        num_states=2,
        window_size=5,
        unroll=unroll,
        attention=attention,
    )
    model = nlrn_tf.NLRN(config, dtype="mixed_bfloat16")
    model(images, training=True)
    assert not by_kernel
    restored = model(images)
    assert by_kernel
    by_kernel.clear()
    np.testing.assert_allclose(apply_model(model, images), restored, atol=1e-3)
    assert by_kernel


@pytest.mark.parametrize(
    ("attention", "dtype"), [("blocks", "mixed_bfloat16"), ("reference", "float32"), (None, None)]
)
def test_networks_use_no_other_backend_than_they_are_told_or_can(rng, by_kernel, attention, dtype):
    config = {**CONFIG.to_dict(), "attention": attention}
    nlrn_tf.NLRN(config, dtype=dtype)(rng.random((1, 12, 9, 1), "float32"))
    assert not by_kernel


def test_a_network_names_the_reason_in_one_line(rng):
    model = nlrn_tf.NLRN({**CONFIG.to_dict(), "attention": "dense"})
    images = rng.random((1, 12, 9, 1), "float32")
    for call in (model, lambda images: apply_model(model, images)):
        with pytest.raises(NLRNError, match=r"^attention='dense' is not possible here: [^\n]*$"):
            call(images)
