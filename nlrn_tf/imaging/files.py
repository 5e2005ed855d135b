"""Reading and writing image files.

Arrays are uint8, `[H, W]` for grey and `[H, W, 3]` in RGB order for colour. What people bring may
also have 16 bits (uint16) and alpha as a last channel: `[H, W, 2]`, `[H, W, 4]`.
"""

import os
from pathlib import Path

import cv2
import numpy as np

from nlrn_tf.errors import NLRNError, blaming, naming
from nlrn_tf.files import write_bytes
from nlrn_tf.imaging.decoding import format_of
from nlrn_tf.imaging.encoding import encoded, encoded_tiff
from nlrn_tf.imaging.frames import num_frames
from nlrn_tf.imaging.further_formats import check_readable
from nlrn_tf.imaging.kept import Kept
from nlrn_tf.imaging.limits import check_claims, check_file_size, most_bytes
from nlrn_tf.imaging.photos import Photo, photo_of
from nlrn_tf.imaging.stack import Stack, open_stack

# By default larger images are refused: what they claim to be costs memory before anything is known
# of their pixels. The largest cameras have 150 megapixels.
MAX_PIXELS = 200_000_000

# Of the formats that are written, and of those that are read: the latter by their content, whatever
# the suffix.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
READ_SUFFIXES = (
    *IMAGE_SUFFIXES,
    *(".apng", ".jpe", ".jfif", ".dib", ".btf", ".tf8", ".gif", ".avif", ".heic", ".heif"),
    *(".jp2", ".j2k", ".j2c", ".jpf", ".jpx", ".jpc", ".tga"),
)

_UNDECODABLE = "not an image that can be decoded ({}); is it complete?"
_HOLD_16_BITS = (".png", ".tif", ".tiff")
_HOLD_ALPHA = (".png", ".tif", ".tiff", ".webp")
_HOLD_PROFILE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
# The longest side, in pixels, of the formats that have a limit below OpenCV's.
_LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".png": 1_000_000}


def find_images(folder: str | os.PathLike) -> list[Path]:
    """The image files directly in `folder`, sorted by name.

    Raises:
      NLRNError: the folder does not exist or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NLRNError(f"{folder}: no such folder")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not path.name.startswith(".")
    )
    if not paths:
        raise NLRNError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return paths


def is_image(path: str | os.PathLike) -> bool:
    """Whether a file begins as one of a format that is read."""
    try:
        with open(path, "rb") as file:
            format_of(file.read(64))
    except (OSError, ValueError):
        return False
    return True


def find_image(folder: str | os.PathLike, name: str) -> Path:
    """The image file of a name without suffix, such as "BSDS500/train/100075", below `folder`.

    Raises:
      NLRNError: there is none.
    """
    stem = Path(folder) / name
    for suffix in IMAGE_SUFFIXES:
        path = stem.with_name(f"{stem.name}{suffix}")
        if path.is_file():
            return path
    raise NLRNError(f"no image {stem} (.png, .jpg, ...)")


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an 8-bit grey or colour image, turned upright by its EXIF orientation.

    Returns:
      uint8, `[H, W]` for a grey file, `[H, W, 3]` in RGB order for a colour file.

    Raises:
      NLRNError: the file is missing, not an image, damaged, of a kind that is not supported (more
        than 8 bits, an alpha channel), or claims more than `MAX_PIXELS`.
    """
    photo = read_photo(path)
    if photo.pixels.dtype != np.uint8:
        raise NLRNError(
            f"{path}: has {photo.pixels.dtype.name} samples; only 8-bit images are supported here, "
            "convert it first"
        )
    if photo.pixels.ndim == 3 and photo.pixels.shape[2] != 3:
        raise NLRNError(
            f"{path}: has an alpha channel, which is not supported here; "
            "flatten it onto a background first"
        )
    return photo.pixels


def read_photo(
    path: str | os.PathLike, max_pixels: int = MAX_PIXELS, accept_damaged: bool = False
) -> Photo:
    """Reads an image, grey or colour, with or without alpha.

    It is turned upright by its EXIF orientation. Palettes become colours, CMYK, YCbCr and L*a*b*
    RGB: CMYK by the plain formula, without its profile.

    Args:
      path: of the file.
      max_pixels: the largest number of pixels that the file may claim to have.
      accept_damaged: whether what is there of a damaged image is read too; pixels that are missing
        are black or grey.

    Raises:
      NLRNError: the file is missing, not an image, damaged, too large, of several pictures (see
        `read_pictures`), or of a kind that is not supported (see `channels.Channels.problem`).
    """
    stack = _stack(path, max_pixels, accept_damaged)
    if stack:
        raise NLRNError(f"{path}: holds {len(stack)} pages; split it into files of one page first")
    photo = _single(path, max_pixels, accept_damaged)
    if photo.groups:
        raise NLRNError(f"{path}: has {len(photo.groups)} pictures in its channels; split it first")
    return photo


def read_pictures(
    path: str | os.PathLike, max_pixels: int = MAX_PIXELS, accept_damaged: bool = False
) -> Photo | Stack:
    """As `read_photo`, and the pages of TIFF files, of which none is read as yet but for white.

    Raises:
      NLRNError: as `read_photo`.
    """
    stack = _stack(path, max_pixels, accept_damaged)
    return stack.with_white() if stack else _single(path, max_pixels, accept_damaged)


def write_image(
    path: str | os.PathLike,
    image: np.ndarray,
    icc_profile: bytes | None = None,
    kept: Kept = Kept(),  # noqa: B008 (it cannot be changed)
) -> None:
    """Writes an image atomically; the suffix chooses the format.

    JPEG is written at quality 95, WebP lossless, grey with alpha as colour with alpha. An alpha
    channel that is opaque everywhere is left out where the format has none.

    Args:
      path: of the file.
      image: uint8 or uint16; `[H, W]`, `[H, W, 1]`, RGB `[H, W, 3]`, or with alpha `[H, W, 2]`,
        `[H, W, 4]`.
      icc_profile: written where the format can hold it, which is all except .bmp. One that the
        format refuses is left out.
      kept: resolution, gamma and EXIF, written where the format has a place for them: the
        resolution in all formats, gamma in .png, EXIF in all except .bmp.

    Raises:
      NLRNError: the suffix names no format, or one that cannot hold the image, or the file
        cannot be written.
    """
    check_storable(path, image)
    suffix = Path(path).suffix.lower()
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels in (2, 4) and suffix not in _HOLD_ALPHA:
        image, channels = image[..., :-1], channels - 1
    if (channels == 1 and suffix == ".webp") or channels == 2:
        icc_profile = None  # it is one of grey, and the file will be in colour
    if channels == 2:
        image, channels = image[..., [0, 0, 0, 1]], 4
    if suffix in (".tif", ".tiff"):
        write_bytes(path, encoded_tiff(image, icc_profile, kept=kept))
        return
    if channels >= 3:
        codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
        image = cv2.cvtColor(np.ascontiguousarray(image), codes[channels])
    profile = icc_profile if suffix in _HOLD_PROFILE else None
    content = encoded(suffix, image, profile, kept)
    if content is None and profile is not None:  # libpng refuses some profiles of JPEG files
        content = encoded(suffix, image, None, kept)
    if content is None:
        with_exif = " with its EXIF" if kept.exif else ""
        raise NLRNError(
            f"{path}: a {image.shape[1]} x {image.shape[0]} image{with_exif} cannot be stored as "
            f"{suffix}; use .png"
        )
    write_bytes(path, content)


def check_storable(path: str | os.PathLike, image: np.ndarray, scale: float = 1) -> None:
    """Checks that a file of this name can hold an image, for `write_image`.

    Args:
      path: of the file.
      image: see `write_image`.
      scale: by which the image is going to be enlarged.

    Raises:
      NLRNError: the suffix names no format, or one without 16 bits or alpha where the image has
        them, or one for smaller images.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise NLRNError(
            f"{path}: '{Path(path).suffix}' is no image format; "
            f"use one of {', '.join(IMAGE_SUFFIXES)}"
        )
    if image.dtype == np.uint16 and suffix not in _HOLD_16_BITS:
        raise NLRNError(f"{path}: {suffix} cannot hold 16 bits; use {' or '.join(_HOLD_16_BITS)}")
    has_alpha = image.ndim == 3 and image.shape[2] in (2, 4)
    transparent = has_alpha and (image[..., -1] != np.iinfo(image.dtype).max).any()
    if transparent and suffix not in _HOLD_ALPHA:
        raise NLRNError(f"{path}: {suffix} cannot hold alpha; use {' or '.join(_HOLD_ALPHA)}")
    longest = round(scale * max(image.shape[:2]))
    if longest > _LONGEST_SIDE.get(suffix, longest):
        other = ".png" if longest <= _LONGEST_SIDE[".png"] else ".tif"
        raise NLRNError(
            f"{path}: {suffix} cannot hold {longest} pixels a side, only {_LONGEST_SIDE[suffix]}; "
            f"use {other}"
        )


def _stack(path: str | os.PathLike, max_pixels: int, accept_damaged: bool) -> Stack | None:
    def check_size(content: bytes) -> None:
        check_claims(content, max_pixels)

    try:
        return open_stack(path, check_size, most_bytes(max_pixels), accept_damaged)
    except OSError as error:
        raise NLRNError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # nothing is told of pages; the first may be there
        if accept_damaged:
            return None
        raise NLRNError(
            f"{path}: is damaged ({error}); accept_damaged=True restores what is there"
        ) from error


def _single(path: str | os.PathLike, max_pixels: int, accept_damaged: bool) -> Photo:
    """The photo in a file of one. Raises NLRNError."""
    with blaming(path, _UNDECODABLE):
        content = _read(path, max_pixels)
        with naming(path):
            check_readable(format_of(content).name, content)
            count = num_frames(content)
            if count > 1:
                raise NLRNError(
                    f"holds {count} pictures, as an animation does; split it into files of one"
                )
            return photo_of(content, accept_damaged)


def _read(path: str | os.PathLike, max_pixels: int) -> bytes:
    """The bytes of a file whose size, and that of the image by its header, are allowed.

    Raises:
      NLRNError: one is not.
      ValueError: the header is damaged.
      MemoryError: too little memory is free to decode it.
    """
    try:
        check_file_size(path, os.stat(path).st_size, max_pixels)
        content = Path(path).read_bytes()
    except OSError as error:
        raise NLRNError(f"{path}: cannot be read ({error.strerror or error})") from error
    with naming(path):
        check_claims(content, max_pixels)
    return content
