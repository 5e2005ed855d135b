"""Pixels as the bytes of image files."""

import dataclasses
import io
import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import PIL.TiffImagePlugin
import tifffile

from nlrn_tf.imaging.kept import (
    EXIF_IFD,
    GPS_IFD,
    ORIENTATION,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    Kept,
    with_kept,
)

_WRITE_OPTIONS = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # above 100: lossless
}
_HOLD_EXIF = (".png", ".jpg", ".jpeg", ".webp")


# Types of tags, and those that a TIFF file has of its own.
_BYTE, _ASCII, _SHORT, _LONG = 1, 2, 3, 4
_OWN_TAGS = (ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
_INNER = (EXIF_IFD, GPS_IFD)
_ENTRY = 12  # bytes of a tag in a directory
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}  # of numbers in classic TIFF files


def encoded(suffix: str, image: np.ndarray, icc_profile: bytes | None, kept: Kept) -> bytes | None:
    """The bytes of an image file of BGR pixels, None if OpenCV cannot make it.

    WebP has no place for the resolution but EXIF.
    """
    height, width = image.shape[:2]
    if suffix == ".webp" and not kept.exif:
        kept = dataclasses.replace(kept, exif=kept.resolution_tags())
    blocks = {cv2.IMAGE_METADATA_ICCP: icc_profile}
    if suffix in _HOLD_EXIF:
        blocks[cv2.IMAGE_METADATA_EXIF] = kept.exif_block(width, height)
    metadata = {kind: np.frombuffer(block, np.uint8) for kind, block in blocks.items() if block}
    try:
        possible, content = cv2.imencodeWithMetadata(
            suffix, image, [*metadata], [*metadata.values()], _WRITE_OPTIONS.get(suffix, [])
        )
    except cv2.error:
        return None
    if not possible:
        return None
    return with_kept(suffix, content.tobytes(), kept, has_profile=icc_profile is not None)


def encoded_tiff(image: np.ndarray, icc_profile: bytes | None, kept: Kept) -> bytes:
    """The bytes of a TIFF file of grey or RGB pixels, with or without alpha."""
    content = io.BytesIO()
    is_grey = image.ndim == 2 or image.shape[2] == 1
    has_alpha = image.ndim == 3 and image.shape[2] == 4
    tags = kept.exif_tags(image.shape[1], image.shape[0])
    tifffile.imwrite(
        content,
        image,
        photometric="minisblack" if is_grey else "rgb",
        planarconfig=None if is_grey else "contig",
        extrasamples=["unassalpha"] if has_alpha else None,
        compression="zlib",
        iccprofile=icc_profile,
        metadata=None,
        software=False,
        resolution=kept.resolution,
        resolutionunit=None if kept.resolution is None else "INCH",
        extratags=[
            _tiff_tag(tag, value) for tag, value in tags.items() if tag not in (*_OWN_TAGS, *_INNER)
        ],
    )
    return _with_directories(content.getvalue(), tags)


def _tiff_tag(tag: int, value: Any) -> tuple:
    """A tag as tifffile takes it."""
    if isinstance(value, int):
        return tag, _SHORT, 1, value, True
    if isinstance(value, bytes):
        return tag, _BYTE, len(value), value, True
    return tag, _ASCII, 0, str(value).encode("utf-8"), True


def _with_directories(content: bytes, tags: Mapping[int, Any]) -> bytes:
    """A TIFF file with the inner directories of EXIF, which tifffile does not write.

    They are put at the end, followed by the first directory with pointers to them.

    Raises:
      ValueError: it is a BigTIFF.
    """
    pointers = [pointer for pointer in _INNER if pointer in tags]
    if not pointers:
        return content
    order = _ORDERS.get(content[:4])
    if order is None:
        raise ValueError("a TIFF file of over 4 GiB has no place for EXIF; write .png")
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    end = start + 2 + _ENTRY * count
    entries = [content[place : place + _ENTRY] for place in range(start + 2, end, _ENTRY)]
    following = content[end : end + 4]
    for pointer in pointers:
        content += b"\0" * (len(content) % 2)
        header = content[:4] + bytes(4)
        directory = PIL.TiffImagePlugin.ImageFileDirectory_v2(header, group=pointer)
        for tag, value in tags[pointer].items():
            directory[tag] = value
        entries.append(struct.pack(f"{order}HHII", pointer, _LONG, 1, len(content)))
        content += directory.tobytes(len(content))
    content += b"\0" * (len(content) % 2)
    entries.sort(key=lambda entry: struct.unpack(f"{order}H", entry[:2]))
    first = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + following
    return content[:4] + struct.pack(f"{order}I", len(content)) + content[8:] + first
