"""Colours for pixels that are not seen, from those that are.

What lies under transparent pixels is often black, and a network would draw it into the edges of
what is seen.
"""

import cv2
import numpy as np


def filled(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Values whose invisible pixels continue the visible ones smoothly.

    The mean of the visible pixels of each block of 2 x 2, 4 x 4, ... fills what is empty in the
    finer ones: the pull-push algorithm (Gortler et al., The Lumigraph, section 3.4).

    Args:
      values: float32 `[H, W, C]`.
      alpha: `[H, W, 1]`, 0 where nothing is seen; or `[H, W, 0]`.

    Returns:
      float32 `[H, W, C]`; visible pixels are unchanged, and so are all where none is visible.
    """
    if not alpha.size:
        return values
    visible = alpha[..., 0] > 0
    if visible.all() or not visible.any():
        return values
    return np.where(visible[..., None], values, _continued(values, visible.astype(np.float32)))


def _continued(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Where weights are 0, what the coarser levels say; `values` elsewhere."""
    height, width = weights.shape
    if weights.all() or max(height, width) == 1:
        return values
    sides = (height % 2, width % 2)
    padded = np.pad(values * weights[..., None], ((0, sides[0]), (0, sides[1]), (0, 0)))
    sums = np.pad(weights, ((0, sides[0]), (0, sides[1])))
    coarse_sums = _summed(sums)
    means = _summed(padded) / np.maximum(coarse_sums, 1e-6)[..., None]
    coarse = _continued(means, np.minimum(coarse_sums, 1))
    shown = cv2.resize(coarse, (2 * coarse.shape[1], 2 * coarse.shape[0]))
    shown = shown.reshape(*shown.shape[:2], -1)[:height, :width]
    share = weights[..., None]
    return share * values + (1 - share) * shown


def _summed(values: np.ndarray) -> np.ndarray:
    """Of each 2 x 2."""
    return values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]
