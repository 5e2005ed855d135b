"""Pixels as the bytes of image files."""

import io
import os
from typing import Any

import cv2
import numpy as np
import tifffile

from nlrn_tf.imaging.tiff_tags import KeptTags

_MOST_OF_CLASSIC = 4_000_000_000  # bytes, with some room for tags

_WRITE_OPTIONS = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # above 100: lossless
}


def encoded(suffix: str, image: np.ndarray, icc_profile: bytes | None) -> bytes | None:
    """The bytes of an image file of BGR pixels, None if OpenCV cannot make it."""
    metadata = {}
    if icc_profile is not None:
        metadata[cv2.IMAGE_METADATA_ICCP] = np.frombuffer(icc_profile, np.uint8)
    try:
        possible, content = cv2.imencodeWithMetadata(
            suffix, image, [*metadata], [*metadata.values()], _WRITE_OPTIONS.get(suffix, [])
        )
    except cv2.error:
        return None
    return content.tobytes() if possible else None


def encoded_tiff(
    image: np.ndarray,
    icc_profile: bytes | None,
    groups: tuple[int, ...] = (),
    tags: KeptTags | None = None,
) -> bytes:
    """The bytes of a TIFF file of one page.

    Args:
      image: grey or RGB, with or without alpha, or the channels of `groups`; of any type.
      icc_profile: to be written.
      groups: see `photos.Photo`.
      tags: to be written besides.
    """
    content = io.BytesIO()
    with tifffile.TiffWriter(content, byteorder=tags.byteorder if tags else None) as file:
        file.write(image, **_page_options(image, icc_profile, groups, tags))
    return content.getvalue()


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
