"""How long restoring takes, told before it begins.

Seconds are the pixels that the networks take, where tiles overlap, views and planes count each,
times the seconds for a pixel of a first small measurement. What is done besides is left out.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from nlrn_tf.imaging.headers import read_shape
from nlrn_tf.imaging.photo_files import num_pictures
from nlrn_tf.progress import ImageProgress
from nlrn_tf.restoration.inference import Model, apply_model
from nlrn_tf.restoration.planes import pixels_in_patches, pixels_in_tiles
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.weights.level_choice import FULL, LITE, family_of

Shape = tuple[int, int, int]  # height, width, and channels without alpha: 1 or 3
Clock = Callable[[], float]

# In seconds. Shorter work is not told of, and only for longer work something faster is named.
SHORT, LONG = 20, 300

# What is faster than packaged weights or a family of them, and nearly as good; how many times.
_FASTER = {FULL: (LITE, "6"), "sr": ("sr_lite", "tens of")}

# Sides of what is measured, in pixels: at first, and at most where that took so little time that a
# larger piece takes about MEASURED_SECONDS.
_FIRST, _LARGEST = 48, 448
MEASURED_SECONDS = 0.4

# Each of the two measurements is at most this part of the work, with the run before it that makes
# the network ready for the size. Less work is not measured.
_PART = 1 / 12
LEAST_PIXELS = round(2 * _FIRST**2 / _PART)


def _seconds() -> float:
    return time.perf_counter()


class Choice(Protocol):
    """What `RestorationSettings` and `EvaluationSettings` have in common."""

    @property
    def network(self) -> str: ...
    @property
    def self_ensemble(self) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Expected:
    """What images cost.

    Attributes:
      costs: of each image, in seconds where `in_seconds`, else in pixels of the networks.
      in_seconds: whether a network was measured.
    """

    costs: list[float]
    in_seconds: bool

    @property
    def seconds(self) -> float:
        """Of all images; 0 where they were too few to measure."""
        return sum(self.costs) if self.in_seconds else 0.0


def expected(
    jobs: Sequence[tuple[Restorer | None, Sequence[Shape | None]]],
    clock: Clock = _seconds,
) -> list[Expected]:
    """What the images of each job cost.

    Where all are more than `LEAST_PIXELS`, the networks are measured, each for about a second.

    Args:
      jobs: restorers and the images that they get, enlarged ones as large as they become; None
        restores in no time. The shape None of an image counts as the mean of the others.
      clock: in seconds.
    """
    work = [
        [_work(restorer, shape) if restorer and shape else [] for shape in shapes]
        for restorer, shapes in jobs
    ]
    total = sum(pixels for images in work for image in images for _, pixels in image)
    in_seconds = total >= LEAST_PIXELS
    found: dict[int, float] = {}  # seconds for a pixel by the identity of the network

    def cost(restorer, image):
        for model, _ in image:
            if in_seconds and id(model) not in found:
                found[id(model)] = seconds_for_a_pixel(_run(restorer, model), total, clock)
        return sum(pixels * found.get(id(model), 1.0) for model, pixels in image)

    results = []
    for (restorer, shapes), images in zip(jobs, work, strict=True):
        costs = [cost(restorer, image) for image in images]
        known = [each for each, shape in zip(costs, shapes, strict=True) if shape]
        mean = sum(known) / len(known) if known else 0.0
        costs = [each if shape else mean for each, shape in zip(costs, shapes, strict=True)]
        results.append(Expected(costs, in_seconds))
    return results


def seconds_for_a_pixel(run: Callable[[int], int], work: float, clock: Clock = _seconds) -> float:
    """Measures a network once it is warm.

    Args:
      run: runs it on a square of a side and returns the number of pixels that it took.
      work: pixels that the network is going to take.
      clock: in seconds.
    """

    def measured(side):
        run(side)
        start = clock()
        pixels = run(side)
        return (clock() - start) / pixels

    rate = measured(_FIRST)
    quick = math.sqrt(MEASURED_SECONDS / max(rate, 1e-9))
    larger = int(min(quick, math.sqrt(_PART * work / 2), _LARGEST))
    return measured(larger) if larger >= 1.5 * _FIRST else rate


def told(shapes: Sequence[Shape | None], seconds: float, faster: Sequence[str]) -> str | None:
    """The line that tells how long work takes; None where that is short.

    Args:
      shapes: of the images.
      seconds: that they take.
      faster: what would be faster, told where the work is long.
    """
    if seconds < SHORT:
        return None
    millions = sum(shape[0] * shape[1] for shape in shapes if shape) / 1e6
    size = f"{millions:.{1 if millions >= 1 else 2}f} megapixels"
    line = f"{_counted(len(shapes), 'image')}, {size}: about {in_words(seconds)} on this machine"
    return f"{line}. Faster: {'; '.join(faster)}" if faster and seconds >= LONG else line


def in_words(seconds: float) -> str:
    """A duration, as exact as an estimate is."""
    if seconds < 105:
        return f"{10 * round(seconds / 10)} seconds"
    minutes = round(seconds / 60)
    if minutes < 60:
        return _counted(minutes, "minute")
    minutes = 10 * round(seconds / 600)
    if minutes < 600:
        hours, minutes = divmod(minutes, 60)
        return _counted(hours, "hour") + (f" {minutes} minutes" if minutes else "")
    hours = round(seconds / 3600)
    return _counted(hours, "hour") if hours < 48 else _counted(round(hours / 24), "day")


def faster_choices(settings: Choice, channels: int, chosen: str | None = None) -> list[str]:
    """The flags that would make restoring faster.

    Args:
      settings: what is asked for.
      channels: of the images, 1 or 3.
      chosen: the packaged weights that were taken, where the settings leave that open.
    """
    choices = []
    if settings.self_ensemble:
        choices.append("without --self_ensemble (8 times as fast)")
    if getattr(settings, "protocol", "full") == "patches":
        choices.append("--protocol=full (tens of times as fast)")
    chosen = chosen or settings.network
    for network in (chosen, family_of(chosen)):
        if network in _FASTER:
            faster, times = _FASTER[network]
            # Chroma is denoised by the faster one already.
            shown = f" ({times} times as fast)" if channels == 1 or network != FULL else ""
            choices.append(f"--weights={faster}{shown}")
    return choices


class Forecast:
    """Tells of image files how long they take, when the first restorer is known.

    Args:
      sources: the files.
      settings: what is asked for, where it is; for what would be faster.
      say: gets the lines.
    """

    def __init__(
        self, sources: Sequence[Path], settings: Choice | None, say: Callable[[str], None]
    ):
        self._sources = sources
        self._settings = settings
        self._say = say
        self._held: list[str] | None = []

    def say(self, line: str) -> None:
        """Passes a line on, after that of the forecast."""
        if self._held is None:
            self._say(line)
        else:
            self._held.append(line)

    def tell(
        self, restorer: object, pixels: np.ndarray, progress: ImageProgress, pictures: int = 1
    ) -> None:
        """Tells once, where the restorer has work to do.

        Args:
          restorer: of the image whose turn it is; the others are expected to get one like it.
          pixels: `[H, W, ...]` of this image.
          progress: gets the costs.
          pictures: how many like it the file has, whose turn it is.
        """
        if self._held is None:
            return
        lines = self._held
        if isinstance(restorer, Restorer) and restorer.models(1):
            self._held = None
            shapes = [_all_pages(source) for source in self._sources]
            if len(shapes) == 1:  # it is known, even where the header does not tell
                height, width = pixels.shape[:2]
                shapes = [(height * pictures, width, 3 if pixels.shape[2:] > (2,) else 1)]
            [found] = expected([(restorer, [_enlarged(shape, restorer) for shape in shapes])])
            progress.expect(found.costs, in_seconds=found.in_seconds)
            channels = max((shape[2] for shape in shapes if shape), default=1)
            chosen = getattr(restorer.model, "packaged_name", None)
            faster = faster_choices(self._settings, channels, chosen) if self._settings else []
            line = told(shapes, found.seconds, faster)
            lines = [line, *lines] if line else lines
        else:
            self._held = []
        for line in lines:
            self._say(line)


def _all_pages(source: Path) -> Shape | None:
    """The shape of an image, or of all pages of a file one below the other."""
    shape = read_shape(source)
    return shape and (shape[0] * num_pictures(source), *shape[1:])


def _enlarged(shape: Shape | None, restorer: Restorer) -> Shape | None:
    if shape is None or restorer.scale is None:
        return shape
    height, width = (math.ceil(side * restorer.scale) for side in shape[:2])
    return height, width, shape[2]


def _work(restorer: Restorer, shape: Shape) -> list[tuple[Model, int]]:
    """The pixels that each network takes of an image, as often as it takes a plane."""
    height, width, channels = shape
    if restorer.network_scale is not None and restorer.scale is not None:
        height, width = (math.ceil(side / restorer.scale) for side in (height, width))
    views = 4 * [(height, width), (width, height)] if restorer.self_ensemble else [(height, width)]

    def pixels(model, view):
        if restorer.protocol == "patches":
            return pixels_in_patches(view, restorer.patch_size, restorer.stride)
        return pixels_in_tiles(model, view, restorer.tile_size, restorer.overlap)

    models = restorer.models(channels)
    return [(model, sum(pixels(model, view) for view in views)) for model in models]


def _run(restorer: Restorer, model: Model) -> Callable[[int], int]:
    """Runs a network as the restorer does, on as many pixels as a square of a side has."""
    draws = np.random.default_rng(0)

    def run(side: int) -> int:
        is_patches = restorer.protocol == "patches"
        patch = restorer.patch_size
        shape = (math.ceil(side**2 / patch**2), patch, patch) if is_patches else (1, side, side)
        pixels = draws.random((*shape, 1), np.float32)
        apply_model(model, pixels, one_size=is_patches, scale=restorer.network_scale)
        return math.prod(shape)

    return run


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'s' * (count != 1)}"
