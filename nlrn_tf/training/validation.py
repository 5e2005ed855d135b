"""Validation during training: the benchmarks' protocol on images held out of the training set."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import find_image
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.model import NLRN
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.training.settings import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Sample:
    """A held-out image.

    Attributes:
      name: for the log.
      clean: uint8 `[H, W]`.
      degraded: float32 in [0, 1], see `Task.pair`.
      before: the same at the size of the clean one, float32 `[H, W]`.
      border: pixels at each edge that the score leaves out.
      scale: by which `degraded` is to be enlarged; None where it is not.
    """

    name: str
    clean: np.ndarray
    degraded: np.ndarray
    before: np.ndarray
    border: int
    scale: int | None = None


def validation_samples(config: TrainingConfig, data_dir: str | os.PathLike) -> list[Sample]:
    """The images of `config.validation_images`, degraded by the fixed protocols.

    `validation_crop` > 0 keeps the centre of each, of that side or the next smaller one that the
    scale divides. Where training mixes degradations each image appears once for each
    (`Task.variants`).

    Raises:
      NLRNError: an image is missing or cannot be read.
    """
    task = task_named(config.task)
    variants = task.variants(config)
    samples = []
    for index, name in enumerate(config.validation_images):
        try:
            path = find_image(data_dir, name)
        except NLRNError as error:
            raise NLRNError(f"validation_images: {error}") from error
        for degradation in variants:
            clean, degraded = task.pair(path, index, **degradation)
            label = name if len(variants) == 1 else f"{name} {task.describe(**degradation)}"
            scale = len(clean) // len(degraded) if task.enlarges else None
            clean, degraded = _cropped(clean, degraded, config.validation_crop)
            before = task.input_image(degraded, **degradation)
            border = task.border(**degradation)
            samples.append(Sample(label, clean, degraded, before, border, scale))
    return samples


def validate(
    model: NLRN, samples: list[Sample], on_progress: Callable[[float], None] = lambda _: None
) -> tuple[float, list[np.ndarray]]:
    """Mean PSNR in dB over `samples`, and the restored images (uint8 `[H, W]`).

    `on_progress` is called now and then with the number of images that are done.
    """
    restored: list[np.ndarray] = []
    for number, sample in enumerate(samples):
        on_progress(number)
        restored.append(to_uint8(Restorer(model, scale=sample.scale).plane(sample.degraded)))
    on_progress(len(samples))
    scores = [
        psnr(sample.clean, image, sample.border)
        for sample, image in zip(samples, restored, strict=True)
    ]
    return float(np.mean(scores)), restored


def _cropped(clean: np.ndarray, degraded: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The centres of a pair, of a side in pixels of the clean image; all of it for 0."""
    if not side:
        return clean, degraded
    scale = len(clean) // len(degraded)
    size = max(side // scale, 1)
    top, left = (max(0, (length - size) // 2) for length in degraded.shape)
    return (
        clean[scale * top : scale * (top + size), scale * left : scale * (left + size)],
        degraded[top : top + size, left : left + size],
    )
