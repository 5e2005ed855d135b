"""Luma and chroma: grey, and the YCbCr of the published benchmarks.

`H, W` pixels. Everything is computed in float64.
"""

import cv2
import numpy as np

PEAK = 255.0

# ITU-R BT.601 as in MATLAB's rgb2ycbcr: R, G, B in [0, 1] -> Y in 16..235, Cb and Cr in 16..240.
TO_YCBCR = np.array(
    [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ]
)
YCBCR_OFFSET = np.array([16.0, 128.0, 128.0])
TO_RGB = np.linalg.inv(TO_YCBCR)


def rgb_to_grey(image: np.ndarray) -> np.ndarray:
    """Grey of a uint8 image by BT.601 luma, as MATLAB's `rgb2gray`; grey passes unchanged."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def rgb_to_y(image: np.ndarray) -> np.ndarray:
    """The Y channel of MATLAB's `rgb2ycbcr`.

    Args:
      image: uint8 `[H, W, 3]` in RGB order, or grey `[H, W]`, which passes unchanged.

    Returns:
      uint8 `[H, W]`, rounded; 16..235 for a colour image.
    """
    if image.ndim == 2:
        return image
    luma = image.astype(np.float64) @ (TO_YCBCR[0] / PEAK) + YCBCR_OFFSET[0]
    return np.floor(luma + 0.5).astype(np.uint8)


# What of an image may be stored for training: BT.601 luma in 0..255, or Y in 16..235.
CHANNELS = {"grey": rgb_to_grey, "y": rgb_to_y}


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """MATLAB's `rgb2ycbcr` without rounding.

    Args:
      image: `[..., 3]` in RGB order, uint8 in 0..255 or float in [0, 1].

    Returns:
      float32 `[..., 3]`: Y in [16, 235] / 255, Cb and Cr in [16, 240] / 255.
    """
    rgb = image / PEAK if image.dtype == np.uint8 else image.astype(np.float64)
    return ((rgb @ TO_YCBCR.T + YCBCR_OFFSET) / PEAK).astype(np.float32)


def ycbcr_to_rgb(image: np.ndarray) -> np.ndarray:
    """The inverse of `rgb_to_ycbcr`: float `[..., 3]` to float32 RGB in [0, 1], not clipped."""
    ycbcr = image.astype(np.float64) * PEAK - YCBCR_OFFSET
    return (ycbcr @ TO_RGB.T).astype(np.float32)
