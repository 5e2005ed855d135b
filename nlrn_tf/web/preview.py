"""What a browser can show of an image: 8 bits, as PNG."""

import dataclasses
import os

import numpy as np

from nlrn_tf.imaging.files import read_pictures, write_image
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.imaging.samples import Levels, to_uint8, unit_range
from nlrn_tf.imaging.stack import Stack


def write_preview(path: str | os.PathLike, photo: Photo, scale: float = 1) -> None:
    """Writes an image as browsers can show it. One of 8 bits keeps its values.

    Args:
      path: of a PNG file.
      photo: of 16 bits it is shown up to its white.
      scale: by which it is enlarged, bicubically.

    Raises:
      NLRNError: the file cannot be written.
    """
    pixels = photo.pixels
    if scale != 1:
        pixels = to_uint8(imresize(_unit_range(photo), scale))
    elif pixels.dtype != np.uint8:
        pixels = to_uint8(_unit_range(photo))
    write_image(path, pixels, photo.icc_profile)


def first_picture(path: str | os.PathLike, max_pixels: int, accept_damaged: bool = False) -> Photo:
    """The photo in a file; of several pages or channels that are pictures the first.

    Raises:
      NLRNError: it cannot be read.
    """
    found = read_pictures(path, max_pixels, accept_damaged)
    photo = found.photo(0) if isinstance(found, Stack) else found
    white = found.white if isinstance(found, Stack) else photo.white
    return dataclasses.replace(photo, pixels=photo.pictures[0], groups=(), white=white)


def shown_like(photo: Photo, other: Photo) -> Photo:
    """A photo with the white of another, so that both are shown equally bright."""
    return dataclasses.replace(photo, white=other.white)


def _unit_range(photo: Photo) -> np.ndarray:
    """float32 in [0, 1] of white; alpha of 16 bits in [0, 1] of 65535."""
    white = photo.white
    if white is None or photo.pixels.dtype == np.uint8:
        return unit_range(photo.pixels)
    if photo.pixels.dtype != np.uint16:
        return Levels(white.value, white.black).unit_range(photo.pixels)
    values = unit_range(photo.pixels)
    channels = 3 if photo.pixels.ndim == 3 and photo.pixels.shape[2] >= 3 else 1
    colours = values.reshape(*values.shape[:2], -1)[..., :channels]  # a view
    colours *= np.float32(65535 / white.value)
    return values
