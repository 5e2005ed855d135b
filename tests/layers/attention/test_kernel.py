"""The compiled attention against the definition, and where it is used."""

import dataclasses
import functools
import platform
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import nlrn_tf
from nlrn_tf.layers.attention import blocks, kernel, reference
from nlrn_tf.restoration.inference import apply_model

IS_LINUX_X86 = sys.platform == "linux" and platform.machine() == "x86_64"
needs_amx = pytest.mark.skipif(
    not kernel.is_supported(), reason="the processor has no AMX, or a GPU is used"
)


SOFTMAX = {"border": "clamp", "normalization": "softmax"}


def features(rng, *shape):
    return tf.cast(rng.normal(size=shape), "bfloat16")


def attend(queries, keys, values, **options):
    """By the kernel, and by definition in float64; both as float64."""
    options["normalization"] = "softmax"
    assert kernel.obstacle(queries, keys, values, **options) is None
    fast = kernel.attention(queries, keys, values, **options)
    assert fast.dtype == "bfloat16"
    queries, keys = (tf.cast(tf.concat(x, -1), "float64") for x in (queries, keys))
    exact = reference.attention(queries, keys, tf.cast(values, "float64"), **options)
    return tf.cast(fast, "float64").numpy(), exact.numpy()


def assert_close(fast, exact):
    """To the rounding of the weights and of the result to bfloat16."""
    np.testing.assert_allclose(fast, exact, rtol=2**-7, atol=2**-7 * np.abs(exact).max())
    assert np.sqrt(np.mean((fast - exact) ** 2)) < 0.003 * np.sqrt(np.mean(exact**2))


@pytest.mark.skipif(
    not IS_LINUX_X86 or shutil.which("cc") is None, reason="nothing to compile, or no compiler"
)
def test_kernel_is_compiled_where_it_can_be():
    assert kernel._amx is not None


@needs_amx
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 50),
    window_size=st.integers(1, 30),
    border=st.sampled_from(["clamp", "circular"]),
    parts=st.lists(st.sampled_from([32, 64, 128]), min_size=1, max_size=3),
    channels=st.sampled_from([32, 64, 128]),
    batch=st.integers(1, 2),
    scale=st.sampled_from([0.01, 0.3, 10]),
    band_rows=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_equals_the_definition(
    height, width, window_size, border, parts, channels, batch, scale, band_rows, seed
):
    rng = np.random.default_rng(seed)
    size = (batch, height, width)
    queries = [tf.cast(scale, "bfloat16") * features(rng, *size, part) for part in parts]
    keys = [features(rng, *size, part) for part in parts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "BAND_ROWS", band_rows)
        results = attend(
            queries, keys, features(rng, *size, channels), window_size=window_size, border=border
        )
    assert_close(*results)


@needs_amx
@pytest.mark.parametrize("slope", [-20, -0.5, 0.5, 20])
def test_logits_that_rise_or_fall_over_the_window(slope):
    """Weights are relative to the highest logit so far, which goes on rising or was the first."""
    rng = np.random.default_rng(0)
    keys = np.zeros((1, 40, 40, 32))
    keys[0, :, :, 0] = slope * (40 * np.arange(40)[:, None] + np.arange(40))
    queries, keys = tf.ones((1, 40, 40, 32), "bfloat16"), tf.cast(keys, "bfloat16")
    values = features(rng, 1, 40, 40, 32)
    assert_close(*attend([queries], [keys], values, window_size=21, border="clamp"))


@needs_amx
@pytest.mark.parametrize("damaged", ["queries", "keys", "values"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_not_hidden(damaged, value):
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(1, 20, 20, 32)) for name in ("queries", "keys", "values")}
    arrays[damaged][0, 10, 10] = value
    queries, keys, values = (tf.cast(x, "bfloat16") for x in arrays.values())
    attended = kernel.attention([queries], [keys], values, window_size=9, **SOFTMAX)
    assert not np.isfinite(attended[0, 10, 10].numpy().astype("float32")).any()


@pytest.fixture
def by_definition(monkeypatch):
    """The definition in the place of the compiled code, which not every machine runs."""

    def attend_image(queries, keys, values, attended, window_size, is_circular):
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
    monkeypatch.setattr(kernel, "is_supported", lambda: True)
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


@needs_amx
def test_largest_window():
    rng = np.random.default_rng(0)
    queries, keys, values = (features(rng, 1, 2, 520, 32) for _ in range(3))
    for border in ("clamp", "circular"):
        assert_close(
            *attend(
                [queries],
                [keys],
                values,
                window_size=kernel.LARGEST_WINDOW,
                border=border,
            )
        )


@needs_amx
def test_arrays_of_wrong_sizes_are_refused():
    rng = np.random.default_rng(0)
    good, narrow = (features(rng, 9, 9, channels).numpy().view(np.uint16) for channels in (32, 16))
    for queries, keys, values, rows in [
        ((good,), (good, good), good, (0, 9)),
        ((good,), (good[:8],), good, (0, 9)),
        ((narrow,), (narrow,), good, (0, 9)),
        ((good,), (good,), narrow, (0, 9)),
        ((good,), (good,), good, (0, 10)),
        ((good,), (good,), good, (5, 5)),
        ((), (), good, (0, 9)),
    ]:
        with pytest.raises(ValueError, match="arrays"):
            kernel._amx.attend_rows(
                queries, keys, values, np.empty_like(good), 9, 9, 5, False, *rows
            )


@needs_amx
@pytest.mark.parametrize("unroll", [True, False])
def test_network_restores_as_without_the_kernel(monkeypatch, unroll):
    """`apply_model` uses it, for all states; what changes is less than bfloat16 itself changes."""
    images = np.random.default_rng(0).random((2, 40, 33, 1), np.float32)
    original, outputs = kernel.attention, {}
    for name, precision, is_supported in [
        ("kernel", "bfloat16", True),
        ("operations", "bfloat16", False),
        ("exact", "float32", False),
    ]:
        used = []

        def attention(*arguments, used=used, **options):
            used.append(1)
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(kernel, "is_supported", lambda result=is_supported: result)
            patch.setattr(kernel, "attention", attention)
            model = nlrn_tf.load_model("denoise_lite_s25", precision=precision, unroll=unroll)
            outputs[name] = apply_model(model, images)
        assert bool(used) == is_supported
    error = np.abs(outputs["operations"] - outputs["exact"]).max()
    assert np.abs(outputs["kernel"] - outputs["exact"]).max() < 2 * error
