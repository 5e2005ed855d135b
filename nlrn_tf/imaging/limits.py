"""What an image file may claim: judged before it is decoded."""

import os

from nlrn_tf import machine
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.decoding import format_of

# Measured, of 8 bits; 17 of WebP, 22 of 16 bits.
_BYTES_TO_DECODE = 9
# Of larger files nothing is read: 16 bytes are more than a pixel takes, tags may take some MiB.
_BYTES_A_PIXEL, _BYTES_OF_TAGS = 16, 64 << 20


def most_bytes(max_pixels: int) -> int:
    """The bytes that a file of an image of `max_pixels` may have."""
    return _BYTES_A_PIXEL * max_pixels + _BYTES_OF_TAGS


def check_file_size(path: str | os.PathLike, size: int, max_pixels: int) -> None:
    """Raises NLRNError where a file has more bytes than an image of `max_pixels` can."""
    if size > most_bytes(max_pixels):
        raise NLRNError(f"{path}: {size} bytes are too many for max_pixels={max_pixels}")


def check_claims(content: bytes, max_pixels: int) -> None:
    """Judges the size of an image by the header of its file.

    Raises:
      NLRNError: it is too large; the message does not name the file.
      ValueError: the header is damaged.
      MemoryError: too little memory is free to decode it.
    """
    width, height = format_of(content).size(content)
    if width < 1 or height < 1:
        raise ValueError(f"it claims {width} x {height} pixels")
    if width * height > max_pixels:
        raise NLRNError(
            f"claims {width} x {height} pixels, more than max_pixels={max_pixels}; "
            "raise that if the image is as large, or restore it in parts"
        )
    free = machine.available_memory()
    if free is not None and width * height * _BYTES_TO_DECODE > free:
        raise MemoryError
