"""What an image file says besides its pixels, as far as it takes to read the pixels right."""

import dataclasses
from typing import Any

import numpy as np
import PIL.Image

from nlrn_tf.imaging.decoding import format_of
from nlrn_tf.imaging.directories import is_tiff
from nlrn_tf.imaging.png import GREY, GREY_WITH_ALPHA, SIGNATURE
from nlrn_tf.imaging.tiff import first_page
from nlrn_tf.imaging.white_level import WHITE_TAGS

# Tags of TIFF 6.0, which EXIF uses too, and some of their values.
_PHOTOMETRIC, _ORIENTATION, _SAMPLES_PER_PIXEL = 262, 274, 277
_EXTRA_SAMPLES, _ICC_PROFILE = 338, 34675
_WHITE_IS_ZERO, _CMYK = 0, 5
_STRAIGHT = 2

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
      orientation: of EXIF, 1 to 8; 1 of a TIFF file, which decoders turn.
      tiff_orientation: of a TIFF file; for samples that no decoder has turned.
      cmyk: whether a TIFF file is in CMYK, which OpenCV decodes to colour with a made-up alpha.
      grey_with_alpha: whether a PNG file is, which OpenCV decodes as colour with alpha.
      transparent_level: whether a grey PNG file names a level that is transparent.
      white_is_zero: whether the largest sample of a grey TIFF file is black. OpenCV turns 8 bits
        around, 16 bits not.
      straight_alpha: whether a TIFF file says of its alpha that the colours are not; OpenCV then
        multiplies those of 8 bits.
      white_tags: the tags of a TIFF file that tell the value of white, by number.
    """

    icc_profile: bytes
    orientation: int
    tiff_orientation: int
    cmyk: bool
    grey_with_alpha: bool
    transparent_level: bool
    white_is_zero: bool
    straight_alpha: bool
    white_tags: dict[int, object]

    def turn_upright(self, image: np.ndarray) -> np.ndarray:
        """Turns `[H, W, ...]` by the orientation."""
        return _UPRIGHT[self.orientation](image) if self.orientation in _UPRIGHT else image

    def turn_samples(self, image: np.ndarray) -> np.ndarray:
        """Turns `[H, W, ...]` of a TIFF file that no decoder has turned."""
        turn = _UPRIGHT.get(self.tiff_orientation)
        return turn(image) if turn else image


def read_metadata(content: bytes) -> ImageMetadata:
    """The metadata of an image file that can be decoded.

    Raises:
      ValueError: its header or the tags of a TIFF file are damaged.
    """
    tags: dict[int, Any] = {}
    if is_tiff(content):
        _, tags = first_page(content)
    told = format_of(content).told(content)
    has_alpha = tags.get(_SAMPLES_PER_PIXEL) in (2, 4)
    extra = next(iter(np.atleast_1d(tags.get(_EXTRA_SAMPLES, 0))), 0) if has_alpha else 0
    icc_profile = told.get("icc_profile") or tags.get(_ICC_PROFILE)
    return ImageMetadata(
        icc_profile=icc_profile if isinstance(icc_profile, bytes) else b"",
        orientation=_orientation(told.get("exif")),
        tiff_orientation=_whole(tags.get(_ORIENTATION)),
        cmyk=tags.get(_PHOTOMETRIC) == _CMYK,
        grey_with_alpha=_png_colour_type(content) == GREY_WITH_ALPHA,
        transparent_level=_png_colour_type(content) == GREY and b"tRNS" in _png_head(content),
        white_is_zero=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
        straight_alpha=extra == _STRAIGHT,
        white_tags={tag: tags[tag] for tag in WHITE_TAGS if tag in tags},
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 1


def _orientation(exif: Any) -> int:
    """Of an EXIF block, of which only the first directory is read; 1 where it is damaged."""
    block = PIL.Image.Exif()
    try:
        block.load(exif)
        orientation = block.get(_ORIENTATION, 1)
    except Exception:  # of many types; the pixels can be read without it
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _png_colour_type(content: bytes) -> int | None:
    """0 for grey, 4 for grey with alpha, which OpenCV decodes as colour; None of other files."""
    return content[25] if content.startswith(SIGNATURE) else None


def _png_head(content: bytes) -> bytes:
    """A PNG file up to its pixels."""
    return content.partition(b"IDAT")[0]
