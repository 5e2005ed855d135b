"""Enlarging by a network that gets the enlarged image, or by one that gets the small one.

`H, W` pixels, `C` channels; sizes of enlarged images are `scale` times those, rounded up.
"""

from collections.abc import Callable

import numpy as np

from nlrn_tf.config import NLRNConfig
from nlrn_tf.imaging.colour import rgb_to_ycbcr, ycbcr_to_rgb
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.tasks.super_resolution import AFTER, BEFORE


def own_scale(config: NLRNConfig | None, scale: float | None) -> int | None:
    """The factor by which a network itself enlarges, to enlarge by `scale`; None if it does not."""
    if config is None or scale is None or getattr(config, "upsample", BEFORE) != AFTER:
        return None
    return min(each for each in config.scales if each >= scale)


def enlarged_plane(
    image: np.ndarray,
    scale: float,
    own: int | None,
    restore: Callable[[np.ndarray, int | None], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """A plane enlarged bicubically, and by a network.

    Args:
      image: float `[H, W]`.
      scale: the factor.
      own: by which the network enlarges, at least `scale`; its image is shrunk to that. None for a
        network that gets the enlarged image.
      restore: applies the network to a plane, to enlarge it by a factor.

    Returns:
      Both float32 and of one size; not clipped.
    """
    bicubic = imresize(image, scale)
    if own is None:
        return bicubic, restore(bicubic, None)
    enlarged = restore(image, own)
    if own != scale:
        height, width = bicubic.shape
        enlarged = imresize(enlarged, scale / own)[:height, :width]
    return bicubic, enlarged


def enlarged_values(
    values: np.ndarray, scale: float, enlarge: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Float grey or RGB `[H, W, C]` enlarged: grey and Y by `enlarge`, Cb and Cr bicubically."""
    if values.shape[2] == 1:
        return enlarge(values[..., 0])[..., None]
    ycbcr = rgb_to_ycbcr(values)
    return ycbcr_to_rgb(np.dstack([enlarge(ycbcr[..., 0]), imresize(ycbcr[..., 1:], scale)]))
