"""Pixels as the bytes of image files."""

import io

import cv2
import numpy as np
import tifffile

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


def encoded_tiff(image: np.ndarray, icc_profile: bytes | None) -> bytes:
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
