"""Cutting an image into equal tiles and blending them again without seams.

The tiles of an image have one shape, and neighbours share at least `overlap` pixels. A pixel near
the border of a tile is not restored as in the whole image (zero padding, attention windows pushed
inwards). So each tile throws away the outer part of the overlap and fades in over the rest.
"""

import numpy as np

# The part of the overlap that a tile throws away at its border. Its neighbour throws away the same
# on the other side; they fade into each other over what is left between. A quarter measured best
# for an overlap of 64 (`restoration.OVERLAP`).
THROWN_AWAY = 1 / 4

# Sides of tiles are multiples of this many pixels where that is possible: the network attends in
# blocks of 16 x 16 pixels, and would have to fill up those at the border.
STEP = 16


def tile_shape(height: int, width: int, tile_size: int, overlap: int) -> tuple[int, int]:
    """The shape of at most `tile_size ** 2` pixels that covers an image with the least work.

    Args:
      height, width: of the image, at least 1.
      tile_size: side of the largest square tile; above `overlap`.
      overlap: pixels that neighbours share at least.

    Returns:
      Height and width of the tiles; those of the image when it is small enough.
    """
    if height * width <= tile_size**2:
        return height, width
    candidates = _tile_shapes(height, width, tile_size, overlap, STEP)
    candidates = candidates or _tile_shapes(height, width, tile_size, overlap, 1)
    # Of equal ones the narrowest: the attention lays out the keys of whole rows.
    return min(candidates, key=lambda candidate: (candidate[0], -candidate[1]))[1:]


def positions(size: int, length: int, stride: int) -> list[int]:
    """Starts of pieces of `length` every `stride` pixels; the last is shifted to end at `size`."""
    return [*range(0, size - length, stride), size - length]


def tile_weights(size: int, tile: int, overlap: int) -> list[tuple[slice, np.ndarray]]:
    """The tiles along a side of `size` pixels, with their blending weights.

    Args:
      size: length of the side, in pixels.
      tile: length of the tiles, at most `size`; above `overlap` where it is not `size`.
      overlap: pixels that neighbours share at least.

    Returns:
      For each tile its slice of the side and its weights, float32 `[tile]`. The weights of the
      tiles that cover a pixel sum to one.
    """
    starts = positions(size, tile, max(tile - overlap, 1))
    thrown_away = int(overlap * THROWN_AWAY)
    distance = np.arange(1, tile + 1)  # from the pixel before the tile
    fade = np.clip((distance - thrown_away) / (overlap - 2 * thrown_away + 1), 0, 1)
    weights = np.ones((len(starts), tile))
    weights[1:] *= fade
    weights[:-1] *= fade[::-1]
    slices = [slice(start, start + tile) for start in starts]
    total = np.zeros(size)
    for part, weight in zip(slices, weights, strict=True):
        total[part] += weight
    return [
        (part, (weight / total[part]).astype(np.float32))
        for part, weight in zip(slices, weights, strict=True)
    ]


def _tile_shapes(
    height: int, width: int, tile_size: int, overlap: int, step: int
) -> list[tuple[int, int, int]]:
    """The tiles that cover an image: the pixels of all of them, and the height and width of one."""
    shapes = []
    for rows in range(1, _count(height, tile_size, overlap) + 1):
        tile_height = _side(height, rows, overlap, step)
        longest = tile_size**2 // tile_height // step * step
        if longest > overlap:
            columns = _count(width, longest, overlap)
            tile_width = _side(width, columns, overlap, step)
            shapes.append((rows * columns * tile_height * tile_width, tile_height, tile_width))
    return shapes


def _count(size: int, tile: int, overlap: int) -> int:
    """How many tiles cover `size` when neighbours share at least `overlap`."""
    return 1 if size <= tile else -(-(size - overlap) // (tile - overlap))


def _side(size: int, count: int, overlap: int, step: int) -> int:
    """The shortest tile of which `count` cover `size` when neighbours share at least `overlap`.

    It is a multiple of `step`, or `size`.
    """
    shortest = -(-(size + (count - 1) * overlap) // count)
    return min(size, -(-shortest // step) * step)
