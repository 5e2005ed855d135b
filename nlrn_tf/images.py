"""Reading and writing image files.

Arrays are uint8, `[H, W]` for grey and `[H, W, 3]` in RGB order for colour.
"""

import os
import zlib
from pathlib import Path

import cv2
import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_bytes

# Its warnings would add lines to our one-line errors.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_WRITE_OPTIONS = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # above 100: lossless
}


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


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an 8-bit grey or colour image, turned upright by its EXIF orientation.

    Returns:
      uint8, `[H, W]` for a grey file, `[H, W, 3]` in RGB order for a colour file.

    Raises:
      NLRNError: the file is missing, not an image, damaged, or of a kind that is not
        supported (more than 8 bits, an alpha channel).
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise NLRNError(f"{path}: cannot be read ({error.strerror or error})") from error
    damaged = _is_damaged_png(content.tobytes())
    stored = None if damaged else _decode(content, cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise NLRNError(f"{path}: not an image that can be decoded; is it complete?")
    if stored.dtype != np.uint8:
        raise NLRNError(
            f"{path}: has {stored.dtype.name} samples; only 8-bit images are supported, "
            "convert it first"
        )
    if stored.ndim == 2:
        return _decode(content, cv2.IMREAD_GRAYSCALE)  # again: this one turns it upright
    if stored.shape[2] == 3:
        return cv2.cvtColor(_decode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    raise NLRNError(
        f"{path}: has an alpha channel, which is not supported; flatten it onto a background first"
    )


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes a uint8 image (`[H, W]`, `[H, W, 1]` or RGB `[H, W, 3]`) atomically.

    The suffix chooses the format; JPEG is written at quality 95, WebP lossless.

    Raises:
      NLRNError: the suffix names no format, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise NLRNError(
            f"{path}: '{path.suffix}' is no image format; use one of {', '.join(IMAGE_SUFFIXES)}"
        )
    if image.ndim == 3 and image.shape[2] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    suffix = path.suffix.lower()
    try:
        _, content = cv2.imencode(suffix, image, _WRITE_OPTIONS.get(suffix, []))
    except cv2.error as error:
        raise NLRNError(
            f"{path}: a {image.shape[1]} x {image.shape[0]} image cannot be stored as "
            f"{path.suffix}; use .png"
        ) from error
    write_bytes(path, content.tobytes())


def rgb_to_grey(image: np.ndarray) -> np.ndarray:
    """Grey of a uint8 image by BT.601 luma, as MATLAB's `rgb2gray`; grey passes unchanged."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def unit_range(image: np.ndarray) -> np.ndarray:
    """uint8 in 0..255 to float32 in [0, 1]; a float image only becomes float32."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    return np.asarray(image, np.float32)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8 in 0..255, rounded and clipped; a uint8 image passes unchanged."""
    if image.dtype == np.uint8:
        return image
    return np.clip(np.rint(np.asarray(image, np.float32) * 255), 0, 255).astype(np.uint8)


def _decode(content: np.ndarray, mode: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(content, mode) if content.size else None
    except cv2.error:  # OpenCV's limits on header sizes raise instead of returning None
        return None


def _is_damaged_png(content: bytes) -> bool:
    """Whether a needed chunk is cut off or has a wrong checksum; libpng would print about it."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return False
    start, kind = 8, b""
    while kind != b"IEND":
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        kind, checksum = content[start + 4 : start + 8], content[end : end + 4]
        if len(checksum) < 4:
            return True
        needed = kind[:1].isupper()
        if needed and zlib.crc32(content[start + 4 : end]) != int.from_bytes(checksum, "big"):
            return True
        start = end + 4
    return False
