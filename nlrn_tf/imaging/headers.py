"""What the header of an image file says, without decoding its pixels."""

import os
import warnings

import PIL.Image
import tifffile

from nlrn_tf.imaging.decoding import format_of

_HEAD = 1 << 16  # bytes
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")


def read_shape(path: str | os.PathLike) -> tuple[int, int, int] | None:
    """Height, width and colour channels, 1 or 3, of an image file.

    The sides are those of the file, which an orientation in its metadata may swap.

    Returns:
      None where the header does not tell; reading the image then says what is wrong.
    """
    for read in (_by_pillow, _by_tifffile, _by_first_bytes):
        try:
            shape = read(path)
        except Exception:  # of many types, by where the damage is
            continue
        if min(shape) >= 1:
            return shape
    return None


def _by_pillow(path: str | os.PathLike) -> tuple[int, int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images, and of damaged metadata
        with PIL.Image.open(path) as image:
            is_grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
            return image.height, image.width, 1 if is_grey else 3


def _by_tifffile(path: str | os.PathLike) -> tuple[int, int, int]:
    """Knows TIFF files that Pillow does not, such as colour of 16 bits."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        return page.imagelength, page.imagewidth, 3 if page.samplesperpixel >= 3 else 1


def _by_first_bytes(path: str | os.PathLike) -> tuple[int, int, int]:
    """Of images that are too large for Pillow; of unknown channels, and so taken for grey."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    width, height = format_of(head).size(head)
    return height, width, 1
