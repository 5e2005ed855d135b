"""Pixels as the bytes of image files."""

import dataclasses
import io
import os
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
from nlrn_tf.imaging.tiff_tags import KeptTags

_MOST_OF_CLASSIC = 4_000_000_000  # bytes, with some room for tags

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


def encoded(
    suffix: str,
    image: np.ndarray,
    icc_profile: bytes | None,
    kept: Kept = Kept(),  # noqa: B008 (it cannot be changed)
) -> bytes | None:
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


def encoded_tiff(
    image: np.ndarray,
    icc_profile: bytes | None,
    groups: tuple[int, ...] = (),
    tags: KeptTags | None = None,
    kept: Kept = Kept(),  # noqa: B008 (it cannot be changed)
) -> bytes:
    """The bytes of a TIFF file of one page.

    Args:
      image: grey or RGB, with or without alpha, or the channels of `groups`; of any type.
      icc_profile: to be written.
      groups: see `photos.Photo`.
      tags: to be written besides.
      kept: resolution and EXIF, where `tags` have none.
    """
    content = io.BytesIO()
    options = _page_options(image, icc_profile, groups, tags)
    told = kept.exif_tags(image.shape[1], image.shape[0])
    named = tags.values if tags else {}
    if kept.resolution is not None and "resolution" not in options:
        options |= {"resolution": kept.resolution, "resolutionunit": "INCH"}
    options["extratags"] = options.get("extratags", []) + [
        _tiff_tag(tag, value)
        for tag, value in told.items()
        if tag not in (*_OWN_TAGS, *_INNER) and tag not in named
    ]
    with tifffile.TiffWriter(content, byteorder=tags.byteorder if tags else "<") as file:
        file.write(image, **options)
    return _with_directories(content.getvalue(), told)


class StackWriter:
    """Writes TIFF pages one after the other.

    Args:
      path: of the file, which is replaced.
      bytes_expected: of all pixels; over 4 GiB the file is a BigTIFF.
      tags: of the first page: byte order and whether pixels are compressed are those of the file.
    """

    def __init__(self, path: str | os.PathLike, bytes_expected: int, tags: KeptTags):
        is_big = bytes_expected > _MOST_OF_CLASSIC
        self._file = tifffile.TiffWriter(path, bigtiff=is_big, byteorder=tags.byteorder)
        self._is_packed = tags.is_packed

    def add(
        self,
        image: np.ndarray,
        icc_profile: bytes | None,
        groups: tuple[int, ...],
        tags: KeptTags | None,
    ) -> None:
        """Writes a page, see `encoded_tiff`."""
        options = _page_options(image, icc_profile, groups, tags)
        options["compression"] = "zlib" if self._is_packed else None
        self._file.write(image, contiguous=False, **options)

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def _page_options(
    image: np.ndarray,
    icc_profile: bytes | None,
    groups: tuple[int, ...],
    tags: KeptTags | None,
) -> dict[str, Any]:
    is_grey = image.ndim == 2 or image.shape[2] in (1, 2)
    has_alpha = image.ndim == 3 and image.shape[2] in (2, 4)
    extra = ["unassalpha"] if has_alpha else None
    if groups:
        is_grey, extra = groups[0] == 1, ["unspecified"] * (len(groups) - 1)
    return {
        "photometric": "minisblack" if is_grey else "rgb",
        "planarconfig": "contig" if image.ndim == 3 and image.shape[2] > 1 else None,
        "extrasamples": extra,
        "compression": "zlib",
        "iccprofile": icc_profile,
        "metadata": None,
        "software": False,
        **(tags.options() if tags else {}),
    }


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
