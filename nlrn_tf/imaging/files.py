"""Reading and writing image files.

Arrays are uint8, `[H, W]` for grey and `[H, W, 3]` in RGB order for colour. What people bring may
also have 16 bits (uint16) and alpha as a last channel: `[H, W, 2]`, `[H, W, 4]`.
"""

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np

from nlrn_tf import machine
from nlrn_tf.errors import NLRNError, blaming
from nlrn_tf.files import write_bytes
from nlrn_tf.imaging.decoding import decode, decode_by_pillow, decode_damaged, format_of
from nlrn_tf.imaging.encoding import encoded, encoded_tiff
from nlrn_tf.imaging.kept import Kept, read_kept
from nlrn_tf.imaging.metadata import ImageMetadata, read_metadata
from nlrn_tf.imaging.white_level import WhiteLevel, white_level

# By default larger images are refused: what they claim to be costs memory before anything is known
# of their pixels. The largest cameras have 150 megapixels.
MAX_PIXELS = 200_000_000

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_UNDECODABLE = "not an image that can be decoded ({}); is it complete?"
# Measured, of 8 bits; 17 of WebP, 22 of 16 bits.
_BYTES_TO_DECODE = 9
# Of larger files nothing is read: 16 bytes are more than a pixel takes, tags may take some MiB.
_BYTES_A_PIXEL, _BYTES_OF_TAGS = 16, 64 << 20
_HOLD_16_BITS = (".png", ".tif", ".tiff")
_HOLD_ALPHA = (".png", ".tif", ".tiff", ".webp")
_HOLD_PROFILE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
# The longest side, in pixels, of the formats that have a limit below OpenCV's.
_LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}


@dataclasses.dataclass(frozen=True)
class Photo:
    """An image file as it was brought.

    Attributes:
      pixels: uint8 or uint16, `[H, W]` or RGB `[H, W, 3]`, with alpha `[H, W, 2]` or `[H, W, 4]`.
      icc_profile: its colour profile where it has one that fits the pixels.
      white: of 16 bits the value of white, which is lower where a camera of fewer bits wrote it;
        None of 8 bits.
      damage: what is wrong with the file; None of a sound one.
      kept: its resolution, gamma and EXIF.
    """

    pixels: np.ndarray
    icc_profile: bytes | None = None
    white: WhiteLevel | None = None
    damage: str | None = None
    kept: Kept = dataclasses.field(default_factory=Kept)


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
    with blaming(path, _UNDECODABLE):
        content = _read(path, MAX_PIXELS)
        damage = format_of(content).damage(content)
        if damage:
            raise ValueError(damage)
        stored = decode(content)
        if stored.dtype != np.uint8:
            raise NLRNError(
                f"{path}: has {stored.dtype.name} samples; only 8-bit images are supported here, "
                "convert it first"
            )
        if stored.ndim == 3 and stored.shape[2] != 3:
            raise NLRNError(
                f"{path}: has an alpha channel, which is not supported here; "
                "flatten it onto a background first"
            )
        return np.ascontiguousarray(_upright(content, stored, read_metadata(content)))


def read_photo(
    path: str | os.PathLike, max_pixels: int = MAX_PIXELS, accept_damaged: bool = False
) -> Photo:
    """Reads an image of 8 or 16 bits, grey or colour, with or without alpha.

    It is turned upright by its EXIF orientation. Palettes become colours. CMYK becomes RGB by the
    plain formula, without its profile.

    Args:
      path: of the file.
      max_pixels: the largest number of pixels that the file may claim to have.
      accept_damaged: whether what is there of a damaged image is read too; pixels that are missing
        are black or grey.

    Raises:
      NLRNError: the file is missing, not an image, damaged, or of a kind that is not
        supported (floating point, several pages, some kinds of TIFF files, see
        `ImageMetadata.problem`); or it is too large.
    """
    with blaming(path, _UNDECODABLE):
        content = _read(path, max_pixels)
        damage = format_of(content).damage(content)
        if damage and not accept_damaged:
            raise NLRNError(
                f"{path}: is damaged ({damage}); accept_damaged=True restores what is there"
            )
        stored = decode_damaged(content) if damage else decode(content)
        if stored.dtype not in (np.uint8, np.uint16):
            raise NLRNError(
                f"{path}: has {stored.dtype.name} samples; 8 and 16 bits are supported, "
                "convert it first"
            )
        metadata = read_metadata(content)
        problem = metadata.problem(stored)
        if problem:
            raise NLRNError(f"{path}: {problem}")
        pixels = _upright(content, stored, metadata)
    if metadata.white_is_zero and pixels.dtype == np.uint16:
        pixels = 65535 - pixels
    space = b"GRAY" if pixels.ndim == 2 or pixels.shape[2] == 2 else b"RGB "
    fits = metadata.icc_profile[16:20] == space
    white = white_level(pixels, metadata.white_tags) if pixels.dtype == np.uint16 else None
    profile = metadata.icc_profile if fits else None
    return Photo(np.ascontiguousarray(pixels), profile, white, damage, read_kept(content))


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
        write_bytes(path, encoded_tiff(image, icc_profile, kept))
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
        raise NLRNError(
            f"{path}: {suffix} cannot hold {longest} pixels a side, only {_LONGEST_SIDE[suffix]}; "
            "use .png"
        )


def _read(path: str | os.PathLike, max_pixels: int) -> bytes:
    """The bytes of a file whose size, and that of the image by its header, are allowed.

    Raises:
      NLRNError: one is not.
      ValueError: the header is damaged.
      MemoryError: too little memory is free to decode it.
    """
    try:
        size = os.stat(path).st_size
        content = Path(path).read_bytes() if size <= _most_bytes(max_pixels) else b""
    except OSError as error:
        raise NLRNError(f"{path}: cannot be read ({error.strerror or error})") from error
    if size > _most_bytes(max_pixels):
        raise NLRNError(f"{path}: {size} bytes are too many for max_pixels={max_pixels}")
    width, height = format_of(content).size(content)
    if width < 1 or height < 1:
        raise ValueError(f"it claims {width} x {height} pixels")
    if width * height > max_pixels:
        raise NLRNError(
            f"{path}: claims {width} x {height} pixels, more than max_pixels={max_pixels}; "
            "raise that if the image is as large, or restore it in parts"
        )
    free = machine.available_memory()
    if free is not None and width * height * _BYTES_TO_DECODE > free:
        raise MemoryError
    return content


def _most_bytes(max_pixels: int) -> int:
    return _BYTES_A_PIXEL * max_pixels + _BYTES_OF_TAGS


def _upright(content: bytes, stored: np.ndarray, metadata: ImageMetadata) -> np.ndarray:
    """Pixels in the order of RGB, turned, and without an alpha that the file has not."""
    if stored.ndim == 2:
        return metadata.turn_upright(stored)
    if stored.shape[2] == 3:
        return metadata.turn_upright(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB))
    if metadata.cmyk:
        return cv2.cvtColor(stored, cv2.COLOR_BGRA2RGB)
    if metadata.straight_alpha and stored.dtype == np.uint8:
        return decode_by_pillow(content)
    pixels = metadata.turn_upright(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA))
    return pixels[..., [0, 3]] if metadata.grey_with_alpha else pixels
