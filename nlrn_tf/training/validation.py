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
from nlrn_tf.restoration.planes import predict
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.training.settings import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Sample:
    """A held-out image: `clean` uint8, `degraded` float32 in [0, 1], both `[H, W]`."""

    name: str
    clean: np.ndarray
    degraded: np.ndarray
    border: int


def validation_samples(config: TrainingConfig, data_dir: str | os.PathLike) -> list[Sample]:
    """The images of `config.validation_images`, degraded by the fixed protocols.

    `validation_crop` > 0 keeps the centre of each, of that side. Where training mixes degradations
    each image appears once for each (`Task.variants`).

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
            border = task.border(**degradation)
            samples.append(_sample(label, clean, degraded, border, config.validation_crop))
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
        restored.append(to_uint8(predict(model, sample.degraded)))
    on_progress(len(samples))
    scores = [
        psnr(sample.clean, image, sample.border)
        for sample, image in zip(samples, restored, strict=True)
    ]
    return float(np.mean(scores)), restored


def _sample(name, clean, degraded, border, crop) -> Sample:
    if crop:
        top, left = (max(0, (size - crop) // 2) for size in clean.shape)
        clean = clean[top : top + crop, left : left + crop]
        degraded = degraded[top : top + crop, left : left + crop]
    return Sample(name, clean, degraded, border)
