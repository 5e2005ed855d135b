"""The compiled kernels for the processor: which of them may be used here, and threads for them.

They are written in C (the folder `csrc`) and compiled when the package is installed: attention and
3x3 convolution in float32, for the instructions that every processor of an architecture has and for
AVX2 and AVX-512, and attention in bfloat16 for Intel processors with AMX. They run in this process
and are no part of a saved graph.
"""

import functools
import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nlrn_tf import backend, machine
from nlrn_tf.errors import NLRNError

try:
    import nlrn_tf.layers._kernels as kernels
except ImportError:  # there was no C compiler
    kernels = None

# The environment variable that forces one of VARIANTS, or none of them with OFF.
VARIABLE = "NLRN_KERNEL"
VARIANTS = ("amx", "avx512", "avx2", "baseline")  # the fastest first
OFF = "off"


def variants() -> list[str]:
    """The kernels that may be used here, the fastest first; empty where there are none.

    Raises:
      NLRNError: `$NLRN_KERNEL` names a kernel that does not exist or cannot run here.
    """
    forced = os.environ.get(VARIABLE) or None
    if forced not in (None, OFF, *VARIANTS):
        raise NLRNError(f"{VARIABLE}={forced}: must be one of {', '.join((*VARIANTS, OFF))}")
    possible = usable()
    if forced is None or forced == OFF:
        return [] if forced == OFF else list(possible)
    if forced not in possible:
        able = ", ".join((*possible, OFF))
        raise NLRNError(f"{VARIABLE}={forced}: cannot run here; what can is {able}")
    return [forced]


@functools.cache
def usable() -> tuple[str, ...]:
    """The kernels that were compiled and that this processor can run, where there is no GPU."""
    if kernels is None or not backend.takes_numpy_functions() or backend.tensorflow_gpus():
        return ()
    return tuple(kernels.names())


def aligned_empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    """An empty array that TensorFlow takes over without a copy."""
    alignment = 64  # bytes
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(num_bytes + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + num_bytes].view(dtype).reshape(shape)


def for_bands(function: Callable[[int, int], None], num_rows: int, band_rows: int) -> None:
    """`function(first, last)` for the bands of an image, in as many threads as TensorFlow has.

    Args:
      function: of the rows from `first` to before `last`.
      num_rows: of the image.
      band_rows: about as many rows to a band; each thread gets the same number of bands.
    """
    threads = _threads()
    num_bands = math.ceil(num_rows / band_rows / threads) * threads
    bounds = [num_rows * band // num_bands for band in range(num_bands + 1)]
    bands = [(a, b) for a, b in itertools.pairwise(bounds) if a < b]
    list(_pool(threads).map(lambda band: function(*band), bands))


def _threads() -> int:
    import tensorflow as tf

    return tf.config.threading.get_intra_op_parallelism_threads() or machine.num_cores()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernels")
