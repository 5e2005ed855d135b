"""Denoisers of other packages, on the images that our network gets.

A `Denoise` takes float32 `[H, W]` in [0, 1], plus noise that leaves this range, and returns the
same. Noise levels are in grey levels of 0..255.
"""

import importlib.util
from collections.abc import Callable

import cv2
import numpy as np

from nlrn_tf.imaging.samples import to_uint8

Denoise = Callable[[np.ndarray], np.ndarray]

# Of OpenCV's `h` to sigma: it documents no rule, and the best one falls as the noise grows.
OPENCV_STRENGTHS = (0.7, 0.8, 0.9, 1.0, 1.1)


def as_model(denoise: Denoise) -> Callable[[np.ndarray], np.ndarray]:
    """As `nlrn_tf.evaluation.evaluate` takes a model: float32 `[B, H, W, 1]` to the same."""
    return lambda images: np.stack([denoise(image[..., 0]) for image in images])[..., None]


def opencv_means(sigma: float, strength: float) -> Denoise:
    """OpenCV's non-local means with its recommended windows, patches of 7 in 21 pixels.

    It takes 8 bits (16 only with another norm), so the noisy image is rounded and clipped.

    Args:
      sigma: of the noise.
      strength: `h`, in sigmas.
    """
    return lambda image: (
        cv2.fastNlMeansDenoising(
            to_uint8(image), None, strength * sigma, templateWindowSize=7, searchWindowSize=21
        )
        / np.float32(255)
    )


def skimage_means(sigma: float) -> Denoise:
    """scikit-image's fast non-local means, `h` of 0.8 sigmas as it recommends for a known sigma."""
    from skimage.restoration import denoise_nl_means

    level = sigma / 255
    return lambda image: denoise_nl_means(image, h=0.8 * level, sigma=level, fast_mode=True)


def skimage_wavelets(sigma: float) -> Denoise:
    """scikit-image's wavelets with the thresholds of BayesShrink."""
    from skimage.restoration import denoise_wavelet

    return lambda image: denoise_wavelet(image, sigma=sigma / 255, method="BayesShrink")


def bm3d(sigma: float) -> Denoise:
    """BM3D by its authors' package (for non-commercial use). Raises ImportError without it."""
    import bm3d

    return lambda image: bm3d.bm3d(image, sigma / 255)


def has_bm3d() -> bool:
    """Whether the package `bm3d` is installed."""
    return importlib.util.find_spec("bm3d") is not None
