"""What a browser can show of an image: 8 bits, as PNG."""

import dataclasses
import os

import numpy as np

from nlrn_tf.imaging.files import Photo, write_image
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.imaging.samples import to_uint8, unit_range


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


def shown_like(photo: Photo, other: Photo) -> Photo:
    """A photo with the white of another, so that both are shown equally bright."""
    return dataclasses.replace(photo, white=other.white)


def _unit_range(photo: Photo) -> np.ndarray:
    """float32 in [0, 1] of white; alpha of 16 bits in [0, 1] of 65535."""
    values = unit_range(photo.pixels)
    if photo.white is None:
        return values
    channels = 3 if photo.pixels.ndim == 3 and photo.pixels.shape[2] >= 3 else 1
    colours = values.reshape(*values.shape[:2], -1)[..., :channels]  # a view
    colours *= np.float32(65535 / photo.white.value)
    return values
