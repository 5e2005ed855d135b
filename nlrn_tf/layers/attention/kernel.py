"""Windowed attention by compiled code, on the processor.

`B` batch, `H, W` pixels. The kernels are written in C (the folder `csrc`) and compiled when the
package is installed: one in float32, for the instructions that every processor of an architecture
has and for AVX2 and AVX-512, and one in bfloat16 for Intel processors with AMX. TensorFlow's
operations write the logits to memory, several times; the kernels keep them in the cache
(`benchmarks/README.md`). Their gradient is that of the blocks. They run in this process and are no
part of a saved graph.
"""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from nlrn_tf import backend, machine
from nlrn_tf.errors import NLRNError
from nlrn_tf.layers.attention import blocks
from nlrn_tf.layers.attention.operations import listed

try:
    from nlrn_tf.layers.attention import _kernels
except ImportError:  # there was no C compiler
    _kernels = None

# The environment variable that forces one of VARIANTS, or none of them with OFF.
VARIABLE = "NLRN_KERNEL"
VARIANTS = ("amx", "avx512", "avx2", "baseline")  # the fastest first
OFF = "off"

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


def variants() -> list[str]:
    """The kernels that may be used here, the fastest first; empty where there are none.

    Raises:
      NLRNError: `$NLRN_KERNEL` names a kernel that does not exist or cannot run here.
    """
    forced = os.environ.get(VARIABLE) or None
    if forced not in (None, OFF, *VARIANTS):
        raise NLRNError(f"{VARIABLE}={forced}: must be one of {', '.join((*VARIANTS, OFF))}")
    usable = _usable()
    if forced is None or forced == OFF:
        return [] if forced == OFF else list(usable)
    if forced not in usable:
        able = ", ".join((*usable, OFF))
        raise NLRNError(f"{VARIABLE}={forced}: cannot run here; what can is {able}")
    return [forced]


def variant_for(dtype: str, channels=()) -> str | None:
    """The kernel for tensors of a dtype with these numbers of channels; None where none takes them.

    Raises:
      NLRNError: `$NLRN_KERNEL` names a kernel that does not exist or cannot run here.
    """
    for variant in variants():
        if variant != "amx":
            return variant if dtype in ("float32", "bfloat16") else None
        if dtype == "bfloat16" and not any(count % AMX_CHANNELS for count in channels):
            return variant
    return None


@functools.cache
def _usable() -> tuple[str, ...]:
    """The kernels that were compiled and that this processor can run, where there is no GPU."""
    if _kernels is None or not backend.takes_numpy_functions() or backend.tensorflow_gpus():
        return ()
    return tuple(_kernels.names())


def obstacle(queries, keys, values, *, window_size, border, normalization):
    """Why no kernel can do this here, or None."""
    tensors = [*listed(queries), *listed(keys), values]
    dtypes = {keras.backend.standardize_dtype(x.dtype) for x in tensors}
    if not variants():
        return f"it needs TensorFlow, no GPU, no {VARIABLE}={OFF}, and to have been compiled"
    if normalization != "softmax":
        return f"it normalises by softmax, not by {normalization}"
    if window_size > LARGEST_WINDOW:
        return f"its windows are at most {LARGEST_WINDOW} pixels wide"
    if len(listed(queries)) > MOST_PARTS:
        return f"it takes queries and keys in at most {MOST_PARTS} parts"
    if len(dtypes) > 1 or variant_for(*dtypes, [x.shape[-1] for x in tensors]) is None:
        return (
            f"{', '.join(variants())} cannot take {', '.join(sorted(dtypes))}: amx takes bfloat16 "
            f"in multiples of {AMX_CHANNELS} channels, the others float32 and bfloat16"
        )
    return None


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
    import tensorflow as tf

    queries, keys = listed(queries), listed(keys)
    count = len(queries)
    channels = [x.shape[-1] for x in (*queries, *keys, values)]
    variant = variant_for(keras.backend.standardize_dtype(values.dtype), channels)

    def in_blocks(tensors):
        return blocks.attention(
            tensors[:count],
            tensors[count:-1],
            tensors[-1],
            window_size=window_size,
            border=border,
            normalization=normalization,
        )

    @tf.custom_gradient
    def by_kernel(*tensors):
        attended = tf.numpy_function(
            functools.partial(_attend_batch, variant, count, window_size, border == "circular"),
            tensors,
            tf.as_dtype(values.dtype),
            stateful=False,
        )

        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                attended = in_blocks(tensors)
            return tape.gradient(attended, tensors, upstream, unconnected_gradients="zero")

        return tf.ensure_shape(attended, values.shape), gradient

    return by_kernel(*queries, *keys, values)


def _attend_batch(variant, count, window_size, is_circular, *arrays):
    """Of NumPy arrays: `count` of queries, as many of keys, and the values, as in `attention`."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    attended = _aligned(arrays[-1])
    if attended.dtype != np.float32:
        # The buffer protocol does not know bfloat16.
        arrays = [array.view(np.uint16) for array in arrays]
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
        )
    return attended


def _aligned(array):
    """An array like the given one that TensorFlow takes over without a copy."""
    alignment = 64  # bytes
    memory = np.empty(array.nbytes + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    memory = memory[start : start + array.nbytes].view(array.dtype)
    return memory.reshape(array.shape)  # [B, H, W, M]


def _attend_image(variant, queries, keys, values, attended, window_size, is_circular):
    """Of one image: float32 `[H, W, .]`, or uint16 with the bits of bfloat16."""
    height, width, _ = values.shape
    arrays = (queries, keys, values, attended)
    settings = (values.dtype == np.uint16, height, width, window_size, is_circular)
    threads = _threads()
    rows = BAND_ROWS.get(variant, OTHER_BAND_ROWS)
    num_bands = math.ceil(height / rows / threads) * threads
    bounds = [height * band // num_bands for band in range(num_bands + 1)]

    def attend_rows(band):
        first, last = bounds[band : band + 2]
        if first < last:
            _kernels.attend_rows(variant, *arrays, *settings, first, last)

    list(_pool(threads).map(attend_rows, range(num_bands)))


def _threads() -> int:
    import tensorflow as tf

    return tf.config.threading.get_intra_op_parallelism_threads() or machine.num_cores()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="attention")
