"""Bicubic resizing.

`B` batch, `H, W` pixels, `C` channels. It is MATLAB's `imresize(image, scale, 'bicubic')`:
Keys' cubic kernel with a = -0.5, widened by 1 / scale when the image shrinks, output pixel `x`
centred on input coordinate `(x + 0.5) / scale - 0.5`, output size `ceil(scale * size)`.
"""

import math

import numpy as np
import tensorflow as tf

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.bicubic import cubic

EDGES = ("mirror", "replicate")


def crop_to_multiple(image: np.ndarray, multiple: int) -> np.ndarray:
    """Crops `[H, W]` or `[H, W, C]` at the bottom and right so that `multiple` divides H and W."""
    height, width = image.shape[:2]
    return image[: height - height % multiple, : width - width % multiple]


def imresize(image: np.ndarray, scale: float, *, edges: str = "mirror") -> np.ndarray:
    """MATLAB's bicubic `imresize(image, scale)` with antialiasing.

    Args:
      image: `[H, W]` or `[H, W, C]`, uint8 or float, not empty.
      scale: output pixels per input pixel, above 0.
      edges: what lies outside the image: "mirror" is MATLAB's rule; "replicate" repeats the
        border pixels, as the LR files of SelfExSR were made.

    Returns:
      `[ceil(scale H), ceil(scale W)]` (and `C`). For uint8 input uint8, rounded (half up) and
      clipped after the vertical and again after the horizontal pass, as MATLAB does. For float
      input float32, not clipped.

    Raises:
      NLRNError: wrong scale, edges, shape or dtype.
    """
    image = np.asarray(image)
    scale = float(scale)
    _check(image, scale, edges)
    channels = image if image.ndim == 3 else image[..., None]
    batch = tf.constant(channels[None], tf.float32)  # [1, H, W, C]
    if image.dtype == np.uint8:
        rows = _to_uint8_range(_resize_axis(batch, scale, edges, axis=1))
        resized = _to_uint8_range(_resize_axis(rows, scale, edges, axis=2))
        resized = tf.cast(resized, tf.uint8).numpy()
    else:
        resized = resize_bicubic(batch, scale, edges=edges).numpy()
    return resized[0] if image.ndim == 3 else resized[0, ..., 0]


def resize_bicubic(
    images: tf.Tensor, scale: float | tf.Tensor, *, edges: str = "mirror"
) -> tf.Tensor:
    """The float version of `imresize` for batches, usable in graphs and `tf.data`.

    Args:
      images: `[B, H, W, C]`, converted to float32; static or dynamic shape.
      scale: a Python float or a scalar tensor, above 0. A float32 tensor cannot hold 1 / 3
        exactly: its output size forgives the rounding error, so 1 / 3 of 9 is 3.
      edges: "mirror" or "replicate", as for `imresize`.

    Returns:
      float32 `[B, ceil(scale H), ceil(scale W), C]`, not clipped.
    """
    rows = _resize_axis(tf.cast(images, tf.float32), scale, edges, axis=1)
    return _resize_axis(rows, scale, edges, axis=2)


def _check(image: np.ndarray, scale: float, edges: str) -> None:
    if not (math.isfinite(scale) and scale > 0):
        raise NLRNError(f"imresize: scale {scale} must be a number above 0")
    if edges not in EDGES:
        raise NLRNError(f"imresize: edges '{edges}' must be one of {', '.join(EDGES)}")
    if image.ndim not in (2, 3) or image.size == 0:
        raise NLRNError(f"imresize: shape {image.shape} must be [H, W] or [H, W, C], not empty")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise NLRNError(f"imresize: dtype {image.dtype} must be uint8 or a float")


def _resize_axis(
    images: tf.Tensor, scale: float | tf.Tensor, edges: str, *, axis: int
) -> tf.Tensor:
    """Resizes float32 `[B, H, W, C]` along axis 1 (vertical) or 2 (horizontal)."""
    size = tf.shape(images)[axis]
    taps, weights = _taps(size, scale)  # [out, K]
    if edges == "mirror":
        taps = tf.math.floormod(taps, 2 * size)
        taps = tf.minimum(taps, 2 * size - 1 - taps)
    else:
        taps = tf.clip_by_value(taps, 0, size - 1)
    gathered = tf.gather(images, taps, axis=axis)  # [B, out, K, W, C] or [B, H, out, K, C]
    weights = weights[:, :, None, None] if axis == 1 else weights[:, :, None]
    # Not a matrix product: oneDNN may be set to run those in bfloat16.
    return tf.reduce_sum(gathered * weights, axis=axis + 1)


def _taps(size: tf.Tensor, scale: float | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """For each output pixel the input pixels that it mixes, int32, and their weights, float32.

    Both are `[ceil(scale size), K]`; the indices run beyond the edges. Computed in float64:
    float32 coordinates (as in `tf.image.resize`) cost 1e-4 of the range on 1000 pixels at x3.
    """
    is_inexact = isinstance(scale, tf.Tensor) and scale.dtype != tf.float64
    # A Python float must not go through tf.cast, which takes it through float32.
    scale = tf.cast(scale, tf.float64) if is_inexact else tf.convert_to_tensor(scale, tf.float64)
    slack = 2.0**-23 if is_inexact else 0.0
    count = tf.math.ceil(scale * tf.cast(size, tf.float64) * (1 - slack))
    shrink = tf.minimum(scale, 1)
    centres = (tf.range(count, dtype=tf.float64) + 0.5) / scale - 0.5
    first = tf.math.floor(centres - 2 / shrink) + 1
    taps = first[:, None] + tf.range(tf.math.ceil(4 / shrink), dtype=tf.float64)
    weights = cubic(shrink * (centres[:, None] - taps), tf.where)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.cast(taps, tf.int32), tf.cast(weights, tf.float32)


def _to_uint8_range(images: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.floor(images + 0.5), 0.0, 255.0)
