"""Images of people's own for training and evaluation, which are done on 8 bits without alpha."""

import os

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import Photo, read_photo


def read_8_bits(path: str | os.PathLike) -> np.ndarray:
    """Reads an image as `read_image`, and those that this refuses but that hold the same.

    16 bits become 8 by their white level, rounded. Alpha is left out where all of it is opaque.

    Returns:
      uint8, `[H, W]`, or `[H, W, 3]` in RGB order.

    Raises:
      NLRNError: the file is missing, no image or damaged, has transparent pixels, or samples
        of neither 8 nor 16 bits.
    """
    pixels, white = opaque(path, read_photo(path))
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(np.minimum(pixels / white, 1) * 255).astype(np.uint8)


def opaque(path: str | os.PathLike, photo: Photo) -> tuple[np.ndarray, float]:
    """The pixels of a photo without its alpha, and the value of white.

    Raises:
      NLRNError: there are transparent pixels, or samples of neither 8 nor 16 bits.
    """
    pixels = photo.pixels
    if pixels.dtype not in (np.uint8, np.uint16):
        raise NLRNError(
            f"{path}: has {pixels.dtype.name} samples; training and evaluation take 8 and 16 bits, "
            "convert it first"
        )
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        if (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
            raise NLRNError(f"{path}: has transparent pixels; flatten it onto a background first")
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else np.ascontiguousarray(pixels[..., :-1])
    return pixels, photo.white.value if photo.white else int(np.iinfo(pixels.dtype).max)
