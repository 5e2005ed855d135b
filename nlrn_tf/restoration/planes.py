"""One plane of an image restored: whole, in tiles, in patches, as an ensemble.

`B` batch, `H, W` pixels. A `model` is a callable on float32 `[B, H, W, 1]` in [0, 1] that returns
the same shape, such as `NLRN`. One with `upsample` "after" enlarges by a `scale`.
"""

import math
from collections.abc import Callable

import numpy as np

from nlrn_tf import machine
from nlrn_tf.errors import NLRNError
from nlrn_tf.layers.propagation import logits_kept
from nlrn_tf.model import NLRN
from nlrn_tf.restoration.inference import Model, apply_model
from nlrn_tf.restoration.tiling import positions, tile_shape, tile_weights

PlaneFunction = Callable[[np.ndarray], np.ndarray]

# Measured with the released sigma-15 network: within the overlap, tiles then differ from the whole
# image by 0.12 grey levels (RMS; at most 1.4), less than rounding to 8 bits does. An overlap of 32
# gives 0.43, 48 gives 0.22, 80 gives 0.08; 64 costs 20 % more work at 1024 x 1024.
OVERLAP = 64

PATCHES_AT_A_TIME = 16

_STEP = 64  # of the default size of tiles, in pixels

# For a tile; what larger tiles save in overlap is worth the memory of a machine that has it.
SMALLEST_MEMORY, LARGEST_MEMORY = 3 * 2**30, int(4.5 * 2**30)


def tile_memory() -> int:
    """The bytes that a tile may take here: a fifth of all, between 3 and 4.5 GiB."""
    return min(max(machine.memory() // 5, SMALLEST_MEMORY), LARGEST_MEMORY)


def default_tile_size(model: Model, memory: int | None = None) -> int:
    """Side of a square piece that the network of the paper restores within `memory` bytes.

    By default these are `tile_memory`.

    It takes about 5.5 KB a pixel in bfloat16 and twice as much in float32; where the kernel of the
    attention keeps the logits of a window, these and 6 KB.
    """
    dtype = getattr(model, "compute_dtype", "float32")
    logits = logits_kept(model.config, dtype) if isinstance(model, NLRN) else 0
    per_pixel = 5632 if dtype != "float32" else 11264
    if logits:
        per_pixel = 4 * logits + 6144
    memory = tile_memory() if memory is None else memory
    return math.isqrt(memory // per_pixel) // _STEP * _STEP


def predict(
    model: Model,
    image: np.ndarray,
    tile_size: int | None = None,
    overlap: int | None = None,
    *,
    scale: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Runs the model on an image of any size in bounded memory.

    An image of at most `tile_size ** 2` pixels is restored in one piece, a larger one in tiles
    that overlap and are blended. The tiles of an image have one shape, at most so large.

    Args:
      model: see the head of this module.
      image: float `[H, W]`, finite; [0, 1] plus noise.
      tile_size: side of the largest square tile in pixels; by default `default_tile_size`.
      overlap: pixels shared by neighbouring tiles, below `tile_size`; by default 64, at most a
        quarter of `tile_size`.
      scale: of a model that enlarges, see `inference.apply_model`.
      on_progress: called after each tile with the fraction of the image that it was.

    Returns:
      float32 `[H, W]`, times `scale`; not clipped.

    Raises:
      NLRNError: a wrong argument, a value that is not finite in the image or in the result, or a
        piece that does not fit into the memory of the accelerator.
    """
    image = _checked_plane(image)
    tile_size, overlap = _checked_tiling(
        default_tile_size(model) if tile_size is None else tile_size, overlap
    )
    height, width = image.shape
    tile_height, tile_width = tile_shape(height, width, tile_size, overlap)
    rows = tile_weights(height, tile_height, overlap)
    columns = tile_weights(width, tile_width, overlap)
    times = scale or 1
    restored = np.zeros((times * height, times * width), np.float32)
    for row, row_weights in rows:
        for column, column_weights in columns:
            tile = apply_model(model, image[None, row, column, None], scale=scale)[0, ..., 0]
            weights = row_weights[:, None] * column_weights
            place = _times(row, times), _times(column, times)
            restored[place] += weights.repeat(times, axis=0).repeat(times, axis=1) * tile
            if on_progress is not None:
                on_progress(1 / (len(rows) * len(columns)))
    return restored


def predict_patches(
    model: Model,
    image: np.ndarray,
    patch_size: int = 45,
    stride: int = 7,
    batch_size: int = PATCHES_AT_A_TIME,
    scale: int | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Restores all overlapping patches and averages them: the protocol of the original release.

    Attention is dense within a patch when the window of the model is not smaller than it.

    Args:
      model: see the head of this module.
      image: float `[H, W]`, finite; [0, 1] plus noise.
      patch_size: side of the patches in pixels; a shorter side of the image is taken whole.
      stride: pixels between patches, at most `patch_size`; the last ones end at the border.
      batch_size: patches restored at a time.
      scale: of a model that enlarges, see `inference.apply_model`.
      on_progress: called after each batch with the fraction of the patches that it was.

    Returns:
      float32 `[H, W]`, times `scale`; not clipped.

    Raises:
      NLRNError: as for `predict`.
    """
    image = _checked_plane(image)
    if not 1 <= stride <= patch_size or batch_size < 1:
        raise NLRNError(
            f"patch_size {patch_size}, stride {stride}, batch_size {batch_size}: "
            "must be 1 <= stride <= patch_size and batch_size >= 1"
        )
    height, width = (min(patch_size, side) for side in image.shape)
    corners = [
        (y, x)
        for y in positions(image.shape[0], height, stride)
        for x in positions(image.shape[1], width, stride)
    ]
    times = scale or 1
    size = [times * side for side in image.shape]
    total, count = np.zeros(size), np.zeros(size)
    batch = np.zeros((min(batch_size, len(corners)), height, width, 1), np.float32)
    for first in range(0, len(corners), len(batch)):
        chunk = corners[first : first + len(batch)]
        for patch, (y, x) in zip(batch, chunk, strict=False):  # the last chunk may be shorter
            patch[..., 0] = image[y : y + height, x : x + width]
        restored = apply_model(model, batch, one_size=True, scale=scale)
        for patch, (y, x) in zip(restored, chunk, strict=False):
            place = _times(slice(y, y + height), times), _times(slice(x, x + width), times)
            total[place] += patch[..., 0]
            count[place] += 1
        if on_progress is not None:
            on_progress(len(chunk) / len(corners))
    return (total / count).astype(np.float32)


def pixels_in_tiles(
    model: Model, shape: tuple[int, int], tile_size: int | None = None, overlap: int | None = None
) -> int:
    """How many pixels the model takes in `predict` of an image `[H, W]`: overlaps count again."""
    tile_size, overlap = _checked_tiling(
        default_tile_size(model) if tile_size is None else tile_size, overlap
    )
    counts = [
        len(positions(side, tile, max(tile - overlap, 1))) * tile
        for side, tile in zip(shape, tile_shape(*shape, tile_size, overlap), strict=True)
    ]
    return math.prod(counts)


def pixels_in_patches(
    shape: tuple[int, int], patch_size: int, stride: int, batch_size: int = PATCHES_AT_A_TIME
) -> int:
    """How many pixels a model takes in `predict_patches` of an image `[H, W]`."""
    height, width = (min(patch_size, side) for side in shape)
    count = len(positions(shape[0], height, stride)) * len(positions(shape[1], width, stride))
    batch_size = min(batch_size, count)
    return math.ceil(count / batch_size) * batch_size * height * width  # the last one is filled up


def self_ensemble(predict_function: PlaneFunction, image: np.ndarray) -> np.ndarray:
    """The mean over the 8 flips and rotations of the image ("MV" in the tables of the paper).

    Args:
      predict_function: takes float32 `[H, W]`, in both orientations, and returns the same shape or
        all of a larger one.
      image: float32 `[H, W]`.

    Returns:
      float32, what `predict_function` returns.
    """
    total: np.ndarray | float = 0.0
    for flipped in (False, True):
        for turns in range(4):
            view = np.rot90(image[:, ::-1] if flipped else image, turns)
            restored = np.rot90(predict_function(np.ascontiguousarray(view)), -turns)
            restored = restored.astype(np.float64)
            total = total + (restored[:, ::-1] if flipped else restored)
    return np.asarray(total / 8, np.float32)


def _times(part: slice, scale: int) -> slice:
    return slice(scale * part.start, scale * part.stop)


def _checked_plane(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 2 or not np.issubdtype(image.dtype, np.floating) or image.size == 0:
        raise NLRNError(
            f"image is {image.dtype} {image.shape}; expected a float image [H, W] in [0, 1]"
        )
    if not np.isfinite(image).all():
        raise NLRNError("image has values that are not finite (NaN or Inf)")
    return image.astype(np.float32)


def _checked_tiling(tile_size: int, overlap: int | None) -> tuple[int, int]:
    overlap = min(OVERLAP, tile_size // 4) if overlap is None else overlap
    if not 0 <= overlap < tile_size:
        raise NLRNError(
            f"tile_size {tile_size}, overlap {overlap}: must be 0 <= overlap < tile_size"
        )
    return tile_size, overlap
