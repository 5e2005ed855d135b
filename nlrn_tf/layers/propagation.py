"""The correlation that is handed from state to state (paper, section 3.2, equation 7).

`B` batch, `H, W` pixels, `N = H W`, `T` states, `L` channels of the queries and keys of a state,
`M` channels of the values.

Each state adds the products of its queries and keys to the logits of the states before. How that
sum is carried depends on the image and on the network; each form below has

    start(features)                                   the correlation before the first state
    attend(correlation, state, queries, keys, values) what is attended to, and the next correlation

where `features` are `[B, H, W, C]`, queries and keys `[B, H, W, L]`, values and what is attended to
`[B, H, W, M]`, and `state` is the number of the state from 0, an integer or a tensor.
"""

import dataclasses

from keras import ops

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.attention import dense, kernel
from nlrn_tf.layers.attention.attend import attend
from nlrn_tf.layers.attention.operations import flatten_pixels
from nlrn_tf.layers.compression import bounded
from nlrn_tf.layers.similarity import similarity_of

LOW_PRECISION = ("bfloat16", "float16")

# Training patches of up to so many windows a side attend densely, with the pixels outside of the
# windows masked. Blocks compute fewer logits, but one after the other and twice in the gradient.
_DENSE_PATCH = 2


def propagation(config: NLRNConfig, shape, *, dtype: str, training: bool):
    """The form for features of a shape.

    Args:
      config: the architecture.
      shape: static shape `[B, H, W, C]` of the features, with None for what is not known.
      dtype: of the products of the network.
      training: whether the statistics of the batch are used, and a gradient follows.
    """
    is_dense = dense.fits(shape, config.window_size)
    windows = _Windows(config, _backend(config, is_dense, training))
    if not config.correlation_propagation:
        return NoPropagation(windows)
    if training and config.unroll and windows.normalization == "softmax":
        most_windows = _DENSE_PATCH if config.attention in (None, "kernel") else 1
        if dense.fits(shape, most_windows * config.window_size):
            return SummedForTraining(windows)
    if is_dense:
        return SummedLogits(windows.normalization)
    if config.unroll and not training and _keeps_logits(windows, dtype):
        return KernelLogits(windows)
    if config.unroll:
        is_exact = training or _is_exact(config, dtype)
        return ListedFactors(windows, similarity_of(config).inner_size(config), is_exact)
    return StackedFactors(windows, dtype)


def logits_kept(config: NLRNConfig, dtype: str) -> int:
    """How many logits a pixel the windowed attention keeps in inference; 0 where it keeps none.

    Args:
      config: the architecture.
      dtype: of the products of the network.
    """
    windows = _Windows(config, _backend(config, is_dense=False, training=False))
    propagates = config.correlation_propagation and config.unroll and config.non_local_every
    return config.window_size**2 if propagates and _keeps_logits(windows, dtype) else 0


def _keeps_logits(windows, dtype):
    config, similarity = windows.config, similarity_of(windows.config)
    inner = similarity.inner_size(config)
    # Where few channels give a logit they are multiplied in less time than it takes to fetch it,
    # and in large windows the logits take too much memory: at most twice that of all factors.
    pays = config.window_size**2 <= 2 * 2 * config.num_states * inner
    return (
        pays
        and windows.backend in (None, "kernel")
        and kernel.can_accumulate(
            {similarity.factor_dtype or dtype, dtype},
            (inner, config.filters),
            config.window_size,
            windows.normalization,
        )
    )


def _is_exact(config, dtype):
    if config.exact_propagation is None:
        return dtype not in LOW_PRECISION
    return config.exact_propagation


def _backend(config, is_dense, training):
    if is_dense:
        return "dense"
    # The gradient of the kernel is that of the blocks, which would be computed besides.
    return "blocks" if training and config.attention in (None, "kernel") else config.attention


@dataclasses.dataclass(frozen=True)
class _Windows:
    """`attend` as a configuration has it."""

    config: NLRNConfig
    backend: str | None

    @property
    def normalization(self) -> str:
        return similarity_of(self.config).normalization

    @property
    def options(self) -> dict:
        return {
            "window_size": self.config.window_size,
            "border": self.config.window_border,
            "normalization": self.normalization,
        }

    def __call__(self, queries, keys, values):
        return attend(queries, keys, values, **self.options, backend=self.backend)


class NoPropagation:
    """Each state attends by its own correlation. Carries nothing."""

    def __init__(self, windows: _Windows):
        self._windows = windows

    def start(self, features):
        return ()

    def attend(self, correlation, state, queries, keys, values):
        return self._windows(queries, keys, values), correlation


class SummedLogits:
    """Carries the sum itself, float32 `[B, N, N]`; for images that fit into the window."""

    def __init__(self, normalization: str):
        self._normalization = normalization

    def start(self, features):
        batch, height, width, _ = ops.shape(features)
        return (ops.zeros((batch, height * width, height * width), "float32"),)

    def attend(self, correlation, state, queries, keys, values):
        [summed] = correlation
        summed = summed + dense.logits_of(queries, keys)
        return dense.weigh(summed, values, self._normalization), (summed,)


class SummedForTraining:
    """As `SummedLogits`, with a gradient that is written out (`accumulating_attention`).

    Carries the summed logits and the weights. Their shapes differ before the first state, so the
    states must be unrolled. Patches may be larger than the windows.
    """

    def __init__(self, windows: _Windows):
        self._windows = windows

    def start(self, features):
        options = self._windows.options
        if dense.fits(features.shape, options["window_size"]):
            return ()
        return dense.masked_start(features, options["window_size"], options["border"])

    def attend(self, correlation, state, queries, keys, values):
        attended, correlation = dense.accumulating_attention(
            correlation, *(flatten_pixels(x) for x in (queries, keys, values))
        )
        return ops.reshape(attended, ops.shape(values)), correlation  # [B, H, W, M]


class ListedFactors:
    """Carries the queries and keys of the states so far, for an unrolled network.

    A sum of products is the product of the concatenated factors: 2 T L numbers for a pixel instead
    of q^2. Unless the sum must be exact, few channels that nearly give the same one are kept
    instead (`compression.py`).
    """

    def __init__(self, windows: _Windows, inner_size: int, is_exact: bool):
        self._windows = windows
        self._inner_size = inner_size
        self._is_exact = is_exact

    def start(self, features):
        return ()

    def attend(self, correlation, state, queries, keys, values):
        past_queries, past_keys = correlation or ((), ())
        queries, keys = (*past_queries, queries), (*past_keys, keys)
        attended = self._windows(queries, keys, values)
        if not self._is_exact:
            queries, keys = bounded(queries, keys, self._inner_size)
        return attended, (queries, keys)


class KernelLogits:
    """Carries the sum for the windows, q^2 numbers a pixel, as the kernel keeps it. Exact.

    A state then computes its own products only. The queries and keys are carried for the gradient:
    a graph without one does not keep them. For an unrolled network.
    """

    def __init__(self, windows: _Windows):
        self._windows = windows

    def start(self, features):
        return ()

    def attend(self, correlation, state, queries, keys, values):
        past_queries, past_keys, logits = correlation or ((), (), None)
        queries, keys = (*past_queries, queries), (*past_keys, keys)
        attended, logits = kernel.accumulating_attention(
            queries, keys, values, logits, **self._windows.options
        )
        return attended, (queries, keys, logits)


class StackedFactors:
    """Carries the queries and keys of all states, zero for those to come, for a loop.

    The shapes of a loop are fixed: both are `[B, H, W, T, L]`.
    """

    def __init__(self, windows: _Windows, dtype: str):
        similarity = similarity_of(windows.config)
        self._windows = windows
        self._num_states = windows.config.num_states
        self._inner_size = similarity.inner_size(windows.config)
        self._dtype = similarity.factor_dtype or dtype

    def start(self, features):
        batch, height, width, _ = ops.shape(features)
        shape = (batch, height, width, self._num_states, self._inner_size)
        return tuple(ops.zeros(shape, self._dtype) for _ in ("queries", "keys"))

    def attend(self, correlation, state, queries, keys, values):
        # Added and not written in place, which has no gradient on TensorFlow.
        place = ops.one_hot(state, self._num_states, dtype=queries.dtype)[:, None]  # [T, 1]
        correlation = tuple(
            past + place * new[..., None, :]
            for past, new in zip(correlation, (queries, keys), strict=True)
        )
        inner = self._num_states * self._inner_size
        queries, keys = (
            ops.reshape(x, (*ops.shape(x)[:3], inner)) for x in correlation
        )  # [B, H, W, T L]
        return self._windows(queries, keys, values), correlation
