"""White noise in one plane, from the blocks of it that have the least structure.

A second difference in both directions (Immerkaer, "Fast noise variance estimation", CVIU 1996)
takes the image away where it is smooth. Its mean square in a block is the variance of the noise
plus that of the structure, so the blocks at the low end of their distribution tell the noise; how
far pure noise spreads there is known, and the mean of those below a threshold is corrected for it.
Where the noise is clipped at black or white its variance is smaller, by a factor that the mean of
the block tells.

`H, W` pixels. Everything is in grey levels of 0..255.
"""

import dataclasses

import cv2
import numpy as np
from scipy.special import ndtr

BLACK, WHITE = 0.0, 255.0

_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6)  # keeps the level of white noise
_CORRELATION = 35 / 18  # sum of squared autocorrelations of it, for the degrees of freedom
_AREAS = (256, 64)  # of a block in pixels; the smaller for images with too few of the larger
_MIN_BLOCKS = 16  # side by side
_MAX_BLOCKS = 40000  # overlapping; more would cost time and tell nothing new
_MAX_SATURATED = 0.5  # of a block
_MAX_CONSTANT = 0.5  # of a block without any difference: not a photograph, or a frame around it
_MAX_PIXELS = 4_000_000  # of larger images evenly spaced strips are looked at
_STRIP = 256  # rows
_LOWEST = 0.1  # share of blocks to start from
_MIN_FACTOR = 0.25  # blocks with less of the variance left by clipping are not used
_CLOSE = 1.0  # standard deviations above the noise up to which a block counts as free of structure
_ROUNDS = 20  # the first half finds where to start


@dataclasses.dataclass(frozen=True)
class PlaneNoise:
    """The noise of one plane.

    Attributes:
      sigma: standard deviation in grey levels.
      num_blocks: how many blocks could be used; 0 where the plane is too small for blocks.
      usable: share of the blocks that are neither saturated nor constant.
      constant: share of the blocks that are not saturated that is constant.
      smooth: share of the used blocks whose variance is that of the noise alone. Pure noise has
        0.84.
    """

    sigma: float
    num_blocks: int
    usable: float
    constant: float
    smooth: float


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Statistics of N blocks of C channels; arrays are float64 `[N, C]` unless said.

    Attributes:
      products: float64 `[N, C, C]`, mean products of the second differences of two channels.
      means: mean grey levels.
      saturated: share of black or white pixels.
      constant: share of pixels without a second difference.
      freedom: degrees of freedom of a variance in a block of white noise.
      limits: levels below and above which the noise is clipped.
    """

    products: np.ndarray
    means: np.ndarray
    saturated: np.ndarray
    constant: np.ndarray
    freedom: float
    limits: tuple[float, float]


def block_statistics(image: np.ndarray) -> Blocks | None:
    """Statistics of overlapping blocks; None where the image is too small for blocks.

    Args:
      image: float32 `[H, W, C]` in grey levels.
    """
    height, width = image.shape[:2]
    every = -(-height * width // _MAX_PIXELS)
    tops = range(0, height, every * _STRIP) if every > 1 else [0]
    strips = [image[top : top + _STRIP] if every > 1 else image for top in tops]
    statistics = (_strip_statistics(strip, _limits(image)) for strip in strips)
    found = [blocks for blocks in statistics if blocks is not None]
    if not found:
        return None
    return dataclasses.replace(
        found[0],
        products=np.concatenate([part.products for part in found]),
        means=np.concatenate([part.means for part in found]),
        saturated=np.concatenate([part.saturated for part in found]),
        constant=np.concatenate([part.constant for part in found]),
    )


def _strip_statistics(image: np.ndarray, limits: tuple[float, float]) -> Blocks | None:
    differences = second_differences(image)
    if differences is None:
        return None
    height, width = differences.shape[:2]
    area = next((a for a in _AREAS if height * width >= _MIN_BLOCKS * a), None)
    if area is None:
        return None
    rows = min(height, round(area**0.5))
    columns = min(width, max(round(area**0.5), area // rows))
    rows = min(height, max(rows, area // columns))
    top, left = ((a - b) // 2 for a, b in zip(image.shape[:2], (height, width), strict=True))
    inner = image[top : top + height, left : left + width]
    channels = range(image.shape[2])

    def block_means(values):
        step = max(1, round((rows * columns) ** 0.5 / 4))
        step = max(step, int(np.ceil((height * width / _MAX_BLOCKS) ** 0.5)))
        means = cv2.blur(values, (columns, rows), anchor=(0, 0), borderType=cv2.BORDER_REFLECT_101)
        return means[: height - rows + 1 : step, : width - columns + 1 : step].ravel()

    def by_channel(values):
        values = np.asarray(values, np.float32)
        return np.stack([block_means(values[..., c]) for c in channels], axis=-1).astype(float)

    pairs = [
        [block_means(differences[..., a] * differences[..., b]) for b in channels] for a in channels
    ]
    filtered = sum(side >= 3 for side in image.shape[:2])
    return Blocks(
        products=np.moveaxis(np.array(pairs, float), -1, 0),
        means=by_channel(inner),
        saturated=by_channel((inner <= limits[0]) | (inner >= limits[1])),
        constant=by_channel(differences == 0),
        freedom=rows * columns / _CORRELATION**filtered,
        limits=limits,
    )


def second_differences(image: np.ndarray) -> np.ndarray | None:
    """Second differences in the directions that have 3 pixels, float32 `[H - 2, W - 2, C]`.

    White noise keeps its level. None where no direction has 3 pixels.

    Args:
      image: float32 `[H, W, C]`.
    """
    down, right = (side >= 3 for side in image.shape[:2])
    if not (down or right):
        return None
    one = np.ones(1)
    along_rows, along_columns = (_DIFFERENCE if wanted else one for wanted in (right, down))
    found = cv2.sepFilter2D(image, cv2.CV_32F, along_rows, along_columns).reshape(image.shape)
    inside = [slice(1, -1) if wanted else slice(None) for wanted in (down, right)]
    return found[tuple(inside)]


def plane_noise(blocks: Blocks, axis: np.ndarray, rounding: float = 0.0) -> PlaneNoise:
    """The noise of a plane that is a sum of channels.

    Args:
      blocks: of the channels.
      axis: `[C]`, what each channel counts in the plane.
      rounding: the distance of two levels of the image; the noise of it is taken away.
    """
    axis = np.asarray(axis, float)
    flat = (blocks.constant == 1).all(axis=0)
    saturated = np.where(flat, 0, blocks.saturated)[:, axis != 0].max(axis=1)
    constant = blocks.constant[:, axis != 0].min(axis=1)
    unsaturated = saturated <= _MAX_SATURATED
    usable = unsaturated & (constant <= _MAX_CONSTANT)
    still = (unsaturated & ~usable).sum() / max(unsaturated.sum(), 1)
    if not usable.any():
        return PlaneNoise(0.0, 0, 0.0, float(still), 0.0)
    variances = np.maximum(np.einsum("nab,a,b->n", blocks.products[usable], axis, axis), 0)
    means = blocks.means[usable]

    def factors(sigma):
        found = [
            np.ones(len(means)) if flat[c] else _clipping_factor(means[:, c], sigma, blocks.limits)
            for c in range(len(axis))
        ]
        return np.stack(found, axis=-1) @ axis**2 / (axis @ axis)

    variance, smooth = _lowest_mode(variances, factors, blocks.freedom)
    sigma = max(variance - rounding**2 / 12 * (axis @ axis), 0) ** 0.5
    return PlaneNoise(float(sigma), int(usable.sum()), float(usable.mean()), float(still), smooth)


def _lowest_mode(variances: np.ndarray, factors, freedom: float) -> tuple[float, float]:
    """The variance of the noise, and the share of blocks that have no other.

    Cube roots of variances in blocks of noise are close to normal (Wilson and Hilferty 1931), with
    mean 1 - 2 / (9 freedom) and variance 2 / (9 freedom) in units of the root of the true one.

    Args:
      variances: `[N]` of the blocks.
      factors: gives for a sigma what clipping leaves of the variance, `[N]`.
      freedom: degrees of freedom of a block.
    """
    spread = (2 / (9 * freedom)) ** 0.5
    centre = 1 - spread**2
    density = np.exp(-(_CLOSE**2) / 2) / (2 * np.pi) ** 0.5 / ndtr(_CLOSE)
    roots = np.cbrt(variances)
    root = np.quantile(roots, _LOWEST) / (centre - 1.2816 * spread)  # of the normal
    close = np.ones(len(roots), bool)
    for round_number in range(_ROUNDS):
        if root <= 0:
            break
        factor = factors(root**1.5)
        known = factor > _MIN_FACTOR
        corrected = roots / np.cbrt(np.maximum(factor, _MIN_FACTOR))
        if round_number < _ROUNDS // 2:  # clipping hides noise from the start value too
            lowest = corrected[known] if known.any() else corrected
            root = np.quantile(lowest, _LOWEST) / (centre - 1.2816 * spread)
            continue
        close = known & (corrected < root * (centre + _CLOSE * spread))
        if not close.any():
            break
        root = corrected[close].mean() / (centre - density * spread)
    return float(max(root, 0) ** 3), float(close.mean())


def _clipping_factor(means: np.ndarray, sigma: float, limits: tuple[float, float]) -> np.ndarray:
    """The variance of clipped normal values whose mean is known, over sigma^2."""
    low, high = limits
    true_means = np.linspace(max(low, BLACK) - 3 * sigma, min(high, WHITE) + 3 * sigma, 513)
    below, above = (low - true_means) / sigma, (true_means - high) / sigma
    at_low, at_high = ndtr(below), ndtr(above)
    inside = 1 - at_low - at_high
    density_low, density_high = (np.exp(-(z**2) / 2) / (2 * np.pi) ** 0.5 for z in (below, above))
    # First and second moment of (value - true mean) / sigma.
    first = below * at_low - above * at_high + density_low - density_high
    second = below**2 * at_low + above**2 * at_high + inside
    second += below * density_low + above * density_high
    return np.interp(means, true_means + sigma * first, second - first**2)


def _limits(image: np.ndarray) -> tuple[float, float]:
    """Where the values are clipped; far away where none lies exactly there or some lie beyond."""
    low = BLACK if image.min() == BLACK else BLACK - 10 * WHITE
    high = WHITE if image.max() == WHITE else WHITE + 10 * WHITE
    return low, high
