"""Sample values of images: 8 and 16 bits, and floats in [0, 1]."""

import numpy as np


def unit_range(image: np.ndarray) -> np.ndarray:
    """uint8 or uint16 to float32 in [0, 1]; a float image only becomes float32."""
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    return np.asarray(image, np.float32)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8 in 0..255, rounded and clipped; a uint8 image passes unchanged."""
    return image if image.dtype == np.uint8 else quantized(image, np.uint8)


def quantized(image: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Float in [0, 1] to uint8 or uint16 over its whole range, rounded and clipped."""
    peak = np.iinfo(dtype).max
    return np.clip(np.rint(np.asarray(image, np.float32) * peak), 0, peak).astype(dtype)
