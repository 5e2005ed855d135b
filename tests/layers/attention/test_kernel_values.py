"""What the compiled kernels compute, by each that this machine can run, against the definition."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nlrn_tf.layers import compiled
from nlrn_tf.layers.attention import blocks, kernel, reference

VARIANTS = compiled.usable()
IN_FLOAT32 = [name for name in VARIANTS if name != "amx"]
SOFTMAX = {"border": "clamp", "normalization": "softmax"}

pytestmark = pytest.mark.skipif(not VARIANTS, reason="no kernel was compiled, or a GPU is used")


@pytest.fixture(params=VARIANTS or ["none"])
def variant(request, monkeypatch):
    monkeypatch.setenv(compiled.VARIABLE, request.param)
    return request.param


def dtypes_of(variant):
    return ["bfloat16"] if variant == "amx" else ["float32", "bfloat16"]


def features(rng, *shape, dtype):
    return tf.cast(rng.normal(size=shape), dtype)


def attend(queries, keys, values, **options):
    """By the kernel, and by definition in float64; both as float64."""
    options = {**SOFTMAX, **options}
    assert kernel.obstacle(queries, keys, values, **options) is None
    fast = kernel.attention(queries, keys, values, **options)
    assert fast.dtype == values.dtype
    queries, keys = (tf.cast(tf.concat(x, -1), "float64") for x in (queries, keys))
    exact = reference.attention(queries, keys, tf.cast(values, "float64"), **options)
    return tf.cast(fast, "float64").numpy(), exact.numpy()


def assert_close(fast, exact, dtype, largest_logit):
    """To the rounding of what is stored and, on AMX, of the weights."""
    if dtype == "float32":
        # A logit that is the sum of large products is off by as many roundings.
        tolerance = 2e-5 + 4e-7 * largest_logit
        assert np.abs(fast - exact).max() <= tolerance * np.abs(exact).max()
        return
    np.testing.assert_allclose(fast, exact, rtol=2**-7, atol=2**-7 * np.abs(exact).max())
    assert np.sqrt(np.mean((fast - exact) ** 2)) < 0.003 * np.sqrt(np.mean(exact**2))


def largest_product(queries, keys):
    """A bound of the logits: the longest query times the longest key."""
    lengths = [
        np.sqrt(np.sum(np.square(tf.cast(tf.concat(x, -1), "float64")), axis=-1)).max()
        for x in (queries, keys)
    ]
    return float(np.prod(lengths))


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 50),
    window_size=st.integers(1, 30),
    border=st.sampled_from(["clamp", "circular"]),
    parts=st.lists(st.integers(1, 130), min_size=1, max_size=3),
    channels=st.integers(1, 130),
    batch=st.integers(0, 2),
    scale=st.sampled_from([0.01, 0.3, 10]),
    band_rows=st.integers(1, 20),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_equals_the_definition(
    variant,
    height,
    width,
    window_size,
    border,
    parts,
    channels,
    batch,
    scale,
    band_rows,
    data,
    seed,
):
    rng = np.random.default_rng(seed)
    size = (batch, height, width)
    if variant == "amx":
        parts, channels = ([(n + 31) // 32 * 32 for n in x] for x in (parts, [channels]))
        [channels] = channels
    dtype = data.draw(st.sampled_from(dtypes_of(variant)))
    queries = [tf.cast(scale, dtype) * features(rng, *size, part, dtype=dtype) for part in parts]
    keys = [features(rng, *size, part, dtype=dtype) for part in parts]
    values = features(rng, *size, channels, dtype=dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.VARIABLE, variant)
        patch.setattr(kernel, "BAND_ROWS", dict.fromkeys(VARIANTS, band_rows))
        fast, exact = attend(queries, keys, values, window_size=window_size, border=border)
    if batch:
        assert_close(fast, exact, dtype, largest_product(queries, keys))
    assert fast.shape == exact.shape


@pytest.mark.parametrize("border", ["clamp", "circular"])
@pytest.mark.parametrize(
    ("height", "width", "window_size"),
    [(1, 1, 45), (2, 4096, 45), (3, 4095, 9), (130, 1, 45), (2, 520, kernel.LARGEST_WINDOW)],
)
def test_extreme_shapes(variant, border, height, width, window_size):
    rng = np.random.default_rng(0)
    for dtype in dtypes_of(variant):
        queries, keys, values = (features(rng, 1, height, width, 32, dtype=dtype) for _ in range(3))
        queries = tf.cast(0.1, dtype) * queries
        results = attend([queries], [keys], values, window_size=window_size, border=border)
        assert_close(*results, dtype, largest_product([queries], [keys]))


@pytest.mark.parametrize("slope", [-20, -0.5, 0.5, 20])
def test_logits_that_rise_or_fall_over_the_window(variant, slope):
    """Weights are relative to the highest logit so far, which goes on rising or was the first."""
    rng = np.random.default_rng(0)
    keys = np.zeros((1, 40, 40, 32))
    keys[0, :, :, 0] = slope * (40 * np.arange(40)[:, None] + np.arange(40))
    for dtype in dtypes_of(variant):
        queries, values = tf.ones((1, 40, 40, 32), dtype), features(rng, 1, 40, 40, 32, dtype=dtype)
        results = attend([queries], [tf.cast(keys, dtype)], values, window_size=21)
        assert_close(*results, dtype, np.abs(keys).max())


@pytest.mark.parametrize("damaged", ["queries", "keys", "values"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_not_hidden(variant, damaged, value):
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(1, 20, 20, 32)) for name in ("queries", "keys", "values")}
    arrays[damaged][0, 10, 10] = value
    for dtype in dtypes_of(variant):
        queries, keys, values = (tf.cast(x, dtype) for x in arrays.values())
        attended = kernel.attention([queries], [keys], values, window_size=9, **SOFTMAX)
        assert not np.isfinite(attended[0, 10, 10].numpy().astype("float32")).any()


def test_pixels_outside_the_windows_have_no_influence(variant):
    """Not the least: they are left out or masked, whatever their logits."""
    rng = np.random.default_rng(0)
    for dtype in dtypes_of(variant):
        queries, keys, values = (rng.normal(size=(1, 30, 70, 32)) for _ in range(3))
        results = []
        for outside in (1, 1e6):
            changed = [x.copy() for x in (keys, values)]
            for x in changed:
                x[0, :, 50:] *= outside
            tensors = [tf.cast(x, dtype) for x in (queries, *changed)]
            attended = kernel.attention(*tensors, window_size=9, **SOFTMAX)
            results.append(tf.cast(attended, "float32").numpy()[0, :, :46])
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("border", ["clamp", "circular"])
def test_gradient_is_that_of_the_blocks(variant, border):
    rng = np.random.default_rng(0)
    dtype = dtypes_of(variant)[0]
    tensors = [features(rng, 2, 9, 7, 32, dtype=dtype) for _ in range(3)]
    weights = features(rng, 2, 9, 7, 32, dtype=dtype)
    gradients = []
    for module in (kernel, blocks):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            attended = module.attention(
                *tensors, window_size=5, border=border, normalization="softmax"
            )
            total = tf.reduce_sum(attended * weights)
        gradients.append(tape.gradient(total, tensors))
    for by_kernel, in_blocks in zip(*gradients, strict=True):
        assert np.abs(tf.cast(in_blocks, "float32")).max() > 0.1
        np.testing.assert_array_equal(by_kernel, in_blocks)


@pytest.mark.parametrize("name", IN_FLOAT32)
@pytest.mark.parametrize("border", ["clamp", "circular"])
@pytest.mark.parametrize("size", [(1, 1), (19, 34), (40, 3)])
def test_logits_that_are_kept_give_the_same_as_all_factors(monkeypatch, name, border, size):
    """State by state, in value and in gradient; the sum is made in the same order."""
    monkeypatch.setenv(compiled.VARIABLE, name)
    rng = np.random.default_rng(0)
    options = {"window_size": 9, "border": border, "normalization": "softmax"}
    queries, keys, values = (
        [features(rng, 2, *size, channels, dtype="float32") for _ in range(3)]
        for channels in (5, 5, 7)
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
    tensors = [features(rng, 1, 20, 30, 16, dtype="float32") for _ in range(3)]

    @tf.function(autograph=False)
    def run(queries, keys, values):
        logits = None
        for state in range(1, 9):
            attended, logits = kernel.accumulating_attention(
                [queries] * state, [keys] * state, values, logits, window_size=9, **SOFTMAX
            )
        return kernel.attention(queries, keys, attended, window_size=9, **SOFTMAX)

    run(*tensors)
    assert not kernel._LOGITS


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_logits_of_another_size_are_refused(name):
    array = np.ones((9, 9, 32), np.float32)
    size = compiled.kernels.num_logits(9, 9, 5)
    for logits in (np.empty(size - 1, np.float32), np.empty(size + 1, np.float32)):
        with pytest.raises(ValueError, match="arrays"):
            compiled.kernels.attend_rows(
                name,
                *((array,), (array,), array, array.copy(), logits, True),
                *(False, 9, 9, 5, False, 0, 9),
            )


def test_several_threads_at_once(variant):
    rng = np.random.default_rng(0)
    dtype = dtypes_of(variant)[0]
    cases = [[features(rng, 1, 40, 50, 32, dtype=dtype) for _ in range(3)] for _ in range(6)]

    def run(tensors):
        return kernel.attention(*tensors, window_size=15, **SOFTMAX).numpy()

    alone = [run(case) for case in cases]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for one, another in zip(alone, pool.map(run, cases), strict=True):
            np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_exponentials_are_exact_to_three_parts_in_ten_millions(name):
    exponents = np.linspace(-125, 126.9, 2**22, dtype=np.float32)
    powers = np.empty_like(exponents)
    compiled.kernels.exponentials(name, exponents, powers)
    exact = np.exp2(exponents.astype(np.float64))
    assert np.abs(powers / exact - 1).max() < 3e-7
    whole = np.arange(-125, 128, dtype=np.float32)[:240]
    powers = np.empty_like(whole)
    compiled.kernels.exponentials(name, whole, powers)
    np.testing.assert_array_equal(powers, np.exp2(whole))
    special = np.repeat(np.float32([-1e30, -np.inf, -126, np.nan]), 4)
    powers = np.empty_like(special)
    compiled.kernels.exponentials(name, special, powers)
    np.testing.assert_array_equal(powers[:12], np.float32(2.0**-125))
    assert np.isnan(powers[12:]).all()


def test_arrays_of_wrong_sizes_are_refused(variant):
    rng = np.random.default_rng(0)
    is_bfloat16 = variant == "amx"
    dtype = np.uint16 if is_bfloat16 else np.float32
    good, narrow = (rng.normal(size=(9, 9, channels)).astype(dtype) for channels in (32, 16))
    cases = [
        ((good,), (good, good), good, (0, 9)),
        ((good,), (good[:8],), good, (0, 9)),
        ((good,), (narrow,), good, (0, 9)),
        ((good,), (good,), good, (0, 10)),
        ((good,), (good,), good, (5, 5)),
        ((good,), (good,), good, (-1, 5)),
        ((), (), good, (0, 9)),
    ]
    if is_bfloat16:
        cases += [((narrow,), (narrow,), good, (0, 9)), ((good,), (good,), narrow, (0, 9))]
    for queries, keys, values, rows in cases:
        arrays = (queries, keys, values, np.empty_like(values), None, False)
        with pytest.raises(ValueError, match="arrays"):
            compiled.kernels.attend_rows(variant, *arrays, is_bfloat16, 9, 9, 5, False, *rows)


def test_a_kernel_that_is_not_there_is_refused():
    array = np.ones((9, 9, 32), np.float32)
    with pytest.raises(NotImplementedError, match="no kernel sse9"):
        compiled.kernels.attend_rows(
            "sse9",
            (array,),
            (array,),
            array,
            array.copy(),
            None,
            False,
            False,
            9,
            9,
            5,
            False,
            0,
            9,
        )
