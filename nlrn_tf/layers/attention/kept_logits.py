"""The memory of the logits that the kernel keeps from state to state.

They are most of what restoring takes. TensorFlow lets go of an array that it got from Python some
time later, when it next enters Python; the next image may then have its logits already.
"""

import contextlib
import math
import mmap
import weakref

import numpy as np

# By their address, the arrays that are alive. What TensorFlow passes is a view; returned, it would
# keep the tensor of the state before, and a chain of these ends link by link.
_ALIVE: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


def make(shape: tuple[int, ...]) -> np.ndarray:
    """An empty array, float32, aligned to pages of memory."""
    num_bytes = max(1, math.prod(shape)) * 4
    memory = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # As NumPy does for its arrays. A kernel without large pages refuses, and nothing is lost.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    logits = np.frombuffer(memory, np.float32, math.prod(shape)).reshape(shape)
    _ALIVE[logits.ctypes.data] = logits
    return logits


def of_view(view: np.ndarray) -> np.ndarray:
    """The array that TensorFlow passes a view of; a copy where it must not be written to."""
    if not view.flags.writeable:
        return view.copy()
    return _ALIVE.get(view.ctypes.data, view)


def give_back(logits: np.ndarray) -> None:
    """Gives the memory back to the system, where it is from `make`. The content is lost."""
    base: object = logits
    while isinstance(base, np.ndarray):
        base = base.base
    memory = base.obj if isinstance(base, memoryview) else base
    if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED)
