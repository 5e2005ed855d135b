"""The noise level of an image, and the packaged denoiser for it."""

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.samples import unit_range
from nlrn_tf.weights.manifest import manifest


def denoiser_levels() -> dict[str, float]:
    """The noise levels of the packaged denoisers by name, in grey levels of 0..255."""
    configs = {name: entry["config"] for name, entry in manifest().items()}
    return {
        name: config["noise_sigma"] for name, config in configs.items() if config["noise_sigma"]
    }


def nearest_denoiser(noise_sigma: float) -> tuple[str, float]:
    """Name and noise level of the packaged denoiser whose level is the nearest.

    Of two for the same level it is the one with more channels.

    Args:
      noise_sigma: in grey levels of 0..255.

    Raises:
      NLRNError: none is packaged.
    """
    levels = denoiser_levels()
    if not levels:
        raise NLRNError("no denoiser is packaged; give weights=PATH")

    def distance(item):
        name, level = item
        return abs(level - noise_sigma), -manifest()[name]["config"]["filters"]

    return min(levels.items(), key=distance)


def estimate_noise_sigma(image: np.ndarray) -> float:
    """The standard deviation of white Gaussian noise in an image, by scikit-image.

    `skimage.restoration.estimate_sigma`: the median absolute deviation of the finest diagonal
    wavelet coefficients (Donoho and Johnstone 1994). Measured by
    `tests/restoration/test_noise_level.py` on Set12 and BSD68 at 15, 25 and 50, rounded to 8 bits:
    the mean estimates are 15.6, 25.0, 46.5 and 15.7, 24.5, 45.0. Clipping makes strong noise look
    weaker, fine texture adds a few levels, noise that is not white, as after JPEG, is
    underestimated.

    Args:
      image: `[H, W]`, `[H, W, 1]` or RGB `[H, W, 3]`, or with alpha as the last of 2 or 4 channels,
        which is left out; uint8, uint16 or float in [0, 1].

    Returns:
      Grey levels of 0..255, the mean over the channels that are not flat. 0 where all are, and for
      an image of fewer than 2 pixels a side.
    """
    from skimage.restoration import estimate_sigma  # takes a second to import

    values = unit_range(image).reshape(*image.shape[:2], -1)
    channels = np.moveaxis(values[..., : 3 if values.shape[2] >= 3 else 1], -1, 0)
    if min(values.shape[:2]) < 2:
        return 0.0
    # It leaves out details that are exactly zero, and has nothing left of a flat channel.
    estimates = [estimate_sigma(channel) for channel in channels if np.ptp(channel) > 0]
    found = [estimate for estimate in estimates if np.isfinite(estimate)]
    return 255 * float(np.mean(found)) if found else 0.0
