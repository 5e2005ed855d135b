"""What of an image file is kept besides pixels and colour profile: resolution, gamma, EXIF.

Nothing here decides what pixels are. So what is damaged is left out, and told where it was asked
for.
"""

import dataclasses
import io
import math
import struct
from collections.abc import Mapping
from typing import Any

import PIL.Image

from nlrn_tf.errors import reason_of
from nlrn_tf.imaging.decoding import format_of
from nlrn_tf.imaging.directories import is_tiff
from nlrn_tf.imaging.png import SIGNATURE, sound_chunks, with_chunks
from nlrn_tf.imaging.tiff import first_page

# Tags of TIFF 6.0 and EXIF 2.32.
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
ORIENTATION, EXIF_IFD, GPS_IFD = 274, 34665, 34853
_PIXEL_X, _PIXEL_Y = 40962, 40963
_INCH, _CENTIMETRE = 2, 3
# Of the first directory: description, camera, software, time, artist, host, rating, copyright, and
# the titles and comments of Windows. The others tell how pixels are stored.
_DESCRIBING = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096))
# Notes of the maker have places in the file they were in, and previews; the other is a pointer.
_DROPPED = (37500, 40965)
_TURNED = range(5, 9)  # orientations that exchange rows and columns

_GAMMA_CHUNKS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}  # of PNG, with their lengths
_USUAL_GAMMA = struct.pack(">I", 45455)  # of sRGB, which is meant where nothing is said
_CM, _METRE = 2.54, 0.0254  # centimetres in an inch, inches for a metre
_NEAR = 0.02  # a resolution is a whole number that a rounded one is so near to
_HIGHEST = 1e6  # pixels per inch


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is kept of an image file.

    Attributes:
      resolution: pixels per inch, to the right and down; None where the file tells none.
      gamma: the chunks gAMA, cHRM and sRGB of a PNG file.
      exif: tags by number, those of the two inner directories as dictionaries; without orientation,
        thumbnails and notes of the maker.
      damage: why there is no `exif` though the file has some.
    """

    resolution: tuple[float, float] | None = None
    gamma: tuple[tuple[bytes, bytes], ...] = ()
    exif: Mapping[int, Any] = dataclasses.field(default_factory=dict)
    damage: str | None = None

    def without_exif(self) -> "Kept":
        """The same for a file that is to tell nothing of its origin."""
        return dataclasses.replace(self, exif={}, damage=None)

    def lost(self, suffix: str) -> list[str]:
        """What a file of this suffix cannot keep, in words."""
        words = [f"its EXIF, which is damaged ({self.damage})"] if self.damage else []
        if self.exif and suffix == ".bmp":
            words.append("its EXIF")
        gamma = dict(self.gamma)
        if gamma.get(b"gAMA", _USUAL_GAMMA) != _USUAL_GAMMA and suffix != ".png":
            words.append("its gamma")
        return words

    def exif_block(self, width: int, height: int) -> bytes | None:
        """EXIF of an upright image of this size, with the header of TIFF; None without tags."""
        tags = self.exif_tags(width, height)
        if not tags:
            return None
        block = PIL.Image.Exif()
        for tag, value in tags.items():
            block[tag] = value
        return block.tobytes()[6:]  # after "Exif\0\0"

    def exif_tags(self, width: int, height: int) -> dict[int, Any]:
        """The tags of `exif_block`; empty where there is no EXIF."""
        if not self.exif:
            return {}
        tags = {**self.exif, ORIENTATION: 1}
        inner = {_PIXEL_X: width, _PIXEL_Y: height}
        if EXIF_IFD in tags:
            sizes = {tag: size for tag, size in inner.items() if tag in tags[EXIF_IFD]}
            tags[EXIF_IFD] = {**tags[EXIF_IFD], **sizes}
        return tags | self.resolution_tags()

    def resolution_tags(self) -> dict[int, Any]:
        """The resolution as EXIF has it."""
        if self.resolution is None:
            return {}
        across, down = self.resolution
        return {X_RESOLUTION: across, Y_RESOLUTION: down, RESOLUTION_UNIT: _INCH}


def read_kept(content: bytes) -> Kept:
    """What is kept of an image file that has been decoded."""
    exif = PIL.Image.Exif()
    damage = None
    try:
        told = format_of(content).told(content)
        if is_tiff(content):
            exif.load_from_fp(io.BytesIO(content))
        else:
            exif.load(told.get("exif") or b"")
        tags = _cleaned(exif)
        Kept(exif=tags).exif_block(1, 1)
    except Exception as error:  # of many types, by what is damaged
        told, tags, damage = {}, {}, reason_of(error)
    resolution = _resolution(content, told, exif)
    if resolution is not None and exif.get(ORIENTATION) in _TURNED:
        resolution = resolution[::-1]
    chunks = sound_chunks(content) if content.startswith(SIGNATURE) else {}
    gamma = tuple((k, chunks[k]) for k, n in _GAMMA_CHUNKS.items() if len(chunks.get(k, b"")) == n)
    return Kept(resolution, gamma, tags, damage)


def _cleaned(exif: PIL.Image.Exif) -> dict[int, Any]:
    tags: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIBING if tag in exif}
    for pointer in (EXIF_IFD, GPS_IFD):
        inner = {tag: v for tag, v in exif.get_ifd(pointer).items() if tag not in _DROPPED}
        if inner:
            tags[pointer] = inner
    return tags


def _resolution(
    content: bytes, told: Mapping[Any, Any], exif: PIL.Image.Exif
) -> tuple[float, float] | None:
    """By the format's own words, else by EXIF."""
    found: Any = None
    try:
        if content.startswith(SIGNATURE):
            found = _of_physical_size(sound_chunks(content).get(b"pHYs", b""))
        elif content.startswith(b"BM") and content[14] >= 40:
            found = [value * _METRE for value in struct.unpack_from("<ii", content, 38)]
        elif told.get("jfif_unit") in (1, 2):
            factor = _CM if told["jfif_unit"] == 2 else 1
            found = [value * factor for value in told["jfif_density"]]
        elif is_tiff(content):
            found = _of_tags(first_page(content)[1])
        if found is None:
            found = _of_tags(exif)
        across, down = (_snapped(float(value)) for value in found or (0, 0))
    except Exception:  # of many types, by what is damaged
        return None
    return (across, down) if across and down else None


def _of_physical_size(data: bytes) -> list[float] | None:
    if len(data) != 9 or data[8] != 1:  # 1: pixels per metre; 0 is a ratio
        return None
    return [value * _METRE for value in struct.unpack(">II", data[:8])]


def _of_tags(tags: Mapping[int, Any]) -> list[float] | None:
    unit = tags.get(RESOLUTION_UNIT, _INCH)
    if unit not in (_INCH, _CENTIMETRE) or not {X_RESOLUTION, Y_RESOLUTION} <= set(tags):
        return None
    factor = _CM if unit == _CENTIMETRE else 1
    values = [tags[X_RESOLUTION], tags[Y_RESOLUTION]]
    return [(v[0] / v[1] if isinstance(v, tuple) else float(v)) * factor for v in values]


def _snapped(value: float) -> float:
    """The whole number that a value was before it was rounded in a file; 0 of nonsense."""
    if not (math.isfinite(value) and 0 < value < _HIGHEST):
        return 0.0
    return float(round(value)) if abs(value - round(value)) < _NEAR else value


def with_kept(suffix: str, content: bytes, kept: Kept, has_profile: bool) -> bytes:
    """An encoded PNG, JPEG or BMP file with resolution and gamma; other files as they are.

    Args:
      suffix: of the file, in small letters.
      content: the file.
      kept: what is put in.
      has_profile: whether it has a colour profile, which a PNG file says instead of sRGB.
    """
    if suffix == ".png":
        chunks = [(k, data) for k, data in kept.gamma if k != b"sRGB" or not has_profile]
        if kept.resolution is not None:
            per_metre = [round(value / _METRE) for value in kept.resolution]
            chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
        return with_chunks(content, chunks)
    if kept.resolution is None:
        return content
    if suffix in (".jpg", ".jpeg") and content[6:11] == b"JFIF\0":
        return content[:13] + _density(kept.resolution) + content[18:]
    if suffix == ".bmp" and content[14] >= 40:
        per_metre = [round(value / _METRE) for value in kept.resolution]
        return content[:38] + struct.pack("<ii", *per_metre) + content[46:]
    return content


def _density(resolution: tuple[float, float]) -> bytes:
    """Unit and density of JFIF, which has whole numbers per inch or per centimetre."""
    per_cm = [value / _CM for value in resolution]
    errors = [max(abs(v - round(v)) for v in values) for values in (resolution, per_cm)]
    unit, values = (2, per_cm) if errors[0] >= _NEAR and errors[1] < _NEAR else (1, resolution)
    return struct.pack(">BHH", unit, *(min(max(round(value), 1), 65535) for value in values))
