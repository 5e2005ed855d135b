"""The tags of a TIFF page that a restored copy keeps: resolution, names, and descriptions.

The descriptions of ImageJ, OME and tifffile name the axes of a stack. Where it is enlarged, what
they say of pixels is brought up to date.
"""

import dataclasses
import io
import json
import re
import struct
from typing import Any, Literal

from nlrn_tf.imaging.directories import directory_at, layout_of, value_of
from nlrn_tf.imaging.tiff import first_page

_DESCRIPTION, _RESOLUTIONS = 270, (282, 283)
# Document, description, resolution and its unit, names and numbers of pages; ImageJ's own.
_KEPT = (269, 270, 282, 283, 285, 296, 297, 50838, 50839)
_IMAGEJ = (50838, 50839)  # they hold regions of interest, by pixels
_UNIT = 296
_SHORT, _RATIONAL, _ASCII = 3, 5, 2
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # bytes of a number of the other kinds that are met
_SIDES = re.compile(rb'\b(Size[XY])="(\d+)"')
_PIXEL_SIDES = re.compile(rb'\b(PhysicalSize[XY])="([0-9.eE+-]+)"')


@dataclasses.dataclass(frozen=True)
class KeptTags:
    """Tags as they are stored.

    Attributes:
      byteorder: "<" or ">", of the values.
      values: kind and value by tag.
      is_packed: whether the pixels were compressed.
      page_axes: of the page, 2 or 3 with channels.
    """

    byteorder: Literal["<", ">"]
    values: dict[int, tuple[int, bytes]]
    is_packed: bool
    page_axes: int

    @property
    def names_axes(self) -> bool:
        """Whether the description is that of a program for science, which others rely on."""
        text = self.values.get(_DESCRIPTION, (0, b""))[1]
        return text.startswith((b"ImageJ=", b'{"shape"')) or b"<OME" in text[:4096]

    def without_description(self) -> "KeptTags":
        """What pages have that are not described by themselves."""
        kept = {tag: self.values[tag] for tag in self.values if tag not in (_DESCRIPTION, *_IMAGEJ)}
        return dataclasses.replace(self, values=kept)

    def of_result(self, scale: float, shape: tuple[int, ...]) -> "KeptTags":
        """For a page that becomes `shape`, `scale` times as large."""
        values = dict(self.values)
        if scale != 1:
            for tag in _IMAGEJ:
                values.pop(tag, None)
            for tag in _RESOLUTIONS:
                if tag in values:
                    values[tag] = (_RATIONAL, _multiplied(values[tag][1], self.byteorder, scale))
        if _DESCRIPTION in values:
            text = values.pop(_DESCRIPTION)[1].rstrip(b"\0")
            if text.startswith(b'{"shape"'):
                text = _shaped(text, self.page_axes, shape)
            elif scale != 1:
                text = _of_ome(text, scale, shape)
            if text:
                values[_DESCRIPTION] = (_ASCII, text)
        return dataclasses.replace(self, values=values)

    def options(self) -> dict[str, Any]:
        """As `tifffile.TiffWriter.write` takes them."""
        layout = self.byteorder
        resolutions = [self.values[tag][1] for tag in _RESOLUTIONS if tag in self.values]
        options: dict[str, Any] = {}
        if len(resolutions) == 2 and all(len(each) == 8 for each in resolutions):
            options["resolution"] = [struct.unpack(f"{layout}II", each) for each in resolutions]
            unit = self.values.get(_UNIT, (_SHORT, b""))[1]
            options["resolutionunit"] = struct.unpack(f"{layout}H", unit)[0] if unit else 2
        if _DESCRIPTION in self.values:
            options["description"] = self.values[_DESCRIPTION][1]
        options["extratags"] = [
            (tag, kind, len(value) // _SIZES[kind], value, False)
            for tag, (kind, value) in self.values.items()
            if tag not in (_DESCRIPTION, *_RESOLUTIONS, _UNIT) and kind in _SIZES
        ]
        return options


def kept_tags(content: bytes) -> KeptTags:
    """Those of the first page. Raises ValueError where they are damaged."""
    page, _ = first_page(content)
    file, layout = io.BytesIO(content), layout_of(content[:4])
    entries = directory_at(file, page.offset).entries
    values = {
        tag: (entries[tag][0], value_of(file, layout, entries[tag]))
        for tag in _KEPT
        if tag in entries
    }
    axes = 3 if page.samplesperpixel > 1 else 2
    order: Literal["<", ">"] = "<" if layout.order == "<" else ">"
    return KeptTags(order, values, page.compression != 1, axes)


def _multiplied(rational: bytes, byteorder: str, scale: float) -> bytes:
    order = {"<": "little", ">": "big"}[byteorder]
    number = int.from_bytes(rational[:4], order)  # type: ignore[arg-type]
    divisor = int.from_bytes(rational[4:8], order)  # type: ignore[arg-type]
    parts = 1 << 16
    while number * scale * parts >= 1 << 32 or divisor * parts >= 1 << 32:
        parts >>= 1
    parts = max(parts, 1)
    numbers = min(round(number * scale * parts), 2**32 - 1), min(divisor * parts, 2**32 - 1)
    return b"".join(each.to_bytes(4, order) for each in numbers)  # type: ignore[arg-type]


def _shaped(text: bytes, page_axes: int, shape: tuple[int, ...]) -> bytes:
    """The description of tifffile for pages of another shape; empty where it makes no sense."""
    try:
        told = json.loads(text)
        if len(told["shape"]) < page_axes:
            return b""
        told.pop("truncated", None)  # every page has its directory now
        told["shape"] = [*told["shape"][:-page_axes], *shape]
        if isinstance(told.get("axes"), str):
            told["axes"] = told["axes"][:-page_axes] + "YXS"[: len(shape)]
    except (ValueError, TypeError, KeyError, AttributeError):
        return b""
    return json.dumps(told).encode()


def _of_ome(text: bytes, scale: float, shape: tuple[int, ...]) -> bytes:
    sides = {b"SizeX": shape[1], b"SizeY": shape[0]}
    text = _SIDES.sub(lambda found: b'%s="%d"' % (found[1], sides[found[1]]), text)
    return _PIXEL_SIDES.sub(
        lambda found: b'%s="%s"' % (found[1], repr(float(found[2]) / scale).encode()), text
    )
