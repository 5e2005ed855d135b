"""Validation during training: the benchmarks' protocol on images held out of the training set."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from nlrn_tf.datasets.benchmarks import denoising_pair, sr_pair
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import IMAGE_SUFFIXES, to_uint8
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.model import NLRN
from nlrn_tf.restoration.restorer import predict
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

    `validation_crop` > 0 keeps the centre of each, of that side. In super-resolution each image
    appears once for each scale.

    Raises:
      NLRNError: an image is missing or cannot be read.
    """
    samples = []
    for index, name in enumerate(config.validation_images):
        path = _find(Path(data_dir), name)
        if config.task == "denoise":
            clean, degraded = denoising_pair(path, index, config.noise_sigma)
            samples.append(_sample(name, clean, degraded, 0, config.validation_crop))
        else:
            for scale in config.scales:
                clean, degraded = sr_pair(path, scale)
                label = f"{name} x{scale}"
                samples.append(_sample(label, clean, degraded, scale, config.validation_crop))
    return samples


def validate(model: NLRN, samples: list[Sample]) -> tuple[float, list[np.ndarray]]:
    """Mean PSNR in dB over `samples`, and the restored images (uint8 `[H, W]`)."""
    restored = [to_uint8(predict(model, sample.degraded)) for sample in samples]
    scores = [
        psnr(sample.clean, image, sample.border)
        for sample, image in zip(samples, restored, strict=True)
    ]
    return float(np.mean(scores)), restored


def _find(data_dir: Path, name: str) -> Path:
    for suffix in IMAGE_SUFFIXES:
        path = data_dir / f"{name}{suffix}"
        if path.is_file():
            return path
    raise NLRNError(f"--validation_images: no image {data_dir / name} (.png, .jpg, ...)")


def _sample(name, clean, degraded, border, crop) -> Sample:
    if crop:
        top, left = (max(0, (size - crop) // 2) for size in clean.shape)
        clean = clean[top : top + crop, left : left + crop]
        degraded = degraded[top : top + crop, left : left + crop]
    return Sample(name, clean, degraded, border)
