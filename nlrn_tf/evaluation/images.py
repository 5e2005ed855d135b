"""The images of an evaluation, each true and degraded."""

import os
from pathlib import Path

import numpy as np

from nlrn_tf.datasets.benchmarks import check_names
from nlrn_tf.datasets.own import set_images, set_named
from nlrn_tf.evaluation.settings import EvaluationSettings


def chosen_images(settings: EvaluationSettings, data_dir: str | os.PathLike) -> dict[int, Path]:
    """The images to score, each with its position in the whole set, the seed of its noise.

    Raises:
      NLRNError: the set is missing or incomplete, or lacks an image that is asked for.
    """
    paths = dict(enumerate(set_images(settings.dataset, data_dir, settings.max_images)))
    if not settings.images:
        return paths
    check_names("images=", settings.images, settings.dataset, paths.values())
    return {k: path for k, path in paths.items() if path.stem in settings.images}


def degraded_pair(
    settings: EvaluationSettings, path: str | os.PathLike, index: int
) -> tuple[np.ndarray, np.ndarray]:
    """The true and the degraded image of an evaluation, see `Task.pair` and `Task.given_pair`.

    Args:
      settings: of the evaluation.
      path: of the image file.
      index: its position in the whole set.

    Returns:
      uint8 `[H, W]` and float32 `[H, W]` in [0, 1], or RGB `[H, W, 3]`.
    """
    task, pairs = settings.of_task, set_named(settings.dataset).pairs
    if pairs:
        degraded = pairs[Path(path)]
        return task.given_pair(path, degraded, in_colour=settings.in_colour, **settings.degradation)
    pair = task.colour_pair if settings.in_colour else task.pair
    return pair(path, index, **settings.degradation)
