"""Enlarging by a network that gets the enlarged image, or by one that gets the small one.

`H, W` pixels, `C` channels; sizes of enlarged images are `scale` times those, rounded up.
"""

import math
from collections.abc import Callable

import numpy as np

from nlrn_tf.config import NLRNConfig
from nlrn_tf.imaging.colour import rgb_to_ycbcr, ycbcr_to_rgb
from nlrn_tf.imaging.resize import imresize


def own_scale(config: NLRNConfig | None, scale: float | None) -> int | None:
    """The factor by which a network itself enlarges, to enlarge by `scale`; None if it does not."""
    scales = () if scale is None else getattr(config, "own_scales", ())
    return min((each for each in scales if each >= scale), default=None)


def enlarged_plane(
    image: np.ndarray,
    scale: float,
    own: int | None,
    restore: Callable[[np.ndarray, int | None], np.ndarray],
) -> np.ndarray:
    """A plane enlarged by a network.

    Args:
      image: float `[H, W]`.
      scale: the factor.
      own: by which the network enlarges, at least `scale`; its image is shrunk to that. None for a
        network that gets the enlarged image.
      restore: applies the network to a plane, to enlarge it by a factor.

    Returns:
      float32, not clipped.
    """
    if own is None:
        return restore(imresize(image, scale), None)
    enlarged = restore(image, own)
    if own == scale:
        return enlarged
    height, width = (math.ceil(scale * side) for side in image.shape)
    return imresize(enlarged, scale / own)[:height, :width]


def enlarged_values(
    values: np.ndarray, scale: float, enlarge: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Float grey or RGB `[H, W, C]` enlarged: grey and Y by `enlarge`, Cb and Cr bicubically."""
    if values.shape[2] == 1:
        return enlarge(values[..., 0])[..., None]
    ycbcr = rgb_to_ycbcr(values)
    return ycbcr_to_rgb(np.dstack([enlarge(ycbcr[..., 0]), imresize(ycbcr[..., 1:], scale)]))
