"""The bytes of an image file as pixels: what it claims is judged first, then what it holds.

Files are met that were made to harm, or were cut off, or lay on a failing disk. Nothing is
decoded before the size in the header is known to be allowed and the data to be sound; what decoders
only warn of is damage.
"""

import dataclasses
import io
import struct
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import PIL.BmpImagePlugin
import PIL.Image
import PIL.ImageOps
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin

from nlrn_tf.errors import reason_of
from nlrn_tf.imaging import apart
from nlrn_tf.imaging.directories import is_tiff
from nlrn_tf.imaging.further_formats import further_format, size_by
from nlrn_tf.imaging.jpeg import damage_of_jpeg, size_of_jpeg
from nlrn_tf.imaging.png import (
    SIGNATURE,
    colours_of_png,
    damage_of_png,
    mended_png,
    needed_of_png,
    told_by_png,
)
from nlrn_tf.imaging.tiff import damage_of_tiff, first_page, is_packed, unpacks_by_libtiff

# Their warnings would add lines to our one-line errors.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# Of tags alone; what is wrong with pixels raises.
warnings.filterwarnings("ignore", module=r"PIL\.")


# The largest images that OpenCV reads: pixels a side, and all.
_OPENCV_SIDE, _OPENCV_PIXELS = 1 << 20, 1 << 30

_CORE = b"\x0c\0\0\0"  # size of the oldest header of BMP


Reader = Callable[[io.BytesIO], PIL.Image.Image]


@dataclasses.dataclass(frozen=True)
class Format:
    """How files of a format are judged.

    Attributes:
      name: in messages.
      size: width and height by the header; raises ValueError where it is damaged.
      damage: what is wrong with the pixels, None where nothing is; raises ValueError likewise.
      told: what Pillow finds besides pixels: `icc_profile`, `exif`.
    """

    name: str
    size: Callable[[bytes], tuple[int, int]]
    damage: Callable[[bytes], str | None]
    told: Callable[[bytes], Mapping[Any, Any]]


def format_of(content: bytes) -> Format:
    """The format by the first bytes. Raises ValueError for all others."""
    if content.startswith(SIGNATURE):
        return _FORMATS["png"]
    if content.startswith(b"\xff\xd8\xff"):
        return _FORMATS["jpeg"]
    if is_tiff(content):
        return _FORMATS["tiff"]
    if content.startswith(b"BM"):
        return _FORMATS["bmp"]
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _FORMATS["webp"]
    further = further_format(content)
    if further is not None:
        return Format(further, size_by(further), lambda content: None, lambda content: {})
    raise ValueError(
        "it begins as no PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, AVIF or HEIC does"
    )


def is_beyond_opencv(width: int, height: int) -> bool:
    """Whether an image is larger than OpenCV allows."""
    return max(width, height) > _OPENCV_SIDE or width * height > _OPENCV_PIXELS


def decode(content: bytes) -> np.ndarray:
    """The pixels of a sound file.

    Returns:
      As OpenCV stores them: BGR, not turned by EXIF.

    Raises:
      ValueError: it is of a kind that OpenCV does not know.
      cv2.error: it is larger than OpenCV allows, or there is too little memory.
    """
    if content.startswith(SIGNATURE):
        content = needed_of_png(content)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("of a kind that OpenCV does not know")
    return pixels


def decode_damaged(content: bytes) -> np.ndarray:
    """What is there of the pixels of a damaged file, as `decode`.

    Raises:
      ValueError: nothing can be decoded.
    """
    return apart.decoded(mended_png(content) if content.startswith(SIGNATURE) else content)


def decode_by_pillow(content: bytes) -> np.ndarray:
    """The pixels of a sound file that is not packed, or of any by a process of its own.

    Returns:
      In the order of RGBA, turned upright; palettes, CMYK and YCbCr as RGB.

    Raises:
      ValueError: it cannot be decoded.
    """
    if not is_tiff(content) or is_packed(content):  # libtiff prints its warnings
        return apart.decoded_by_pillow(content)
    with PIL.TiffImagePlugin.TiffImageFile(io.BytesIO(content)) as image:
        if image.mode in ("L", "RGB", "RGBA"):
            return np.asarray(PIL.ImageOps.exif_transpose(image))
    return apart.decoded_by_pillow(content)


def _size_of_png(content: bytes) -> tuple[int, int]:
    return _two_numbers(">II", content, 16)


def _size_of_tiff(content: bytes) -> tuple[int, int]:
    page, _ = first_page(content)
    return page.imagewidth, page.imagelength


def _size_of_bmp(content: bytes) -> tuple[int, int]:
    is_core = content[14:18] == _CORE
    width, height = _two_numbers("<HH" if is_core else "<ii", content, 18)
    return abs(width), abs(height)


def _size_of_webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        numbers = int.from_bytes(content[24:27], "little"), int.from_bytes(content[27:30], "little")
        return numbers[0] + 1, numbers[1] + 1
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _two_numbers("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


def _two_numbers(layout: str, content: bytes, start: int) -> tuple[int, int]:
    try:
        width, height = struct.unpack_from(layout, content, start)
    except struct.error as error:
        raise ValueError("its header is cut off") from error
    return width, height


def _damage_by(reader: Reader) -> Callable[[bytes], str | None]:
    """Judges by a reader of Pillow, which stops at damage that others pass over."""

    def damage(content: bytes) -> str | None:
        try:
            with reader(io.BytesIO(content)) as image:
                image.load()
        except MemoryError:
            raise
        except Exception as error:  # of many types, by where the damage is
            return reason_of(error)
        return None

    return damage


def _damage_of_png(content: bytes) -> str | None:
    problem = damage_of_png(content)
    if problem or not (num_colours := colours_of_png(content)):
        return problem
    return _lacking_colours(PIL.PngImagePlugin.PngImageFile, needed_of_png(content), num_colours)


def _damage_of_bmp(content: bytes) -> str | None:
    problem = _damage_by(PIL.BmpImagePlugin.BmpImageFile)(content)
    if problem or content[14:18] == _CORE:
        return problem
    pixels, header = struct.unpack_from("<II", content, 10)
    num_colours = 0
    if content[28] <= 8:  # bits
        num_colours = int.from_bytes(content[46:50], "little") or 1 << content[28]
    if pixels < 14 + header + 4 * num_colours:
        return "its pixels begin within its header"
    if not num_colours:
        return None
    return _lacking_colours(PIL.BmpImagePlugin.BmpImageFile, content, num_colours)


def _lacking_colours(reader: Reader, content: bytes, num_colours: int) -> str | None:
    """Whether pixels have colours that the palette lacks: decoders make up others."""
    with reader(io.BytesIO(content)) as image:
        highest = int(np.asarray(image).max()) if image.mode in ("1", "L", "P") else 0
    return "colours are missing in its palette" if highest >= num_colours else None


def _damage_of_tiff(content: bytes) -> str | None:
    problem = damage_of_tiff(content)
    if problem is None and unpacks_by_libtiff(content):
        return apart.complaint(content)
    return problem


def _told_by(reader: Reader) -> Callable[[bytes], Mapping]:
    def told(content: bytes) -> Mapping:
        try:
            with reader(io.BytesIO(content)) as image:
                return image.info
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(reason_of(error)) from error

    return told


_FORMATS = {
    "png": Format(
        "PNG",
        _size_of_png,
        _damage_of_png,
        lambda content: _told_by(PIL.PngImagePlugin.PngImageFile)(told_by_png(content)),
    ),
    "jpeg": Format(
        "JPEG", size_of_jpeg, damage_of_jpeg, _told_by(PIL.JpegImagePlugin.JpegImageFile)
    ),
    "tiff": Format("TIFF", _size_of_tiff, _damage_of_tiff, lambda content: {}),
    "bmp": Format("BMP", _size_of_bmp, _damage_of_bmp, lambda content: {}),
    "webp": Format(
        "WebP",
        _size_of_webp,
        _damage_by(PIL.WebPImagePlugin.WebPImageFile),
        _told_by(PIL.WebPImagePlugin.WebPImageFile),
    ),
}
