"""TIFF files: the tags of the first page, the number of pages, and what is damaged.

Terms and numbers are those of TIFF 6.0, and of BigTIFF for files above 4 GiB.
"""

import io
import logging
import math
import zlib
from typing import Any

import tifffile

from nlrn_tf.imaging.directories import directories
from nlrn_tf.imaging.jpeg import damage_of_jpeg, size_of_jpeg

# Its warnings would add lines to our one-line errors.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_NONE, _JPEG, _ZLIB = 1, 7, (8, 32946)  # compressions
_SEPARATE_PLANES = 2
_TOO_SHORT = "pixels are missing"


def first_page(content: bytes) -> tuple[tifffile.TiffPage, dict[int, Any]]:
    """The first page and its tags by number.

    Raises:
      ValueError: the tags are damaged.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            return page, {tag.code: tag.value for tag in page.tags}
    except Exception as error:  # of many types, by what its tags hold
        raise ValueError(f"damaged tags ({type(error).__name__}: {error})") from error


def num_pages(content: bytes) -> int:
    """The number of pages, without thumbnails and masks, but with the first.

    Raises:
      ValueError: the directories form a circle, lie outside the file or are too many.
    """
    found = [directory for _, directory in directories(io.BytesIO(content))]
    return 1 + sum(directory.is_picture for directory in found[1:])


def damage_of_tiff(content: bytes) -> str | None:
    """What of the pixels of the first page is missing or was changed, as far as can be told.

    What is not compressed must be long enough; zlib and JPEG must unpack without a complaint. The
    other kinds of compression are not looked into, see `unpacks_by_libtiff`.

    Raises:
      ValueError: the tags are damaged.
    """
    page, _ = first_page(content)
    try:
        num_pages(content)
    except ValueError as error:
        return str(error)
    num_segments = math.prod(page.chunked)
    if not len(page.dataoffsets) == len(page.databytecounts) == num_segments > 0:
        return f"{len(page.dataoffsets)} of {num_segments} strips or tiles"
    places = zip(page.dataoffsets, page.databytecounts, strict=True)
    for index, (start, size) in enumerate(places):
        if size <= 0 or start <= 0 or start + size > len(content):
            return f"strip or tile {index} lies outside the file"
        problem = _damage_of_segment(page, content[start : start + size], index)
        if problem:
            return f"strip or tile {index}: {problem}"
    return None


def unpacks_by_libtiff(content: bytes) -> bool:
    """Whether the first page is packed so that only libtiff can tell what is damaged in it."""
    page, _ = first_page(content)
    return page.compression not in (_NONE, _JPEG, *_ZLIB)


def is_packed(content: bytes) -> bool:
    """Whether the pixels of the first page are compressed."""
    page, _ = first_page(content)
    return page.compression != _NONE


def _damage_of_segment(page: tifffile.TiffPage, segment: bytes, index: int) -> str | None:
    rows, most_rows, columns = _shape(page, index)
    samples = page.samplesperpixel if page.planarconfig != _SEPARATE_PLANES else 1
    row_bytes = -(-columns * samples * page.bitspersample // 8)
    if page.compression == _NONE:
        return None if len(segment) >= rows * row_bytes else _TOO_SHORT
    if page.compression == _JPEG:
        return _damage_of_jpeg_segment(page, segment, rows, columns)
    if page.compression in _ZLIB:
        return _damage_of_zlib(segment, rows * row_bytes, most_rows * row_bytes)
    return None


def _damage_of_zlib(segment: bytes, least: int, most: int) -> str | None:
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(segment, most + 1)
    except zlib.error as error:
        return str(error)
    if len(unpacked) > most:
        return "more pixels than its size"
    return None if len(unpacked) >= least and stream.eof else _TOO_SHORT


def _damage_of_jpeg_segment(
    page: tifffile.TiffPage, segment: bytes, rows: int, columns: int
) -> str | None:
    """A strip is a JPEG file whose tables may be kept for all of them at one place."""
    tables = page.jpegtables
    whole = segment if not tables else tables[:-2] + segment[2:]
    try:
        width, height = size_of_jpeg(whole)
    except ValueError as error:
        return str(error)
    return damage_of_jpeg(whole) if width >= columns and height >= rows else _TOO_SHORT


def _shape(page: tifffile.TiffPage, index: int) -> tuple[int, int, int]:
    """Rows that a strip or tile must have and may have, and columns.

    The last strip may be shorter than the others, or filled up.
    """
    if page.is_tiled:
        return page.tilelength, page.tilelength, page.tilewidth
    per_strip = min(max(page.rowsperstrip, 1), page.imagelength)
    strips = -(-page.imagelength // per_strip)  # of a plane
    rows = min(per_strip, page.imagelength - index % strips * per_strip)
    return rows, per_strip, page.imagewidth
