"""Which images can be restored."""

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.samples import Levels

# Noise takes a float image out of [0, 1], but not further than this; 0..255 does not pass.
FLOAT_RANGE = (-2.0, 3.0)


def checked_image(image: np.ndarray, levels: Levels | None = None) -> np.ndarray:
    """The image as an array.

    Args:
      image: see `nlrn_tf.restore`.
      levels: white and black where they are given; other whole numbers can be restored then, and
        floats of other ranges.

    Raises:
      NLRNError: unsupported dtype, shape or values, see `nlrn_tf.restore`.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and not 1 <= image.shape[2] <= 4):
        raise NLRNError(
            f"image of shape {image.shape} is not supported; [H, W], [H, W, 1] and RGB [H, W, 3] "
            "are, and with alpha [H, W, 2] and [H, W, 4]"
        )
    if image.size == 0:
        raise NLRNError(f"image of shape {image.shape} is empty")
    if image.dtype in (np.uint8, np.uint16) or (levels and image.dtype.kind in "iu"):
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise NLRNError(
            f"image of dtype {image.dtype} is not supported without white_level; uint8, uint16 and "
            "float ([0, 1]) are"
        )
    if not np.isfinite(image).all():
        raise NLRNError("image has values that are not finite (NaN or Inf)")
    if levels:
        return image
    low, high = float(image.min()), float(image.max())
    if low < FLOAT_RANGE[0] or high > FLOAT_RANGE[1]:
        raise NLRNError(
            f"float image has values from {low:.3g} to {high:.3g}; expected [0, 1] (plus noise), "
            "divide it by its white level"
        )
    return image
