"""Random crops of stored images: position, orientation and scale, for `tf.data` graphs."""

from typing import NamedTuple

import tensorflow as tf

from nlrn_tf.imaging.bicubic import KERNEL_REACH
from nlrn_tf.imaging.resize import resize_bicubic


class StoredImage(NamedTuple):
    """An image in a flat tensor.

    Attributes:
      pixels: uint8 `[N]`, row by row, possibly with other images before and after.
      start: number of the first pixel (int64 scalar, as height and width).
      height, width: size of the image.
    """

    pixels: tf.Tensor
    start: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor


class RegionShape(NamedTuple):
    """A square region: its size, and where in it the patch starts (int or int64 scalars)."""

    size: int | tf.Tensor
    top: int | tf.Tensor = 0
    left: int | tf.Tensor = 0


class Draws:
    """The random numbers of one example, used up one after the other."""

    def __init__(self, key: tf.Tensor, number: tf.Tensor):
        """`key` of the stream and `number` of the example: int64 scalars."""
        seed = tf.stack([key, number])
        numbers = tf.random.stateless_uniform([16], seed, minval=None, maxval=None, dtype=tf.int64)
        self._numbers = iter(tf.unstack(numbers))

    def below(self, limit: int | tf.Tensor) -> tf.Tensor:
        """An int64 scalar in 0 .. limit - 1, all equally likely."""
        return tf.math.floormod(next(self._numbers), tf.cast(limit, tf.int64))


def random_region(
    image: StoredImage,
    draws: Draws,
    patch_size: int | tf.Tensor,
    shape: RegionShape,
    factors: tuple[float, ...],
) -> tf.Tensor:
    """Takes a region around a random patch, shrunk by a random factor, turned and flipped.

    Each position of the patch inside the (shrunk) image is equally likely; an image smaller than
    the patch takes each position inside the patch. Beyond its edges the image is mirrored.

    Args:
      image: the image.
      draws: random numbers.
      patch_size: height and width of the patch; int or int64 scalar.
      shape: the region, in pixels of the shrunk image.
      factors: scales to draw from, at most 1.

    Returns:
      float32 `[size, size, 1]` in [0, 1].
    """
    if factors == (1.0,):
        return tf.cast(_crop(image, draws, patch_size, shape, shape.size), tf.float32) / 255
    factor = tf.constant(factors, tf.float64)[draws.below(len(factors))]
    # The border feels what lies outside the crop, so it is made too large and cut off.
    size, top, left = (tf.cast(value, tf.int64) + KERNEL_REACH for value in shape)
    size += KERNEL_REACH
    taken = tf.cast(tf.round(tf.cast(size, tf.float64) / factor), tf.int64)
    crop = _crop(image, draws, patch_size, RegionShape(size, top, left), taken)
    crop = tf.cast(crop, tf.float32) / 255
    ratio = tf.cast(size / taken, tf.float32)
    shrunk = tf.cond(taken == size, lambda: crop, lambda: resize_bicubic(crop[None], ratio)[0])
    inner = shrunk[KERNEL_REACH:-KERNEL_REACH, KERNEL_REACH:-KERNEL_REACH]
    return tf.clip_by_value(inner, 0, 1)


def _crop(
    image: StoredImage,
    draws: Draws,
    patch_size: int | tf.Tensor,
    shape: RegionShape,
    taken: int | tf.Tensor,
) -> tf.Tensor:
    """A crop in one of eight orientations that becomes the region when shrunk to its size.

    Returns:
      uint8 `[taken, taken, 1]`.
    """
    size, *lead = (tf.cast(value, tf.int64) for value in shape)
    turned = draws.below(2)  # rows and columns of the image become those of the region, or swap
    before = tf.stack(lead) * taken // size  # pixels of the image before the patch
    offsets = tf.range(tf.cast(taken, tf.int64))
    span = -(-patch_size * taken // size)  # pixels of the image that the patch covers
    rows = _line(offsets - before[turned], span, image.height, draws)
    columns = _line(offsets - before[1 - turned], span, image.width, draws)
    upright = rows[:, None] * image.width + columns
    transposed = rows * image.width + columns[:, None]
    places = image.start + tf.where(turned == 0, upright, transposed)
    return tf.gather(image.pixels, places)[..., None]


def _line(relative: tf.Tensor, span: tf.Tensor, length: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Image coordinates along one axis, from coordinates relative to the start of the patch."""
    spare = length - span
    start = tf.minimum(spare, 0) + draws.below(tf.abs(spare) + 1)
    directed = tf.where(draws.below(2) == 0, relative, span - 1 - relative)
    folded = tf.math.floormod(start + directed, 2 * length)  # mirrored beyond both edges
    return tf.minimum(folded, 2 * length - 1 - folded)
