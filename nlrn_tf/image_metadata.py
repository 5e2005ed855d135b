"""What an image file tells beside its pixels, as far as reading the pixels right needs it."""

import dataclasses
import struct

import cv2
import numpy as np

# Tags of TIFF 6.0, which EXIF uses too.
_PHOTOMETRIC, _ORIENTATION, _SAMPLES_PER_PIXEL = 262, 274, 277
_CMYK = 5

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
      cmyk: whether a TIFF file is in CMYK, which OpenCV decodes to colour with a made-up alpha.
      grey_with_alpha: whether a PNG or TIFF file is; OpenCV decodes the one as colour with alpha,
        of the other it drops the alpha.
    """

    icc_profile: bytes
    orientation: int
    cmyk: bool
    grey_with_alpha: bool

    def turn_upright(self, image: np.ndarray) -> np.ndarray:
        """Turns `[H, W, ...]` by the orientation."""
        return _UPRIGHT[self.orientation](image) if self.orientation in _UPRIGHT else image


def read_metadata(content: np.ndarray) -> ImageMetadata:
    """The metadata of an image file that can be decoded, given as uint8 `[bytes]`."""
    _, kinds, blocks = cv2.imdecodeWithMetadata(content, cv2.IMREAD_UNCHANGED)
    found = dict(zip(kinds, (block.tobytes() for block in blocks), strict=True))
    tags = _tags(content.tobytes())
    return ImageMetadata(
        icc_profile=found.get(cv2.IMAGE_METADATA_ICCP, b""),
        orientation=_tags(found.get(cv2.IMAGE_METADATA_EXIF, b"")).get(_ORIENTATION, 1),
        cmyk=tags.get(_PHOTOMETRIC) == _CMYK,
        grey_with_alpha=_is_grey_png(content) or tags.get(_SAMPLES_PER_PIXEL) == 2,
    )


def _tags(content: bytes) -> dict[int, int]:
    """The 16-bit numbers in the first directory of a TIFF file or an EXIF block, by tag."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    tags: dict[int, int] = {}
    if order is None:
        return tags
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        for k in range(count):
            entry = struct.unpack_from(f"{order}HHIH", content, start + 2 + 12 * k)
            tag, kind, length, value = entry
            if (kind, length) == (3, 1):  # one SHORT
                tags[tag] = value
    except struct.error:  # cut short: what came before holds
        return tags
    return tags


def _is_grey_png(content: np.ndarray) -> bool:
    """Whether a PNG file has grey and alpha (colour type 4), which OpenCV decodes as colour."""
    return content[:8].tobytes() == b"\x89PNG\r\n\x1a\n" and content[25] == 4
