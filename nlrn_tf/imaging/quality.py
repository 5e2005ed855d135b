"""PSNR and SSIM, by the protocols of the published benchmarks.

`H, W` pixels. Everything is computed in float64.
"""

import cv2
import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import PEAK

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def psnr(reference: np.ndarray, image: np.ndarray, border: int = 0) -> float:
    """Peak signal-to-noise ratio, peak 255.

    Args:
      reference, image: uint8 `[H, W]`, `[H, W, 1]` or RGB `[H, W, 3]`, of one size.
      border: pixels left out at each edge (the scale in super-resolution).

    Returns:
      dB, of the error over all pixels and channels; infinity for equal images.

    Raises:
      NLRNError: other shapes or dtypes, unequal sizes, or nothing left inside the border.
    """
    reference, image = _comparable(reference, image, border)
    error = np.mean((reference - image) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(reference: np.ndarray, image: np.ndarray, border: int = 0) -> float:
    """Structural similarity (Wang et al. 2004), data range 255.

    Local moments under an 11x11 Gaussian of standard deviation 1.5, averaged over the positions
    where the window lies inside the image (after the border is cropped).

    Args:
      reference, image: uint8 `[H, W]`, `[H, W, 1]` or RGB `[H, W, 3]`, of one size.
      border: pixels left out at each edge (the scale in super-resolution).

    Returns:
      At most 1, which equal images reach; of RGB the mean over the channels.

    Raises:
      NLRNError: as for `psnr`, or fewer than 11 pixels left in a direction.
    """
    x, y = _comparable(reference, image, border)
    if min(x.shape[:2]) < SSIM_WINDOW:
        raise NLRNError(
            f"ssim: {x.shape[1]} x {x.shape[0]} pixels inside the border; "
            f"its window needs at least {SSIM_WINDOW} x {SSIM_WINDOW}"
        )
    if x.ndim == 2:
        return _plane_ssim(x, y)
    return float(np.mean([_plane_ssim(x[..., c], y[..., c]) for c in range(x.shape[2])]))


def _plane_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of float64 `[H, W]` in 0..255."""
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance_x = _local_mean(x * x) - mean_x**2
    variance_y = _local_mean(y * y) - mean_y**2
    covariance = _local_mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def _comparable(
    reference: np.ndarray, image: np.ndarray, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both images as float64 `[H, W]` or `[H, W, 3]` without their border."""
    cropped = []
    for array in (np.asarray(reference), np.asarray(image)):
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[..., 0]
        is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
        if not is_image or array.dtype != np.uint8:
            raise NLRNError(
                "metrics compare uint8 images [H, W] or RGB [H, W, 3], got "
                f"{array.dtype} {list(array.shape)}"
            )
        height, width = array.shape[:2]
        if border < 0 or 2 * border >= min(height, width):
            raise NLRNError(
                f"metrics: a border of {border} leaves nothing of {width} x {height} pixels"
            )
        inside = array[border : height - border, border : width - border]
        cropped.append(inside.astype(np.float64))
    if cropped[0].shape != cropped[1].shape:
        raise NLRNError(
            f"metrics: the images differ in size, {np.shape(reference)} and {np.shape(image)}"
        )
    return cropped[0], cropped[1]


def _local_mean(image: np.ndarray) -> np.ndarray:
    """Gaussian mean at each position where the whole window lies inside."""
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA)
    margin = SSIM_WINDOW // 2
    return cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)[margin:-margin, margin:-margin]
