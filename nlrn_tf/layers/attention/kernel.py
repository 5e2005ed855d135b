"""Windowed attention in bfloat16 on Intel processors with AMX.

`B` batch, `H, W` pixels. The kernel is written in C (the folder `amx`) and compiled when the
package is installed. TensorFlow's operations write the logits to memory, several times; the kernel
keeps them in the cache, sums in float32 and is more than twice as fast (`benchmarks/README.md`).
It has no gradient and is no part of a saved graph, so it is used only where it is asked for: to
restore images in this process.
"""

import contextlib
import contextvars
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

try:
    from nlrn_tf.layers.attention import _amx
except ImportError:  # there was no C compiler
    _amx = None

# Channels are taken by so many. The kernel's limit for windows is MAX_WINDOW in problem.h.
CHANNELS_AT_ONCE = 32
LARGEST_WINDOW = 480

# Rows of queries in a piece of the work. Its keys are packed anew: the more rows, the less of that,
# and the more memory.
BAND_ROWS = 64

_is_wanted = contextvars.ContextVar("_is_wanted", default=False)


@contextlib.contextmanager
def wanted():
    """Within it `windowed_attention` uses the kernel where it can, also in graphs made there."""
    token = _is_wanted.set(True)
    try:
        yield
    finally:
        _is_wanted.reset(token)


@functools.cache
def is_supported() -> bool:
    """Whether the kernel was compiled, and this machine has what it needs and no GPU."""
    if _amx is None or keras.backend.backend() != "tensorflow" or not _amx.is_supported():
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def is_usable(queries, keys, values, window_size: int) -> bool:
    """Whether the kernel is wanted, is there, and can do this.

    Args:
      queries, keys: lists of `[B, H, W, .]`.
      values: `[B, H, W, M]`.
      window_size: q.
    """
    tensors = [*queries, *keys, values]
    return (
        _is_wanted.get()
        and is_supported()
        and window_size <= LARGEST_WINDOW
        and all(keras.backend.standardize_dtype(x.dtype) == "bfloat16" for x in tensors)
        and all(x.shape[-1] % CHANNELS_AT_ONCE == 0 for x in tensors)
    )


def attention(queries, keys, values, *, window_size: int, border: str):
    """What `windowed_attention` gives with "softmax"; its logits and sums are float32.

    Args:
      queries, keys: lists of `[B, H, W, .]`, bfloat16.
      values: `[B, H, W, M]`, bfloat16.
      window_size: q, at most LARGEST_WINDOW.
      border: "clamp" or "circular".

    Returns:
      `[B, H, W, M]`, bfloat16.
    """
    import tensorflow as tf

    count = len(queries)

    def attend(*arrays):
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
                border == "circular",
            )
        return attended

    tensors = [*queries, *keys, values]
    attended = tf.numpy_function(attend, tensors, tf.bfloat16, stateful=False)
    return tf.ensure_shape(attended, values.shape)


def _aligned(array):
    """An array like the given one, of bfloat16, that TensorFlow takes over without a copy."""
    alignment = 64  # bytes
    memory = np.empty(array.nbytes + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)


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
