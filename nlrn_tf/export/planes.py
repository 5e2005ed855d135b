"""Restoration of image planes inside a TensorFlow graph, as `restoration.planes.predict` does it.

`N` planes, `H, W` pixels; all sizes may be unknown when the graph is made.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from nlrn_tf.restoration.planes import OVERLAP
from nlrn_tf.restoration.tiling import STEP, THROWN_AWAY


@dataclasses.dataclass(frozen=True)
class Network:
    """What restores a piece.

    Attributes:
      function: maps float32 `[N, H, W, 1]` to the same shape, or to `NLRN.subpixels`.
      tile_size: larger pieces than this (squared, in pixels) are cut into tiles.
      noise_sigma: the level that a denoiser is for, in grey levels; None when it does not tell.
      trained_sigma: the level of its training.
      scales: that the sub-pixels are of; empty where the function keeps the shape.
    """

    function: Callable[[tf.Tensor], tf.Tensor]
    tile_size: int
    noise_sigma: float | None = None
    trained_sigma: float | None = None
    scales: tuple[int, ...] = ()


def restore_planes(network: Network, planes: tf.Tensor, planes_at_once: tf.Tensor) -> tf.Tensor:
    """Runs the network on planes of any size in bounded memory.

    Args:
      network: with the size of its tiles.
      planes: float32 `[N, H, W]`, not empty.
      planes_at_once: scalar int32, at least 1; more than 1 is faster for small planes, and changes
        the last digits of the result.

    Returns:
      float32 `[N, H, W]`, not clipped.
    """
    count = tf.shape(planes)[0]
    num_chunks = -(-count // planes_at_once)

    def restore_chunk(number, restored):
        chunk = planes[number * planes_at_once : (number + 1) * planes_at_once]
        return number + 1, restored.write(number, _restore_in_tiles(network, chunk)[..., 0])

    restored = tf.TensorArray(
        tf.float32, num_chunks, infer_shape=False, element_shape=[None, None, None]
    )
    _, restored = tf.while_loop(
        lambda number, _: number < num_chunks, restore_chunk, (0, restored), parallel_iterations=1
    )
    return tf.reshape(restored.concat(), tf.shape(planes))


def enlarge_plane(network: Network, plane: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Runs a network that enlarges on a plane of any size in bounded memory.

    Args:
      network: with its scales and the size of its tiles.
      plane: float32 `[H, W]`, not empty.
      scale: scalar int32, one of the scales.

    Returns:
      float32 `[scale H, scale W]`, not clipped.
    """
    height, width = tf.unstack(tf.shape(plane))
    subpixels = _restore_in_tiles(network, plane[None])[0]
    counts = tf.constant(network.scales) ** 2
    number = tf.argmax(tf.constant(network.scales) == scale)
    first = tf.cumsum(counts, exclusive=True)[number]
    apart = tf.reshape(subpixels[..., first : first + scale**2], [height, width, scale, scale])
    return tf.reshape(tf.transpose(apart, [0, 2, 1, 3]), [height * scale, width * scale])


def planes_per_tile(network: Network, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """How many planes of this size have together at most the pixels of a tile; at least 1."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.cast(tf.maximum(network.tile_size**2 // pixels, 1), tf.int32)


def tile_shape(
    height: tf.Tensor, width: tf.Tensor, tile_size: int, overlap: int = OVERLAP
) -> tuple[tf.Tensor, tf.Tensor]:
    """`nlrn_tf.restoration.tiling.tile_shape` for scalar int32 tensors."""
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    rows = tf.range(1, _count(height, tf.constant(tile_size, tf.int64), overlap) + 1)
    heights = _side(height, rows, overlap)
    longest = tile_size**2 // heights // STEP * STEP
    possible = longest > overlap
    columns = _count(width, tf.where(possible, longest, overlap + 1), overlap)
    widths = _side(width, columns, overlap)
    work = tf.where(possible, rows * columns * heights * widths, tf.int64.max)
    best = tf.argmax(tf.where(work == tf.reduce_min(work), heights, -1))  # the narrowest of them
    whole = height * width <= tile_size**2
    return (
        tf.cast(tf.where(whole, height, heights[best]), tf.int32),
        tf.cast(tf.where(whole, width, widths[best]), tf.int32),
    )


def tile_weights(
    size: tf.Tensor, tile: tf.Tensor, overlap: int = OVERLAP
) -> tuple[tf.Tensor, tf.Tensor]:
    """`nlrn_tf.restoration.tiling.tile_weights` for scalar int32 tensors.

    Returns:
      int32 `[K]`, where the tiles start, and float32 `[K, tile]`, their weights.
    """
    starts = tf.concat([tf.range(0, size - tile, tf.maximum(tile - overlap, 1)), [size - tile]], 0)
    count = tf.size(starts)
    thrown_away = int(overlap * THROWN_AWAY)
    distance = tf.range(1, tf.cast(tile, tf.float64) + 1)
    fade = tf.clip_by_value((distance - thrown_away) / (overlap - 2 * thrown_away + 1), 0, 1)
    is_first = (tf.range(count) == 0)[:, None]
    is_last = (tf.range(count) == count - 1)[:, None]
    weights = tf.where(is_first, tf.ones_like(fade), fade)
    weights *= tf.where(is_last, tf.ones_like(fade), tf.reverse(fade, [0]))
    pixels = starts[:, None] + tf.range(tile)
    total = tf.math.unsorted_segment_sum(weights, pixels, size)
    return starts, tf.cast(weights / tf.gather(total, pixels), tf.float32)


def _restore_in_tiles(network: Network, planes: tf.Tensor) -> tf.Tensor:
    """float32 `[N, H, W]` to `[N, H, W, K]` by one call of the network for each tile."""
    height, width = tf.shape(planes)[1], tf.shape(planes)[2]
    tile_height, tile_width = tile_shape(height, width, network.tile_size)
    tops, row_weights = tile_weights(height, tile_height)
    lefts, column_weights = tile_weights(width, tile_width)
    num_columns = tf.size(lefts)
    num_tiles = tf.size(tops) * num_columns
    channels = sum(scale**2 for scale in network.scales) or 1

    def add_tile(number, restored):
        row, column = number // num_columns, number % num_columns
        top, left = tops[row], lefts[column]
        tile = planes[:, top : top + tile_height, left : left + tile_width, None]
        weights = row_weights[row][:, None] * column_weights[column]
        tile = weights[..., None] * network.function(tile)
        below, right = height - top - tile_height, width - left - tile_width
        return number + 1, restored + tf.pad(tile, [[0, 0], [top, below], [left, right], [0, 0]])

    _, restored = tf.while_loop(
        lambda number, _: number < num_tiles,
        add_tile,
        (0, tf.zeros([*tf.unstack(tf.shape(planes)), channels])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, None, channels])),
        parallel_iterations=1,
    )
    return restored


def _count(size: tf.Tensor, tile: tf.Tensor, overlap: int) -> tf.Tensor:
    many = -(-(size - overlap) // (tile - overlap))
    return tf.where(size <= tile, tf.ones_like(many), many)


def _side(size: tf.Tensor, count: tf.Tensor, overlap: int) -> tf.Tensor:
    shortest = -(-(size + (count - 1) * overlap) // count)
    return tf.minimum(size, -(-shortest // STEP) * STEP)
