"""The picture of crops before and after restoration, beside the truth."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlrn_tf.datasets import location
from nlrn_tf.datasets.benchmarks import benchmark_images, check_names
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.images import degraded_pair
from nlrn_tf.evaluation.settings import NETWORK, EvaluationSettings
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.imaging.montage import comparison
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.restoration.inference import Model

_PANEL = 256  # pixels a side that a crop is enlarged to, about
_GAP = 8


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square of an image of a benchmark.

    Attributes:
      image: name without suffix.
      y, x: of its upper left corner, in pixels.
      size: of its side.
    """

    image: str
    y: int
    x: int
    size: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The square of `[H, W]`.

        Raises:
          NLRNError: it is not inside.
        """
        height, width = pixels.shape
        inside = 0 <= self.y <= height - self.size and 0 <= self.x <= width - self.size
        if not inside or self.size < 1:
            raise NLRNError(
                f"crop {self.y},{self.x},{self.size}: is not inside {self.image}, "
                f"{width} x {height} pixels"
            )
        return pixels[self.y : self.y + self.size, self.x : self.x + self.size]


def compare_crops(
    settings: EvaluationSettings,
    crops: Sequence[Crop],
    output: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    model: Model | None = None,
) -> None:
    """Draws a row for each crop: noisy or bicubic, restored by the network, truth.

    The pixels are those that an evaluation scores, the grey image or Y, repeated to enlarge them.
    Above them is the PSNR of the whole image.

    Args:
      settings: of the evaluation; its `images` and `max_images` do not count.
      crops: at least one.
      output: image file.
      data_dir, model: see `nlrn_tf.evaluation.evaluate.evaluate_all`.

    Raises:
      NLRNError: no crop, or one outside its image, and as for `evaluate_all`.
    """
    if not crops:
        raise NLRNError("no crop: give at least one")
    data_dir = location.data_dir(data_dir)
    paths = benchmark_images(settings.dataset, data_dir)
    places = {path.stem: (path, index) for index, path in enumerate(paths)}
    names = tuple(dict.fromkeys(crop.image for crop in crops))
    settings = dataclasses.replace(settings, images=names, max_images=None)
    check_names("image ", names, settings.dataset, paths)
    pairs = {name: degraded_pair(settings, *places[name]) for name in names}
    for crop in crops:
        crop.of(pairs[crop.image][0])  # a wrong one is reported before the work
    with tempfile.TemporaryDirectory() as folder:
        result = evaluate(settings, data_dir=data_dir, model=model, output_dir=folder)
        restored = {name: read_image(Path(folder) / f"{name}.png") for name in names}
    scores = {Path(image["name"]).stem: image for image in result["images"]}
    rows = []
    for crop in crops:
        truth, degraded = pairs[crop.image]
        score = scores[crop.image]
        before = settings.of_task.input_image(degraded, **settings.degradation)
        panels = {f"{settings.of_task.input_name} {score['input_psnr']:.2f} dB": to_uint8(before)}
        if settings.method == NETWORK:
            name = Path(settings.weights).stem
            panels[f"{name} {score['psnr']:.2f} dB"] = restored[crop.image]
        panels[f"truth ({crop.image})"] = truth
        rows.append(comparison({key: _enlarged(crop, image) for key, image in panels.items()}))
    write_image(output, _stacked(rows))


def _enlarged(crop: Crop, image: np.ndarray) -> np.ndarray:
    times = max(1, round(_PANEL / crop.size))
    return crop.of(image).repeat(times, axis=0).repeat(times, axis=1)


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of any width below each other, on white."""
    width = max(row.shape[1] for row in rows)
    white = {"mode": "constant", "constant_values": 255}
    padded = [np.pad(row, ((0, _GAP), (0, width - row.shape[1])), **white) for row in rows]
    return np.vstack(padded)[:-_GAP]
