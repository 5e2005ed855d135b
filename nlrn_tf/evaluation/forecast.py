"""How long an evaluation takes, told before it begins."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.headers import read_shape
from nlrn_tf.restoration.duration import Expected, expected, faster_choices, told
from nlrn_tf.restoration.restorer import Restorer


def forecast(
    all_settings: Sequence[EvaluationSettings],
    restorers: Sequence[Restorer | None],
    images: Sequence[Mapping[int, Path]],
    console: Console,
) -> list[Expected]:
    """Tells how long evaluations take together, where that is not short.

    Args:
      all_settings: of the evaluations.
      restorers: what each restores with; None for a method that is no network, whose images take
        no time.
      images: that each has to restore.
      console: gets the line.

    Returns:
      What the images of each cost, in order.
    """
    settings = all_settings[0]
    channels = 3 if settings.in_colour else 1
    shapes = [
        [(*shape[:2], channels) if shape else None for shape in map(read_shape, paths.values())]
        for paths in images
    ]
    costs = expected(list(zip(restorers, shapes, strict=True)))
    faster = faster_choices(settings, channels)
    if not settings.images and settings.max_images is None:
        faster.append("--images or --max_images for a part of the set")
    seconds = sum(each.seconds for each in costs)
    line = told(list(itertools.chain(*shapes)), seconds, faster)
    if line is not None:
        console.print(line, soft_wrap=True)
    return costs
