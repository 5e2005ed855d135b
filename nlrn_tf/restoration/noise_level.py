"""The noise level of an image."""

import dataclasses

import numpy as np

from nlrn_tf.imaging.opponent import TO_OPPONENT
from nlrn_tf.imaging.samples import unit_range
from nlrn_tf.restoration import noise_blocks

NORMAL_QUARTILE = 0.6745  # of the standard normal distribution: its median absolute value
MIN_USABLE = 0.05  # share of the blocks
MAX_CONSTANT = 0.5  # share of the blocks that are not saturated
MIN_SMOOTH = 0.08  # share of the blocks
MAX_UNSEEN = 3.0  # grey levels; taking so little for noise hardly changes an image


@dataclasses.dataclass(frozen=True)
class NoiseEstimate:
    """The estimated noise of an image.

    Attributes:
      sigma: standard deviation in grey levels of 0..255; of RGB the root mean square over the
        channels that are not flat.
      reliable: whether it can be acted upon without asking.
      reason: why it is not reliable, as a clause for a message; None where it is.
      planes: of RGB the levels of the opponent planes (`nlrn_tf.imaging.opponent`), in which the
        noise of a photograph often differs; of a grey image its one level. Divide that of luma by
        sqrt 3 for the mean of the channels.
    """

    sigma: float
    reliable: bool
    reason: str | None
    planes: tuple[float, ...]


def estimate_noise(image: np.ndarray) -> NoiseEstimate:
    """Estimates the level of white Gaussian noise from the smoothest blocks of an image.

    See `nlrn_tf.restoration.noise_blocks` for the method. Saturated and constant areas are left
    out, and the noise that clipping at black and white takes away is added again.

    Args:
      image: `[H, W]`, `[H, W, 1]` or RGB `[H, W, 3]`, or with alpha as the last of 2 or 4 channels,
        which is left out; uint8, uint16 or float in [0, 1], plus noise.
    """
    values = unit_range(image).reshape(*image.shape[:2], -1)
    values = np.ascontiguousarray(values[..., : 3 if values.shape[2] >= 3 else 1]) * np.float32(255)
    steps = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 255 / 65535}
    rounding = steps.get(image.dtype, 0.0)
    blocks = noise_blocks.block_statistics(values)
    if blocks is None:
        return _of_few_pixels(values)
    channels = [
        noise_blocks.plane_noise(blocks, axis, rounding) for axis in np.eye(values.shape[2])
    ]
    planes = channels
    reason = _doubt(values, channels)
    if _is_drawing(channels):
        return NoiseEstimate(0.0, reason is None, reason, (0.0,) * len(planes))
    if len(channels) == 3:
        planes = [noise_blocks.plane_noise(blocks, axis, rounding) for axis in TO_OPPONENT]
    told = [channel.sigma for channel in channels if channel.num_blocks]
    sigma = float(np.sqrt(np.mean(np.square(told)))) if told else 0.0
    return NoiseEstimate(sigma, reason is None, reason, tuple(plane.sigma for plane in planes))


def estimate_noise_sigma(image: np.ndarray) -> float:
    """The `sigma` of `estimate_noise`, in grey levels of 0..255."""
    return estimate_noise(image).sigma


def _of_few_pixels(values: np.ndarray) -> NoiseEstimate:
    """By the median absolute second difference of each channel of `[H, W, C]`."""
    differences = noise_blocks.second_differences(values)
    height, width, channels = values.shape
    reason = f"{width} x {height} pixels are too few to tell"
    axes = TO_OPPONENT if channels == 3 else np.eye(channels)
    if differences is None:
        return NoiseEstimate(0.0, False, reason, (0.0,) * len(axes))

    def level(axis):
        absolute = np.abs(differences @ axis)
        absolute = absolute[absolute > 1e-3]
        return float(np.median(absolute) / NORMAL_QUARTILE) if absolute.size else 0.0

    told = [sigma for sigma in map(level, np.eye(channels)) if sigma]
    sigma = float(np.sqrt(np.mean(np.square(told)))) if told else 0.0
    return NoiseEstimate(sigma, False, reason, tuple(map(level, axes)))


def _doubt(values: np.ndarray, channels: list[noise_blocks.PlaneNoise]) -> str | None:
    """Why an estimate is not reliable, if it is not."""
    told = [channel for channel in channels if channel.num_blocks]
    if np.ptp(values) == 0:
        return None
    if _is_drawing(channels):
        return "most of it is without any noise, as a drawing is"
    if max((channel.usable for channel in told), default=0) < MIN_USABLE:
        return "nearly all of it is black or white"
    if all(channel.smooth < MIN_SMOOTH and channel.sigma > MAX_UNSEEN for channel in told):
        return "it has fine texture nearly everywhere, which looks like noise"
    return None


def _is_drawing(channels: list[noise_blocks.PlaneNoise]) -> bool:
    return min(channel.constant for channel in channels) > MAX_CONSTANT
