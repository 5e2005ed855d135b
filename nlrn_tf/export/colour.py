"""Grey and colour images restored inside a TensorFlow graph, as `nlrn_tf.restore` does it.

`H, W` pixels, `C` channels (1 or 3, in RGB order).
"""

import numpy as np
import tensorflow as tf

from nlrn_tf.export.planes import Network, restore_planes
from nlrn_tf.imaging.colour import PEAK, TO_RGB, TO_YCBCR, YCBCR_OFFSET
from nlrn_tf.imaging.resize import resize_bicubic


def denoise(network: Network, images: tf.Tensor, planes_at_once: int | tf.Tensor) -> tf.Tensor:
    """Restores the channels one by one.

    Args:
      network: with the size of its tiles.
      images: float32 `[B, H, W, C]` in [0, 1].
      planes_at_once: see `restore_planes`.

    Returns:
      float32 `[B, H, W, C]`, not clipped.
    """
    batch, height, width, channels = tf.unstack(tf.shape(images))
    planes = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height, width])
    restored = restore_planes(network, planes, planes_at_once)
    restored = tf.reshape(restored, [batch, channels, height, width])
    return tf.transpose(restored, [0, 2, 3, 1])


def enlarge(network: Network, image: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Super-resolution: of a colour image Y by the network, Cb and Cr bicubic.

    Args:
      network: with the size of its tiles.
      image: float32 `[H, W, C]` in [0, 1].
      scale: scalar int32.

    Returns:
      float32 `[scale H, scale W, C]`, not clipped.
    """
    scale = tf.cast(scale, tf.float64)  # from float32 the size would be rounded

    def enlarge_grey():
        return _restore_first(network, resize_bicubic(image[None], scale)[0])

    def enlarge_colour():
        enlarged = resize_bicubic(_rgb_to_ycbcr(image)[None], scale)[0]
        return _ycbcr_to_rgb(_restore_first(network, enlarged))

    return tf.cond(tf.shape(image)[2] == 1, enlarge_grey, enlarge_colour)


def _restore_first(network: Network, image: tf.Tensor) -> tf.Tensor:
    """Restores the first channel of `[H, W, C]`."""
    first = restore_planes(network, image[None, ..., 0], 1)[0]
    return tf.concat([first[..., None], image[..., 1:]], axis=-1)


def _rgb_to_ycbcr(image: tf.Tensor) -> tf.Tensor:
    """`nlrn_tf.imaging.colour.rgb_to_ycbcr` of float32 `[H, W, 3]`."""
    ycbcr = _mix(tf.cast(image, tf.float64), TO_YCBCR) + YCBCR_OFFSET
    return tf.cast(ycbcr / PEAK, tf.float32)


def _ycbcr_to_rgb(image: tf.Tensor) -> tf.Tensor:
    """`nlrn_tf.imaging.colour.ycbcr_to_rgb` of float32 `[H, W, 3]`."""
    return tf.cast(_mix(tf.cast(image, tf.float64) * PEAK - YCBCR_OFFSET, TO_RGB), tf.float32)


def _mix(image: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    height, width, _ = tf.unstack(tf.shape(image))
    mixed = tf.matmul(tf.reshape(image, [-1, 3]), tf.constant(matrix.T))
    return tf.reshape(mixed, [height, width, 3])
