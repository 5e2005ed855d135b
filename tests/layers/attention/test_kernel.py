"""Where the compiled attention is used, by which kernel, and its gradient."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.layers import compiled
from nlrn_tf.layers.attention import blocks, kernel, reference
from nlrn_tf.restoration.inference import apply_model


def features(rng, *shape, dtype="bfloat16"):
    return tf.cast(rng.normal(size=shape), dtype)


@pytest.mark.parametrize(
    ("usable", "forced", "dtype", "channels", "expected"),
    [
        (("amx", "avx512", "baseline"), None, "bfloat16", (64, 32), "amx"),
        (("amx", "avx512", "baseline"), None, "bfloat16", (64, 48), "avx512"),
        (("amx", "avx512", "baseline"), None, "float32", (64, 32), "avx512"),
        (("amx", "avx512", "baseline"), "amx", "float32", (64, 32), None),
        (("amx", "avx512", "baseline"), "baseline", "bfloat16", (64, 32), "baseline"),
        (("amx", "avx512", "baseline"), "off", "bfloat16", (64, 32), None),
        (("avx2", "baseline"), None, "float32", (5, 7), "avx2"),
        (("avx2", "baseline"), "", "float32", (5, 7), "avx2"),
        (("baseline",), None, "float16", (64, 32), None),
        (("baseline",), None, "float64", (64, 32), None),
        ((), None, "float32", (64, 32), None),
    ],
)
def test_the_kernel_for_a_dtype(monkeypatch, usable, forced, dtype, channels, expected):
    monkeypatch.setattr(compiled, "usable", lambda: usable)
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    if forced is not None:
        monkeypatch.setenv(compiled.VARIABLE, forced)
    assert kernel.variant_for(dtype, channels) == expected


@pytest.fixture
def by_definition(monkeypatch):
    """The definition in the place of the compiled code for AMX, which few machines run."""

    def attend_image(variant, queries, keys, values, attended, window_size, is_circular, *_):
        def batch(arrays):
            joined = np.concatenate([x.view(tf.bfloat16.as_numpy_dtype) for x in arrays], -1)
            return joined.astype("float64")[None]

        calls.append(1)
        result = reference.attention(
            batch(queries),
            batch(keys),
            batch([values]),
            window_size=window_size,
            border="circular" if is_circular else "clamp",
            normalization="softmax",
        )
        attended[:] = tf.cast(result[0], "bfloat16").numpy().view(np.uint16)

    calls = []
    monkeypatch.setattr(kernel, "_attend_image", attend_image)
    monkeypatch.setattr(compiled, "variants", lambda: ["amx"])
    return calls


@pytest.mark.parametrize("in_a_graph", [False, True])
def test_gradient_is_that_of_the_blocks(by_definition, in_a_graph):
    rng = np.random.default_rng(0)
    tensors = [features(rng, 2, 9, 7, channels) for channels in (32, 64, 32, 64, 32)]
    tensors[:2] = [tf.cast(0.1, "bfloat16") * x for x in tensors[:2]]
    weights = features(rng, 2, 9, 7, 32)
    results = {}

    def with_gradients(module, *tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            options = {"window_size": 5, "border": "circular", "normalization": "softmax"}
            output = module.attention(tensors[:2], tensors[2:4], tensors[4], **options)
            total = tf.reduce_sum(output * weights)
        return output, tape.gradient(total, tensors)

    for module in (kernel, blocks):
        run = functools.partial(with_gradients, module)
        run = tf.function(run, autograph=False) if in_a_graph else run
        results[module] = run(*tensors)
    (output, gradients), (expected_output, expected) = results[kernel], results[blocks]
    assert np.abs(tf.cast(output - expected_output, "float32")).max() < 0.05
    for gradient, in_blocks in zip(gradients, expected, strict=True):
        assert np.abs(tf.cast(in_blocks, "float32")).max() > 0.1
        np.testing.assert_array_equal(gradient, in_blocks)


@pytest.mark.parametrize("unroll", [True, False])
def test_gradient_through_a_network_is_that_without_the_kernel(by_definition, unroll):
    config = nlrn_tf.NLRNConfig(
        filters=32, embedding_size=32, num_states=2, window_size=3, unroll=unroll
    )
    keras.utils.set_random_seed(0)  # of some networks the gradient is all rounding
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((1, 6, 5, 1), np.float32))
    weights, gradients = None, []
    for attention in ("kernel", "blocks"):
        config = dataclasses.replace(config, attention=attention)
        model = nlrn_tf.NLRN(config, dtype="mixed_bfloat16")
        weights = weights or [w + rng.uniform(0, 0.1, w.shape) for w in model.get_weights()]
        model.set_weights(weights)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(images)))
        variables = [v.value for v in model.trainable_variables]
        gradients.append(tape.gradient(loss, variables, unconnected_gradients="zero"))
        assert len(by_definition) == 2  # once for each state, and never in the blocks
    for by_kernel, in_blocks in zip(*gradients, strict=True):
        scale = np.abs(in_blocks).max()
        assert np.abs(by_kernel - in_blocks).max() <= 0.03 * scale


@pytest.mark.skipif(not compiled.usable(), reason="no kernel, or a GPU")
@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_network_restores_as_without_the_kernel(monkeypatch, unroll, precision):
    """`apply_model` uses it, for all states; what changes is less than bfloat16 itself changes."""
    images = np.random.default_rng(0).random((2, 40, 33, 1), np.float32)
    original, outputs = kernel._attention, {}
    for name, of_products, forced in [
        ("kernel", precision, ""),
        ("operations", precision, compiled.OFF),
        ("exact", "float32", compiled.OFF),
    ]:
        used = []

        def attention(*arguments, used=used, **options):
            used.append(1)
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setenv(compiled.VARIABLE, forced)
            patch.setattr(kernel, "_attention", attention)
            model = nlrn_tf.load_model("denoise_lite_s25", precision=of_products, unroll=unroll)
            outputs[name] = apply_model(model, images)
        assert bool(used) == (forced != compiled.OFF)
    error = np.abs(outputs["operations"] - outputs["exact"]).max()
    assert np.abs(outputs["kernel"] - outputs["exact"]).max() < (2 * error or 2e-5)


@pytest.mark.skipif(not compiled.usable(), reason="no kernel, or a GPU")
def test_network_with_any_channels_is_the_same_by_definition(rng):
    config = nlrn_tf.NLRNConfig(
        filters=10, embedding_size=7, num_states=3, window_size=9, unroll=True, attention="kernel"
    )
    model = nlrn_tf.NLRN(config)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in model.get_weights()])
    images = rng.random((2, 23, 37, 1), np.float32)
    exact = nlrn_tf.NLRN(dataclasses.replace(config, attention="reference"))
    exact.set_weights(model.get_weights())
    restored, expected = apply_model(model, images), exact(images).numpy()
    assert np.abs(restored - expected).max() < 2e-5 * np.abs(expected).max()
