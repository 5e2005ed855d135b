"""Correlation maps: what a pixel attends to in each state (paper, figure 4).

`H, W` pixels, `q` side of the window, `S` states with the non-local module.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path
from nlrn_tf.layers.similarity import similarity_of
from nlrn_tf.model import NLRN
from nlrn_tf.weights.rebuilding import rebuild

_DPI, _INCHES = 100, 1.3


@dataclasses.dataclass
class CorrelationMap:
    """The weights of one pixel.

    Attributes:
      pixel: its row and column.
      rows, columns: of the image, that its window has; int `[h]` and `[w]`, at most q of each.
      weights: float64 `[S, h, w]`. With softmax each state's sum to 1.
      attended: float64 `[S, M]`, the values of the window weighed by them.
      network: float64 `[S, M]`, what the network itself has attended to.
    """

    pixel: tuple[int, int]
    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    attended: np.ndarray
    network: np.ndarray


def correlation_maps(
    model: NLRN, image: np.ndarray, pixels: Sequence[tuple[int, int]]
) -> list[CorrelationMap]:
    """The weights of the attention of some pixels in each state.

    Args:
      model: a network with non-local modules, in any form; float32 is used.
      image: float `[H, W]`, [0, 1] plus noise; attention is that within this image.
      pixels: row and column of each.

    Raises:
      NLRNError: the network has no non-local module, or a pixel is not in the image.
    """
    config = dataclasses.replace(model.config, unroll=True, exact_propagation=True)
    if not config.non_local_every:
        raise NLRNError("the network has no non-local module, so no pixel attends to others")
    for row, column in pixels:
        if not (0 <= row < image.shape[0] and 0 <= column < image.shape[1]):
            height, width = image.shape
            raise NLRNError(f"pixel {row}:{column} is not in the image of {height} x {width}")
    observers = [_Observer(config, image.shape, pixel) for pixel in pixels]
    exact = rebuild(model, config)

    def observe(*arrays):
        arrays = [np.asarray(array)[0] for array in arrays]
        for observer in observers:
            observer.take(*arrays)

    module = exact.recurrent.non_local
    assert module is not None  # `non_local_every` was looked at above
    module.observer = observe
    exact(image[None, :, :, None].astype("float32"))
    return [observer.result() for observer in observers]


class _Observer:
    """Computes the weights of one pixel by their definition, state by state, in float64."""

    def __init__(self, config: NLRNConfig, shape: tuple[int, ...], pixel: tuple[int, int]):
        self._config = config
        self._normalization = similarity_of(config).normalization
        self._pixel = pixel
        self._rows, self._columns = (
            _window(place, length, config) for place, length in zip(pixel, shape, strict=True)
        )
        self._logits = np.zeros((len(self._rows), len(self._columns)))
        self._found: list[tuple] = []

    def take(self, queries, keys, values, attended):
        """Of one state, each `[H, W, .]`."""
        window = np.ix_(self._rows, self._columns)
        logits = keys[window].astype("float64") @ queries[self._pixel].astype("float64")
        self._logits = logits + (self._config.correlation_propagation * self._logits)
        if self._normalization == "softmax":
            weights = np.exp(self._logits - self._logits.max())
            weights /= weights.sum()
        else:
            weights = self._logits / self._logits.size
        product = np.einsum("hw,hwm->m", weights, values[window].astype("float64"))
        self._found.append((weights, product, attended[self._pixel].astype("float64")))

    def result(self) -> CorrelationMap:
        """The states that were taken."""
        arrays = (np.stack(column) for column in zip(*self._found, strict=True))
        return CorrelationMap(self._pixel, self._rows, self._columns, *arrays)


def _window(place: int, length: int, config: NLRNConfig) -> np.ndarray:
    """The rows or columns of the window of a pixel."""
    size = min(config.window_size, length)
    start = place - size // 2
    if config.window_border == "clamp":
        start = min(max(start, 0), length - size)
    return (start + np.arange(size)) % length


def save_maps(
    maps: Sequence[CorrelationMap],
    image: np.ndarray,
    folder: str | os.PathLike,
    truth: np.ndarray | None = None,
) -> tuple[Path, Path]:
    """Writes `maps.npz` and `maps.png`.

    The arrays of pixel number n in the first are `pixel_n`, `rows_n`, `columns_n` and `weights_n`.
    The second has a line for each pixel: its window in the image and in the truth, where that is
    given, then the weights of each state, black for 0 and white for the largest of the state.

    Args:
      maps: of the pixels, at least one.
      image: float `[H, W]`.
      folder: made where it is missing.
      truth: float `[H, W]` in [0, 1], the image without its degradation.

    Raises:
      NLRNError: the truth has another shape, matplotlib is missing, or a file cannot be written.
    """
    from nlrn_tf.studies.report import require_matplotlib

    require_matplotlib()
    if truth is not None and truth.shape != image.shape:
        shapes = (" x ".join(map(str, array.shape)) for array in (truth, image))
        raise NLRNError("the truth is {} pixels, the image {}".format(*shapes))
    arrays, picture = Path(folder) / "maps.npz", Path(folder) / "maps.png"
    with atomic_path(arrays) as temporary:
        np.savez(
            temporary,
            allow_pickle=False,
            **{
                f"{name}_{number}": np.asarray(getattr(found, name))
                for number, found in enumerate(maps)
                for name in ("pixel", "rows", "columns", "weights")
            },
        )
    _draw(maps, {"": image} if truth is None else {"": image, "truth": truth}, picture)
    return arrays, picture


def _draw(maps: Sequence[CorrelationMap], images: dict[str, np.ndarray], path: Path) -> None:
    from matplotlib.figure import Figure

    count = len(images) + len(maps[0].weights)
    size = (_INCHES * count, (_INCHES + 0.25) * len(maps))
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    panels = figure.subplots(len(maps), count, squeeze=False)
    for line, found in zip(panels, maps, strict=True):
        window = np.ix_(found.rows, found.columns)
        row, column = found.pixel
        place = (np.flatnonzero(found.columns == column), np.flatnonzero(found.rows == row))
        for axes, (title, image) in zip(line, images.items(), strict=False):
            axes.imshow(np.clip(image[window], 0, 1), cmap="gray", vmin=0, vmax=1)
            axes.plot(*place, "r+")
            axes.set_title(title or f"{row}:{column}", fontsize="small")
        of_states = zip(line[len(images) :], found.weights, strict=True)
        for number, (axes, weights) in enumerate(of_states):
            axes.imshow(weights, cmap="gray", vmin=min(0, weights.min()))
            axes.set_title(f"map {number + 1}", fontsize="small")
        for axes in line:
            axes.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
