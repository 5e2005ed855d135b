"""Windowed attention by compiled code, on the processor.

`B` batch, `H, W` pixels. TensorFlow's operations write the logits to memory, several times; the
kernels (`layers/compiled.py`) keep them in the cache (`benchmarks/README.md`). Their gradient is
that of the blocks.
"""

import functools
import weakref

import keras
import numpy as np

from nlrn_tf.layers import compiled
from nlrn_tf.layers.attention import blocks
from nlrn_tf.layers.attention.operations import listed

# The AMX kernel takes bfloat16 in multiples of this many channels.
AMX_CHANNELS = 32

# Limits of the kernels: MAX_WINDOW and MAX_PARTS in problem.h.
LARGEST_WINDOW = 480
MOST_PARTS = 64

# Rows of queries in a piece of the work. The keys are packed again for each piece, so that more
# rows save packing. Those of AMX stand in memory at once; the others need few at a time, so that
# they may have pieces enough for the threads to end together.
BAND_ROWS = {"amx": 64}
OTHER_BAND_ROWS = 32


# By their address, the arrays of logits that are alive. What TensorFlow passes is a view; returned,
# it would keep the tensor of the state before, and a chain of these ends link by link, while the
# next image is under way.
_LOGITS: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


def variant_for(dtype: str, channels=()) -> str | None:
    """The kernel for tensors of a dtype with these numbers of channels; None where none takes them.

    Raises:
      NLRNError: `$NLRN_KERNEL` names a kernel that does not exist or cannot run here.
    """
    for variant in compiled.variants():
        if variant != "amx":
            return variant if dtype in ("float32", "bfloat16") else None
        if dtype == "bfloat16" and not any(count % AMX_CHANNELS for count in channels):
            return variant
    return None


def obstacle(queries, keys, values, *, window_size, border, normalization):
    """Why no kernel can do this here, or None."""
    tensors = [*listed(queries), *listed(keys), values]
    dtypes = {keras.backend.standardize_dtype(x.dtype) for x in tensors}
    if len(listed(queries)) > MOST_PARTS:
        return f"it takes queries and keys in at most {MOST_PARTS} parts"
    channels = [x.shape[-1] for x in tensors]
    return _obstacle(dtypes, channels, window_size, normalization)


def _obstacle(dtypes, channels, window_size, normalization):
    if not compiled.variants():
        forbidden = f"{compiled.VARIABLE}={compiled.OFF}"
        return f"it needs TensorFlow, no GPU, no {forbidden}, and to have been compiled"
    if normalization != "softmax":
        return f"it normalises by softmax, not by {normalization}"
    if window_size > LARGEST_WINDOW:
        return f"its windows are at most {LARGEST_WINDOW} pixels wide"
    if len(dtypes) > 1 or variant_for(next(iter(dtypes)), channels) is None:
        names = ", ".join(compiled.variants())
        return (
            f"{names} cannot take {', '.join(sorted(dtypes))}: amx takes bfloat16 in multiples of "
            f"{AMX_CHANNELS} channels, the others float32 and bfloat16"
        )
    return None


def can_accumulate(dtypes: set[str], channels, window_size: int, normalization: str) -> bool:
    """Whether `accumulating_attention` can be used here; that of AMX keeps no logits.

    Args:
      dtypes: of queries, keys and values.
      channels: of queries and keys, and of values.
      window_size: q.
      normalization: "softmax" or "mean".
    """
    if _obstacle(dtypes, channels, window_size, normalization):
        return False
    return variant_for(next(iter(dtypes)), channels) != "amx"


def attention(queries, keys, values, *, window_size, border, normalization):
    """Softmax attention as `attend` defines it; the logits and sums are float32.

    Args:
      queries, keys: `[B, H, W, .]` or lists of such tensors, float32 or bfloat16.
      values: `[B, H, W, M]`, of the same dtype.
      window_size: q, at most LARGEST_WINDOW.
      border: "clamp" or "circular".
      normalization: "softmax".

    Returns:
      `[B, H, W, M]`, dtype of `values`. Differentiable; the gradient takes the time of the blocks.

    Raises:
      NLRNError: `$NLRN_KERNEL` names a kernel that does not exist or cannot run here.
    """
    options = {"window_size": window_size, "border": border, "normalization": normalization}
    return _attention(listed(queries), listed(keys), values, options)


def accumulating_attention(queries, keys, values, logits=None, **options):
    """`attention` by queries and keys in a list, one of each state, with the logits at hand.

    Computes the logits of the last state and adds them to those of the states before, instead of
    all again: in float32, q^2 numbers a pixel.

    Args:
      queries, keys: lists of `[B, H, W, .]`, those of all states so far.
      values: `[B, H, W, M]`.
      logits: what the call for the state before returned, to be used once: it is overwritten. None
        for the first.
      **options: as for `attention`.

    Returns:
      `[B, H, W, M]`, and the logits for the next state.
    """
    return _attention(queries, keys, values, options, logits, keeps_logits=True)


def _attention(queries, keys, values, options, logits=None, keeps_logits=False):
    import tensorflow as tf

    count = len(queries)
    channels = [x.shape[-1] for x in (*queries, *keys, values)]
    dtype = tf.as_dtype(values.dtype)
    variant = variant_for(dtype.name, channels)
    is_circular = options["border"] == "circular"
    task = functools.partial(_attend_batch, variant, options["window_size"], is_circular)
    past = [] if logits is None else [logits]
    # What the kernel needs of the queries and keys: with the logits at hand those of a state.
    needed = slice(-1, None) if keeps_logits else slice(None)

    def in_blocks(tensors):
        return blocks.attention(
            tensors[:count],
            tensors[count:-1],
            tensors[-1],
            **options,
        )

    @tf.custom_gradient
    def by_kernel(*tensors):
        queries, keys, values = tensors[:count], tensors[count:-1], tensors[-1]
        arrays = (*queries[needed], *keys[needed], values, *past)
        if keeps_logits:
            used = functools.partial(_accumulate_batch, task)
            attended, logits = tf.numpy_function(used, arrays, (dtype, tf.float32))
        else:
            attended = tf.numpy_function(task, arrays, dtype, stateful=False)
            logits = tf.zeros(())
        logits = tf.stop_gradient(logits)

        def gradient(upstream, _):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                attended = in_blocks(tensors)
            return tape.gradient(attended, tensors, upstream, unconnected_gradients="zero")

        return (tf.ensure_shape(attended, values.shape), logits), gradient

    attended, logits = by_kernel(*queries, *keys, values)
    return (attended, logits) if keeps_logits else attended


def _accumulate_batch(attend_batch, queries, keys, values, logits=None):
    """`_attend_batch` with logits, float32 `[B, .]`, which it makes where there are none."""
    has_past = logits is not None
    if not has_past:
        batch, height, width, _ = values.shape
        window_size = attend_batch.args[1]
        size = compiled.kernels.num_logits(height, width, window_size)
        logits = compiled.aligned_empty((batch, size), np.float32)
        _LOGITS[logits.ctypes.data] = logits
    elif not logits.flags.writeable:
        logits = logits.copy()
    else:
        logits = _LOGITS.get(logits.ctypes.data, logits)
    return attend_batch(queries, keys, values, logits=logits, has_past=has_past), logits


def _attend_batch(variant, window_size, is_circular, *arrays, logits=None, has_past=False):
    """Of NumPy arrays: those of queries, as many of keys, and the values, as in `attention`."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    attended = compiled.aligned_empty(arrays[-1].shape, arrays[-1].dtype)
    if attended.dtype != np.float32:
        # The buffer protocol does not know bfloat16.
        arrays = [array.view(np.uint16) for array in arrays]
    count = len(arrays) // 2
    for image in range(len(attended)):
        parts = [array[image] for array in arrays]
        _attend_image(
            variant,
            tuple(parts[:count]),
            tuple(parts[count:-1]),
            parts[-1],
            attended[image].view(parts[-1].dtype),
            window_size,
            is_circular,
            None if logits is None else logits[image],
            has_past,
        )
    return attended


def _attend_image(
    variant, queries, keys, values, attended, window_size, is_circular, logits=None, has_past=False
):
    """Of one image: float32 `[H, W, .]`, or uint16 with the bits of bfloat16."""
    height, width, _ = values.shape
    arrays = (queries, keys, values, attended, logits, has_past)
    settings = (values.dtype == np.uint16, height, width, window_size, is_circular)
    rows = BAND_ROWS.get(variant, OTHER_BAND_ROWS)

    def attend_rows(first, last):
        compiled.kernels.attend_rows(variant, *arrays, *settings, first, last)

    compiled.for_bands(attend_rows, height, rows)
