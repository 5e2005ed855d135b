"""Windowed attention in bfloat16 on Intel processors with AMX.

`B` batch, `H, W` pixels. The kernel is written in C (the folder `csrc/amx`) and compiled when the
package is installed. TensorFlow's operations write the logits to memory, several times; the kernel
keeps them in the cache, sums in float32 and is more than twice as fast (`benchmarks/README.md`).
Its gradient is that of the blocks. It runs in this process and is no part of a saved graph.
"""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from nlrn_tf import backend
from nlrn_tf.layers.attention import blocks
from nlrn_tf.layers.attention.operations import listed

try:
    from nlrn_tf.layers.attention import _amx
except ImportError:  # there was no C compiler
    _amx = None

# The numbers of channels that the kernel takes are multiples of this.
CHANNELS_AT_ONCE = 32

# Limits of the kernel: MAX_WINDOW and MAX_PARTS in problem.h.
LARGEST_WINDOW = 480
MOST_PARTS = 64

# Rows of queries in a piece of the work. The keys are packed again for each piece, so that more
# rows save packing and take more memory.
BAND_ROWS = 64


@functools.cache
def is_supported() -> bool:
    """Whether the kernel was compiled, and this machine has what it needs and no GPU."""
    if _amx is None or not backend.takes_numpy_functions() or not _amx.is_supported():
        return False
    return not backend.tensorflow_gpus()


def obstacle(queries, keys, values, *, window_size, border, normalization):
    """Why the kernel cannot do this here, or None."""
    tensors = [*listed(queries), *listed(keys), values]
    if not is_supported():
        return "it needs TensorFlow, a processor with AMX, no GPU, and to have been compiled"
    if normalization != "softmax":
        return f"it normalises by softmax, not by {normalization}"
    if window_size > LARGEST_WINDOW:
        return f"its windows are at most {LARGEST_WINDOW} pixels wide"
    if len(listed(queries)) > MOST_PARTS:
        return f"it takes queries and keys in at most {MOST_PARTS} parts"
    if any(keras.backend.standardize_dtype(x.dtype) != "bfloat16" for x in tensors):
        return "it computes in bfloat16 only"
    if any(x.shape[-1] % CHANNELS_AT_ONCE for x in tensors):
        return f"it takes multiples of {CHANNELS_AT_ONCE} channels"
    return None


def attention(queries, keys, values, *, window_size, border, normalization):
    """Softmax attention as `attend` defines it; the logits and sums are float32.

    Args:
      queries, keys: `[B, H, W, .]` or lists of such tensors, bfloat16.
      values: `[B, H, W, M]`, bfloat16.
      window_size: q, at most LARGEST_WINDOW.
      border: "clamp" or "circular".
      normalization: "softmax".

    Returns:
      `[B, H, W, M]`, bfloat16. Differentiable; the gradient takes the time of the blocks.
    """
    import tensorflow as tf

    queries, keys = listed(queries), listed(keys)
    count = len(queries)

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
            functools.partial(_attend_batch, count, window_size, border == "circular"),
            tensors,
            tf.bfloat16,
            stateful=False,
        )

        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                attended = in_blocks(tensors)
            return tape.gradient(attended, tensors, upstream, unconnected_gradients="zero")

        return tf.ensure_shape(attended, values.shape), gradient

    return by_kernel(*queries, *keys, values)


def _attend_batch(count, window_size, is_circular, *arrays):
    """Of NumPy arrays: `count` of queries, as many of keys, and the values, as in `attention`."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    attended = _aligned(arrays[-1])
    for image in range(len(attended)):
        # The buffer protocol does not know bfloat16.
        views = [array[image].view(np.uint16) for array in arrays]
        _attend_image(
            tuple(views[:count]),
            tuple(views[count:-1]),
            views[-1],
            attended[image].view(np.uint16),
            window_size,
            is_circular,
        )
    return attended


def _aligned(array):
    """An array like the given one, of bfloat16, that TensorFlow takes over without a copy."""
    alignment = 64  # bytes
    memory = np.empty(array.nbytes + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    memory = memory[start : start + array.nbytes].view(array.dtype)
    return memory.reshape(array.shape)  # [B, H, W, M]


def _attend_image(queries, keys, values, attended, window_size, is_circular):
    arrays, settings = (queries, keys, values, attended), (window_size, is_circular)
    height, width, _ = values.shape
    threads = _threads()
    num_bands = math.ceil(height / BAND_ROWS / threads) * threads
    bounds = [height * band // num_bands for band in range(num_bands + 1)]

    def attend_rows(band):
        first, last = bounds[band : band + 2]
        if first < last:
            _amx.attend_rows(*arrays, height, width, *settings, first, last)

    list(_pool(threads).map(attend_rows, range(num_bands)))


def _threads() -> int:
    import tensorflow as tf

    return tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="attention")
