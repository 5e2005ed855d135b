"""Grey and colour images restored inside a TensorFlow graph, as `nlrn_tf.restore` does it.

`H, W` pixels, `C` channels (1 or 3, in RGB order).
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from nlrn_tf.export.planes import Network, enlarge_plane, planes_per_tile, restore_planes
from nlrn_tf.imaging.colour import PEAK, TO_RGB, TO_YCBCR, YCBCR_OFFSET
from nlrn_tf.imaging.opponent import TO_OPPONENT
from nlrn_tf.imaging.resize import resize_bicubic
from nlrn_tf.restoration.colour import MID_GREY
from nlrn_tf.restoration.restorer import UNSEEN_LEVEL
from nlrn_tf.weights.level_choice import MAX_SCALE, scaled_to


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """The networks for grey images, and for the luma and the chroma planes of colour images."""

    grey: Network
    luma: Network
    chroma: Network


def denoise(denoiser: Denoiser, images: tf.Tensor, noise_sigma: tf.Tensor | None) -> tf.Tensor:
    """Restores images of one size: `Restorer.values` of each.

    Args:
      denoiser: its networks tell their levels where `noise_sigma` is given.
      images: float32 `[B, H, W, C]` in [0, 1], plus noise.
      noise_sigma: scalar float64, the noise of the images in grey levels of 0..255. None for
        networks that do not tell their level: colour is then restored channel by channel.

    Returns:
      float32 `[B, H, W, C]`, not clipped.
    """
    if noise_sigma is None:
        return _channels(denoiser.grey, images, None)

    def colour_image(image):
        is_grey = tf.reduce_all(image[..., :1] == image[..., 1:])
        return tf.cond(
            is_grey,
            lambda: tf.repeat(_channels(denoiser.grey, image[None, ..., :1], noise_sigma)[0], 3, 2),
            lambda: _opponent(denoiser, image, noise_sigma),
        )

    return tf.cond(
        tf.shape(images)[3] == 1,
        lambda: _channels(denoiser.grey, images, noise_sigma),
        lambda: tf.map_fn(colour_image, images, parallel_iterations=1),
    )


def _channels(network: Network, images: tf.Tensor, noise_sigma: tf.Tensor | None) -> tf.Tensor:
    """The channels of `[B, H, W, C]` one by one."""
    batch, height, width, channels = tf.unstack(tf.shape(images))
    planes = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height, width])
    restored = _at_level(network, planes, noise_sigma)
    restored = tf.reshape(restored, [batch, channels, height, width])
    return tf.transpose(restored, [0, 2, 3, 1])


def _opponent(denoiser: Denoiser, image: tf.Tensor, noise_sigma: tf.Tensor) -> tf.Tensor:
    """RGB `[H, W, 3]` along the opponent axes, see `restoration.colour`."""
    root = math.sqrt(3)
    planes = tf.cast(_mix(tf.cast(image, tf.float64), TO_OPPONENT), tf.float32)
    planes = tf.transpose(planes, [2, 0, 1])
    luma = _at_level(denoiser.luma, planes[:1] / root, noise_sigma / root)
    chroma = _at_level(denoiser.chroma, planes[1:], noise_sigma, MID_GREY)
    planes = tf.transpose(tf.concat([luma * root, chroma], axis=0), [1, 2, 0])
    return tf.cast(_mix(tf.cast(planes, tf.float64), TO_OPPONENT.T), tf.float32)


def _at_level(
    network: Network, planes: tf.Tensor, level: tf.Tensor | None, centre: float = 0.0
) -> tf.Tensor:
    """`Restorer` on planes `[N, H, W]` of noise `level`: f(y) = f0(a y) / a about `centre`."""
    at_once = planes_per_tile(network, *tf.unstack(tf.shape(planes)[1:]))
    if level is None or network.noise_sigma is None:
        return restore_planes(network, planes, at_once)
    trained = network.trained_sigma or network.noise_sigma
    before, share_before = scaled_to(network.noise_sigma, trained)
    lowest = trained / MAX_SCALE
    share_after = tf.minimum(level / lowest, 1) ** 3
    factor = tf.cast(before / tf.maximum(level, lowest), tf.float32)
    about = tf.constant(centre * before / trained, tf.float32)

    def restored():
        scaled = restore_planes(network, about + factor * planes, at_once)
        share = tf.cast(share_after / share_before, tf.float32)
        return planes + share * ((scaled - about) / factor - planes)

    return tf.cond(level < UNSEEN_LEVEL, lambda: tf.identity(planes), restored)


def enlarge(network: Network, image: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Super-resolution: of a colour image Y by the network, Cb and Cr bicubic.

    Args:
      network: with the size of its tiles.
      image: float32 `[H, W, C]` in [0, 1].
      scale: scalar int32.

    Returns:
      float32 `[scale H, scale W, C]`, not clipped.
    """

    def enlarge_grey():
        return _enlarge_first(network, image, scale)

    def enlarge_colour():
        return _ycbcr_to_rgb(_enlarge_first(network, _rgb_to_ycbcr(image), scale))

    return tf.cond(tf.shape(image)[2] == 1, enlarge_grey, enlarge_colour)


def _enlarge_first(network: Network, image: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Enlarges the first channel of `[H, W, C]` by the network and the others bicubically."""
    # A scale in float32 would round the size.
    enlarged = resize_bicubic(image[None], tf.cast(scale, tf.float64))[0]
    if network.scales:
        first = enlarge_plane(network, image[..., 0], scale)
    else:
        first = restore_planes(network, enlarged[None, ..., 0], 1)[0]
    return tf.concat([first[..., None], enlarged[..., 1:]], axis=-1)


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
