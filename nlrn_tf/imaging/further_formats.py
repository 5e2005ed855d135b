"""Formats that are read, by Pillow in a process of its own, and not written.

GIF, JPEG 2000, AVIF, Targa, and HEIC with pillow-heif.
"""

import importlib.util
import struct
from collections.abc import Callable
from typing import Any

from nlrn_tf.errors import NLRNError

_JP2, _J2K = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HIGH_DEPTH = 0x40  # a bit of the third byte in the box av1C
_TARGA_KINDS, _TARGA_BITS = (1, 2, 3, 9, 10, 11), (8, 15, 16, 24, 32)
_ISPE = b"ispe\0\0\0\0"


def further_format(content: bytes) -> str | None:
    """The name of the format by the first bytes; None where it is none of them."""
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if content.startswith((_JP2, _J2K)):
        return "JPEG 2000"
    if content[4:8] == b"ftyp":
        brands = content[8 : min(int.from_bytes(content[:4], "big"), 64)]
        if any(brand in brands for brand in _AVIF_BRANDS):
            return "AVIF"
        return "HEIC" if any(brand in brands for brand in _HEIF_BRANDS) else None
    return "Targa" if _is_targa(content) else None


def size_by(name: str) -> Callable[[bytes], tuple[int, int]]:
    """What reads width and height from the header of a format; raises ValueError if damaged."""
    return {
        "GIF": lambda content: _numbers("<HH", content, 6),
        "JPEG 2000": _size_of_jpeg_2000,
        "AVIF": _size_of_boxes,
        "HEIC": _size_of_boxes,
        "Targa": lambda content: _numbers("<HH", content, 12),
    }[name]


def check_readable(name: str, content: bytes) -> None:
    """Checks that nothing of a file would be lost.

    Raises:
      NLRNError: the format needs a package that is missing, or Pillow would drop bits of it.
    """
    if name == "HEIC" and importlib.util.find_spec("pillow_heif") is None:
        raise NLRNError(
            "is a HEIC picture, which needs pillow-heif: pip install 'nlrn-tf[formats]'"
        )
    bits = 8
    if name == "JPEG 2000":
        components = _components(content)
        bits = max(components) if len(components) > 1 else 8
    elif name == "AVIF":
        place = content.find(b"av1C")
        flags = content[place + 6 : place + 7] if place >= 0 else b""
        bits = 10 if flags and flags[0] & _HIGH_DEPTH else 8
    if bits > 8:
        raise NLRNError(
            f"is a {name} picture with over 8 bits a colour, of which only 8 would be read; "
            "convert it to .png or .tif of 16 bits first"
        )


def _is_targa(content: bytes) -> bool:
    """It has no mark at its beginning: by what the header may hold."""
    if len(content) < 19 or content[2] not in _TARGA_KINDS or content[16] not in _TARGA_BITS:
        return False
    has_palette = content[2] in (1, 9)
    width, height = struct.unpack_from("<HH", content, 12)
    return content[1] == has_palette and width > 0 and height > 0 and content[17] < 64


def _size_of_jpeg_2000(content: bytes) -> tuple[int, int]:
    right, bottom, left, top = _numbers(">IIII", content, _codestream(content) + 8)
    return right - left, bottom - top


def _components(content: bytes) -> list[int]:
    """The bits of each component of a JPEG 2000 picture."""
    start = _codestream(content) + 40
    (count,) = _numbers(">H", content, start)
    return [1 + (bits & 0x7F) for bits in content[start + 2 : start + 2 + 3 * count : 3]]


def _codestream(content: bytes) -> int:
    place = content.find(_J2K)
    if place < 0:
        raise ValueError("its header is cut off")
    return place


def _size_of_boxes(content: bytes) -> tuple[int, int]:
    """The largest size in the property boxes: that of the picture, not those of its tiles."""
    sizes, place = [], content.find(_ISPE)
    while place >= 0:
        sizes.append(_numbers(">II", content, place + len(_ISPE)))
        place = content.find(_ISPE, place + 1)
    if not sizes:
        raise ValueError("its header has no size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return width, height


def _numbers(layout: str, content: bytes, start: int) -> Any:
    try:
        return struct.unpack_from(layout, content, start)
    except struct.error as error:
        raise ValueError("its header is cut off") from error
