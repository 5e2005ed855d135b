"""Reading and writing image files.

Arrays are uint8, `[H, W]` for grey and `[H, W, 3]` in RGB order for colour. What people bring may
also have 16 bits (uint16) and alpha as a last channel: `[H, W, 2]`, `[H, W, 4]`.
"""

import dataclasses
import io
import os
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_bytes
from nlrn_tf.imaging.metadata import ImageMetadata, is_damaged_png, read_metadata
from nlrn_tf.imaging.white_level import WhiteLevel, white_level

# Its warnings would add lines to our one-line errors.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_WRITE_OPTIONS = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # above 100: lossless
}
_UNDECODABLE = "not an image that can be decoded; is it complete?"
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
    """

    pixels: np.ndarray
    icc_profile: bytes | None = None
    white: WhiteLevel | None = None


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
      NLRNError: the file is missing, not an image, damaged, or of a kind that is not
        supported (more than 8 bits, an alpha channel).
    """
    content, stored = _read(path)
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
    return _upright(content, stored)


def read_photo(path: str | os.PathLike) -> Photo:
    """Reads an image of 8 or 16 bits, grey or colour, with or without alpha.

    It is turned upright by its EXIF orientation. Palettes become colours. CMYK becomes RGB by the
    plain formula, without its profile. Metadata other than the colour profile are not read.

    Raises:
      NLRNError: the file is missing, not an image, damaged, or of a kind that is not
        supported (floating point, several pages, some kinds of TIFF files, see
        `ImageMetadata.problem`).
    """
    content, stored = _read(path)
    if stored.dtype not in (np.uint8, np.uint16):
        raise NLRNError(
            f"{path}: has {stored.dtype.name} samples; 8 and 16 bits are supported, "
            "convert it first"
        )
    try:
        metadata = read_metadata(content)
        problem = metadata.problem(stored)
        if problem:
            raise NLRNError(f"{path}: {problem}")
        if stored.ndim == 2 or stored.shape[2] == 3:
            pixels = _upright(content, stored)
        else:
            pixels = _upright_with_alpha(content, stored, metadata)
    except (OSError, TypeError, ValueError) as error:  # of Pillow and tifffile, of damaged files
        raise NLRNError(f"{path}: {_UNDECODABLE}") from error
    if metadata.white_is_zero and pixels.dtype == np.uint16:
        pixels = 65535 - pixels
    space = b"GRAY" if pixels.ndim == 2 or pixels.shape[2] == 2 else b"RGB "
    fits = metadata.icc_profile[16:20] == space
    white = white_level(pixels, metadata.white_tags) if pixels.dtype == np.uint16 else None
    return Photo(np.ascontiguousarray(pixels), metadata.icc_profile if fits else None, white)


def write_image(
    path: str | os.PathLike, image: np.ndarray, icc_profile: bytes | None = None
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
        write_bytes(path, _encode_tiff(image, icc_profile))
        return
    if channels >= 3:
        codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
        image = cv2.cvtColor(np.ascontiguousarray(image), codes[channels])
    profile = icc_profile if suffix in _HOLD_PROFILE else None
    content = _encode(suffix, image, profile)
    if content is None and profile is not None:  # libpng refuses some profiles of JPEG files
        content = _encode(suffix, image, None)
    if content is None:
        raise NLRNError(
            f"{path}: a {image.shape[1]} x {image.shape[0]} image cannot be stored as "
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


def _read(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a file, and its pixels as they are stored: not turned, BGR."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise NLRNError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        if is_damaged_png(content.tobytes()):
            raise ValueError("damaged PNG")
        return content, _decode(content, cv2.IMREAD_UNCHANGED)
    except ValueError as error:
        raise NLRNError(f"{path}: {_UNDECODABLE}") from error


def _encode(suffix: str, image: np.ndarray, icc_profile: bytes | None) -> bytes | None:
    """The bytes of an image file of BGR pixels, None if OpenCV cannot make it."""
    metadata = {}
    if icc_profile is not None:
        metadata[cv2.IMAGE_METADATA_ICCP] = np.frombuffer(icc_profile, np.uint8)
    try:
        encoded, content = cv2.imencodeWithMetadata(
            suffix, image, [*metadata], [*metadata.values()], _WRITE_OPTIONS.get(suffix, [])
        )
    except cv2.error:
        return None
    return content.tobytes() if encoded else None


def _encode_tiff(image: np.ndarray, icc_profile: bytes | None) -> bytes:
    """The bytes of a TIFF file of grey or RGB pixels, with or without alpha."""
    content = io.BytesIO()
    is_grey = image.ndim == 2 or image.shape[2] == 1
    has_alpha = image.ndim == 3 and image.shape[2] == 4
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
    )
    return content.getvalue()


def _upright(content: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Decodes grey or colour without alpha again, which OpenCV then turns upright."""
    depth = 0 if stored.dtype == np.uint8 else cv2.IMREAD_ANYDEPTH
    if stored.ndim == 2:
        return _decode(content, cv2.IMREAD_GRAYSCALE | depth)
    return cv2.cvtColor(_decode(content, cv2.IMREAD_COLOR | depth), cv2.COLOR_BGR2RGB)


def _upright_with_alpha(
    content: np.ndarray, stored: np.ndarray, metadata: ImageMetadata
) -> np.ndarray:
    """The same for BGRA, which OpenCV does not turn; without an alpha that the file has not."""
    if metadata.cmyk:
        return cv2.cvtColor(stored, cv2.COLOR_BGRA2RGB)
    if metadata.straight_alpha and stored.dtype == np.uint8:
        image = PIL.Image.open(io.BytesIO(content.tobytes()))
        return np.asarray(PIL.ImageOps.exif_transpose(image))
    pixels = metadata.turn_upright(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA))
    return pixels[..., [0, 3]] if metadata.grey_with_alpha else pixels


def _decode(content: np.ndarray, mode: int) -> np.ndarray:
    """The pixels of an image file. Raises ValueError where OpenCV cannot decode it."""
    try:
        pixels = cv2.imdecode(content, mode) if content.size else None
    except cv2.error as error:  # its limits on header sizes raise instead of returning None
        raise ValueError(str(error)) from error
    if pixels is None:
        raise ValueError("not an image that OpenCV knows")
    return pixels
