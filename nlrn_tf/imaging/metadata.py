"""What an image file says besides its pixels, as far as it takes to read the pixels right."""

import dataclasses
import io
import logging
import struct
import zlib
from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import tifffile

from nlrn_tf.imaging.white_level import WHITE_TAGS

# It would complain of each EXIF block, which is a TIFF file without pixels.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_PNG = b"\x89PNG\r\n\x1a\n"

# Tags of TIFF 6.0, which EXIF uses too, and some of their values.
_PHOTOMETRIC, _ORIENTATION, _SAMPLES_PER_PIXEL = 262, 274, 277
_PLANES, _EXTRA_SAMPLES, _ICC_PROFILE = 284, 338, 34675
_WHITE_IS_ZERO, _CMYK = 0, 5
_SEPARATE_PLANES = 2
_PREMULTIPLIED, _STRAIGHT = 1, 2

# Turns by EXIF orientation, 1 to 8 (TIFF 6.0, tag 274), of arrays [H, W, ...].
_UPRIGHT = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}


@dataclasses.dataclass(frozen=True)
class ImageMetadata:
    """Facts about an image file.

    Attributes:
      icc_profile: the colour profile; empty where there is none.
      orientation: of EXIF, 1 to 8.
      num_pages: of a TIFF file, without thumbnails and masks; else 1.
      cmyk: whether a TIFF file is in CMYK, which OpenCV decodes to colour with a made-up alpha.
      grey_with_alpha: whether a PNG or TIFF file is; OpenCV decodes the one as colour with alpha,
        of the other it drops the alpha.
      transparent_level: whether a grey PNG file names a level that is transparent.
      white_is_zero: whether the largest sample of a grey TIFF file is black. OpenCV turns 8 bits
        around, 16 bits not.
      separate_planes: whether a TIFF file has one channel after the other; OpenCV mixes up those
        of 16 bits.
      premultiplied: whether a TIFF file has colours multiplied by alpha.
      straight_alpha: whether a TIFF file says of its alpha that the colours are not; OpenCV then
        multiplies those of 8 bits.
      white_tags: the tags of a TIFF file that tell the value of white, by number.
    """

    icc_profile: bytes
    orientation: int
    num_pages: int
    cmyk: bool
    grey_with_alpha: bool
    transparent_level: bool
    white_is_zero: bool
    separate_planes: bool
    premultiplied: bool
    straight_alpha: bool
    white_tags: dict[int, object]

    def turn_upright(self, image: np.ndarray) -> np.ndarray:
        """Turns `[H, W, ...]` by the orientation."""
        return _UPRIGHT[self.orientation](image) if self.orientation in _UPRIGHT else image

    def problem(self, stored: np.ndarray) -> str | None:
        """Why OpenCV's pixels, as they are stored, are not those of the image, if they are not."""
        if self.num_pages > 1:
            return f"holds {self.num_pages} pages; split it into files of one page first"
        if stored.ndim == 2 and self.grey_with_alpha:
            return "is a grey TIFF file with alpha; convert it to .png first"
        if stored.ndim == 2 and self.transparent_level:
            return "is a grey PNG file with a transparent level; give it an alpha channel first"
        if stored.ndim == 3 and stored.dtype == np.uint16 and self.separate_planes:
            return "has 16 bits and its channels one after the other; convert it to .png first"
        if self.premultiplied and (stored[..., -1] != np.iinfo(stored.dtype).max).any():
            return "has colours multiplied by its alpha; convert it to .png first"
        return None


def read_metadata(content: np.ndarray) -> ImageMetadata:
    """The metadata of an image file that can be decoded, given as uint8 `[bytes]`.

    Raises:
      ValueError: it is a TIFF file with damaged tags.
    """
    _, kinds, blocks = cv2.imdecodeWithMetadata(content, cv2.IMREAD_UNCHANGED)
    found = dict(zip(kinds, (block.tobytes() for block in blocks), strict=True))
    try:
        exif, _ = _tags(found.get(cv2.IMAGE_METADATA_EXIF, b""))
    except ValueError:  # the pixels can be read without it
        exif = {}
    tags, num_pages = _tags(content.tobytes())
    has_alpha = tags.get(_SAMPLES_PER_PIXEL) in (2, 4)
    extra = next(iter(np.atleast_1d(tags.get(_EXTRA_SAMPLES, 0))), 0) if has_alpha else 0
    return ImageMetadata(
        icc_profile=found.get(cv2.IMAGE_METADATA_ICCP, b"") or tags.get(_ICC_PROFILE, b""),
        orientation=exif.get(_ORIENTATION, 1),
        num_pages=num_pages,
        cmyk=tags.get(_PHOTOMETRIC) == _CMYK,
        grey_with_alpha=_png_colour_type(content) == 4 or tags.get(_SAMPLES_PER_PIXEL) == 2,
        transparent_level=_png_colour_type(content) == 0 and b"tRNS" in _png_head(content),
        white_is_zero=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
        separate_planes=tags.get(_PLANES) == _SEPARATE_PLANES,
        premultiplied=extra == _PREMULTIPLIED,
        straight_alpha=extra == _STRAIGHT,
        white_tags={tag: tags[tag] for tag in WHITE_TAGS if tag in tags},
    )


def is_damaged_png(content: bytes) -> bool:
    """Whether a needed chunk is cut off or has a wrong checksum; libpng would print about it."""
    if not content.startswith(_PNG):
        return False
    start, kind = 8, b""
    while kind != b"IEND":
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        kind, checksum = content[start + 4 : start + 8], content[end : end + 4]
        if len(checksum) < 4:
            return True
        needed = kind[:1].isupper()
        if needed and zlib.crc32(content[start + 4 : end]) != int.from_bytes(checksum, "big"):
            return True
        start = end + 4
    return False


def _tags(content: bytes) -> tuple[dict[int, Any], int]:
    """The tags of the first page of a TIFF file or an EXIF block, and the number of pages.

    No tags and one page of anything else. Raises ValueError where they are damaged.
    """
    if content[:2] not in (b"II", b"MM"):
        return {}, 1
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            first, *others = cast(Sequence[tifffile.TiffPage], file.pages)  # no other by default
            pages = [first, *(page for page in others if not page.is_reduced and not page.is_mask)]
            return {tag.code: tag.value for tag in first.tags}, len(pages)
    except (tifffile.TiffFileError, struct.error, TypeError, IndexError) as error:
        raise ValueError(f"damaged tags: {error}") from error


def _png_colour_type(content: np.ndarray) -> int | None:
    """0 for grey, 4 for grey with alpha, which OpenCV decodes as colour; None of other files."""
    return content[25] if content[:8].tobytes() == _PNG else None


def _png_head(content: np.ndarray) -> bytes:
    """A PNG file up to its pixels."""
    return content.tobytes().partition(b"IDAT")[0]
