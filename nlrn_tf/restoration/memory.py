"""What restoring an image takes of memory, judged before the work."""

import numpy as np

from nlrn_tf import machine
from nlrn_tf.errors import NLRNError

# Bytes a pixel of the result that the arrays of `Restorer` take at once, measured with tracemalloc
# at 1000 x 1000: grey 17, colour 84 (float64 on the way to opponent axes). The resizing of
# super-resolution takes about as much again. The network comes on top: see `tile_size`.
_BYTES_A_PIXEL = {1: 17, 3: 84}
_OF_ENLARGING = 2


def memory_to_restore(image: np.ndarray, scale: float = 1) -> int:
    """Bytes that restoring takes besides the network and the image itself, about.

    Args:
      image: `[H, W]` or `[H, W, C]`, with or without alpha.
      scale: by which it is enlarged.
    """
    return _memory_for(_shape(image), scale)


def check_memory(image: np.ndarray, scale: float = 1) -> None:
    """Checks that an image can be restored in the memory that is free, see `memory_to_restore`.

    Raises:
      NLRNError: it cannot.
    """
    check_memory_for(_shape(image), scale)


def check_memory_for(shape: tuple[int, int, int], scale: float = 1) -> None:
    """As `check_memory`, for an image of which height, width, and channels (1 or 3) are known."""
    needed, free = _memory_for(shape, scale), machine.available_memory()
    if free is not None and needed > free:
        height, width, _ = shape
        raise NLRNError(
            f"restoring {width} x {height} pixels takes about {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free; cut the image into parts"
        )


def _shape(image: np.ndarray) -> tuple[int, int, int]:
    return *image.shape[:2], 3 if image.ndim == 3 and image.shape[2] >= 3 else 1


def _memory_for(shape: tuple[int, int, int], scale: float) -> int:
    height, width, channels = shape
    enlarging = _OF_ENLARGING if scale > 1 else 1
    return round(height * width * scale**2 * _BYTES_A_PIXEL[channels] * enlarging)
