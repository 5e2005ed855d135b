"""The samples of a TIFF page of any type, as they are stored.

What is not compressed, or by zlib, is taken apart by tifffile. Of other packings libtiff (through
Pillow) only unpacks the bytes: the page is shown to it as a grey picture of them.
"""

import io
import struct

import numpy as np
import tifffile

from nlrn_tf.imaging import apart
from nlrn_tf.imaging.directories import assembled, directory_at, layout_of, value_of

_NONE, _ZLIB, _PACKBITS = 1, (8, 32946), 32773
# LZW, zlib, PackBits, LZMA, Zstandard: they pack bytes, whatever these are.
BYTE_PACKINGS = (1, 5, 8, 32946, 32773, 34925, 50000)
_DIFFERENCES, _FLOATS = 2, 3  # predictors
_SEPARATE_PLANES = 2

_WIDTH, _BITS, _PHOTOMETRIC, _SAMPLES, _ROWS = 256, 258, 262, 277, 278
_PLANES, _PREDICTOR, _TILE_WIDTH = 284, 317, 322
_PLACES = {273: 279, 324: 325}
_OF_SAMPLES = (266, 320, 338, 339)  # fill order, palette, meaning of channels, type
_SHORT, _LONG = 3, 4


def read_samples(content: bytes) -> np.ndarray:
    """The samples of the first page, which must have passed `damage_of_tiff`.

    Returns:
      `[H, W, S]` of the type in the file, not turned.

    Raises:
      ValueError: they are packed by something that is made for some kinds of pictures only, such
        as JPEG, or cannot be unpacked.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        if page.compression not in BYTE_PACKINGS:
            raise ValueError(f"packed by {packing(page)}")
        is_simple = page.compression == _NONE or page.compression in _ZLIB
        if is_simple and page.predictor in (1, _DIFFERENCES):
            samples = page.asarray()
            shape = (page.samplesperpixel, page.imagelength, page.imagewidth)
            if page.planarconfig == _SEPARATE_PLANES and page.samplesperpixel > 1:
                return np.moveaxis(samples.reshape(shape), 0, -1)
            return samples.reshape(*shape[1:], shape[0])
        return _by_libtiff(content, page)


def packing(page: tifffile.TiffPage) -> str:
    """The name of what a page is packed by."""
    return str(getattr(page.compression, "name", page.compression))


def _by_libtiff(content: bytes, page: tifffile.TiffPage) -> np.ndarray:
    is_separate = page.planarconfig == _SEPARATE_PLANES and page.samplesperpixel > 1
    channels = 1 if is_separate else page.samplesperpixel
    planes = [
        _unpredicted(apart.decoded_by_pillow(alone), page, channels)
        for alone in _pictures_of_bytes(content, page, channels)
    ]
    return np.concatenate(planes, axis=-1)


def _pictures_of_bytes(content: bytes, page: tifffile.TiffPage, channels: int) -> list[bytes]:
    """TIFF files of 8 bits and one channel: the bytes of the page, or of each of its planes."""
    file = io.BytesIO(content)
    layout = layout_of(content[:4])
    entries = directory_at(file, page.offset).entries
    values = {tag: (entry[0], value_of(file, layout, entry)) for tag, entry in entries.items()}
    for tag in (*_OF_SAMPLES, _PREDICTOR, _PLANES):
        values.pop(tag, None)
    bytes_a_column = channels * page.bitspersample // 8

    def put(tag, kind, number):
        values[tag] = (kind, struct.pack(layout.order + {_SHORT: "H", _LONG: "I"}[kind], number))

    put(_WIDTH, _LONG, _stored_columns(page) * bytes_a_column)
    for tag, number in ((_BITS, 8), (_PHOTOMETRIC, 1), (_SAMPLES, 1)):
        put(tag, _SHORT, number)
    if page.is_tiled:
        put(_TILE_WIDTH, _LONG, page.tilewidth * bytes_a_column)
    segments = [
        content[start : start + size]
        for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)
    ]
    places = next(tag for tag in _PLACES if tag in values)
    count = len(segments) * channels // page.samplesperpixel
    return [
        assembled(layout, values, (places, _PLACES[places]), segments[start : start + count])
        for start in range(0, len(segments), count)
    ]


def _stored_columns(page: tifffile.TiffPage) -> int:
    """The columns of the image, or of its tiles: those that are cut off have their bytes too."""
    if not page.is_tiled:
        return page.imagewidth
    return -(-page.imagewidth // page.tilewidth) * page.tilewidth


def _unpredicted(raw: np.ndarray, page: tifffile.TiffPage, channels: int) -> np.ndarray:
    """Rows of bytes as samples `[H, W, C]`, of which each was stored as a difference or not."""
    width = page.tilewidth if page.is_tiled else page.imagewidth
    parts = np.split(raw, _stored_columns(page) // width, axis=1)
    samples = [_part(np.ascontiguousarray(part), page, channels) for part in parts]
    return np.concatenate(samples, axis=1)[:, : page.imagewidth]


def _part(raw: np.ndarray, page: tifffile.TiffPage, channels: int) -> np.ndarray:
    """The columns of a tile, or all, from their bytes `[H, B]`."""
    size, order = page.bitspersample // 8, page.parent.byteorder
    kind = np.dtype(page.dtype)
    predictor = 1 if page.compression == _PACKBITS else page.predictor  # as libtiff has it
    if predictor == _FLOATS:
        sums = np.cumsum(raw.reshape(len(raw), -1, channels), axis=1, dtype=np.uint8)
        planes = sums.reshape(len(raw), size, -1)  # the highest bytes first
        numbers = np.ascontiguousarray(np.swapaxes(planes, 1, 2)).view(f">f{size}")
    elif predictor == _DIFFERENCES:
        stored = raw.view(f"{order}u{size}").reshape(len(raw), -1, channels)
        numbers = np.cumsum(stored, axis=1, dtype=f"u{size}").view(kind.newbyteorder("="))
    else:
        numbers = raw.view(kind.newbyteorder(order))
    return numbers.reshape(len(raw), -1, channels).astype(kind.newbyteorder("="))
