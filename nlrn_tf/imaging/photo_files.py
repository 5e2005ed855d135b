"""Photos to files: those of ordinary pixels in any format, all others as TIFF."""

import os
from pathlib import Path

import numpy as np
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_bytes
from nlrn_tf.imaging.channels import channels_of
from nlrn_tf.imaging.directories import is_tiff
from nlrn_tf.imaging.encoding import encoded_tiff
from nlrn_tf.imaging.files import check_storable, write_image
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.imaging.stack import open_stack

TIFF_SUFFIXES = (".tif", ".tiff")


def write_photo(path: str | os.PathLike, photo: Photo) -> None:
    """Writes a photo atomically; the suffix chooses the format, see `files.write_image`.

    Raises:
      NLRNError: the format cannot hold it, or the file cannot be written.
    """
    check_photo(path, photo)
    if Path(path).suffix.lower() in TIFF_SUFFIXES and (photo.tags or _special(photo)):
        content = encoded_tiff(
            photo.pixels, photo.icc_profile, photo.groups, photo.tags, photo.kept
        )
        write_bytes(path, content)
    else:
        write_image(path, photo.pixels, photo.icc_profile, photo.kept)


def check_photo(path: str | os.PathLike, photo: Photo, scale: float = 1) -> None:
    """Checks that a file of this name can hold a photo, as `files.check_storable`.

    Raises:
      NLRNError: it cannot.
    """
    suffix, special = Path(path).suffix.lower(), _special(photo)
    if not special or suffix not in TIFF_SUFFIXES:
        check_storable(path, photo.pixels, scale)
    if special and suffix not in TIFF_SUFFIXES:
        raise NLRNError(f"{path}: {suffix} cannot hold {special}; use .tif")


def suffix_of_result(source: str | os.PathLike, suffix: str) -> str:
    """The suffix for what is made of a file: .tif where only TIFF can hold it.

    Args:
      source: of the file.
      suffix: for all others.
    """
    return ".tif" if suffix.lower() not in TIFF_SUFFIXES and _needs_tiff(source) else suffix


def num_pictures(path: str | os.PathLike) -> int:
    """The number of pages of a TIFF file; 1 of all others, and where its tags are damaged."""
    try:
        stack = open_stack(path, lambda _: None, 0)
    except Exception:  # of many types; reading the file then says what is wrong
        return 1
    return len(stack) if stack else 1


def _special(photo: Photo) -> str | None:
    """What of a photo only TIFF files can hold."""
    if photo.groups:
        return f"{len(photo.groups)} pictures"
    if photo.pixels.dtype not in (np.uint8, np.uint16):
        return f"{photo.pixels.dtype.name} samples"
    return None


def _needs_tiff(path: str | os.PathLike) -> bool:
    """By the header; what is damaged in it is told when the file is read."""
    try:
        with open(path, "rb") as file:
            if not is_tiff(file.read(4)):
                return False
        if num_pictures(path) > 1:
            return True
        with tifffile.TiffFile(path, _multifile=False) as file:
            page = file.pages.first
            channels = channels_of(b"", page, {tag.code: tag.value for tag in page.tags})
            is_plain = np.dtype(page.dtype) in (np.uint8, np.uint16, np.bool_)
            return bool(channels.groups) or (channels.by_samples and not is_plain)
    except Exception:  # of many types, by where the damage is
        return False
