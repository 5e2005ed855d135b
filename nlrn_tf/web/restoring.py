"""One image that a visitor has brought: the same as `run_restore.py` does, in the page's words."""

import dataclasses
import functools
import os
import sys
import threading
import time
import typing
from pathlib import Path

from rich.console import Console
from rich.progress import TaskID

from nlrn_tf.errors import NLRNError, blaming
from nlrn_tf.imaging.headers import read_shape
from nlrn_tf.imaging.photo_files import TIFF_SUFFIXES, num_pictures, suffix_of_result
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.progress import ImageProgress
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.settings import AUTO, InputSettings, RestorationSettings
from nlrn_tf.tasks.registry import all_tasks
from nlrn_tf.web import words
from nlrn_tf.web.preview import first_picture, shown_like, write_preview
from nlrn_tf.web.settings import WebSettings

if typing.TYPE_CHECKING:  # it loads TensorFlow
    from nlrn_tf.restoration.inference import Model

_KEPT_NETWORKS = 8  # more than are packaged


class StoppedError(NLRNError):
    """The visitor has stopped the work, or has left."""


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What a visitor has chosen; the other settings of a restoration keep their defaults.

    Attributes:
      scale: factor by which the image is enlarged; None removes its noise instead. The following
        three are for that alone.
      weights: packaged weights or a path; None for the default.
      noise_sigma: of the image, in grey levels of 0..255; None is estimated.
      strength: how much of the restoration is applied, 0 to 1.
      self_ensemble: averages over the 8 flips and rotations.
      accept_damaged: restores what is there of a damaged image.
    """

    scale: float | None = None
    weights: str | None = None
    noise_sigma: float | None = None
    strength: float = 1.0
    self_ensemble: bool = False
    accept_damaged: bool = False

    def settings(self) -> RestorationSettings:
        """The settings of `run_restore.py`.

        Raises:
          NLRNError: a value is not possible.
        """
        enlarges = self.scale is not None
        task = next(task.name for task in all_tasks() if task.enlarges == enlarges)
        level = AUTO if self.noise_sigma is None else self.noise_sigma
        return RestorationSettings(
            weights=None if enlarges else self.weights,
            noise_sigma=None if enlarges else level,
            strength=1.0 if enlarges else self.strength,
            task=task,
            scale=self.scale,
            self_ensemble=self.self_ensemble,
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a visitor gets.

    Attributes:
      result: the restored file, under the name of the input; TIFF of TIFF, else PNG.
      before, after: PNG files of the same size that browsers show, before and after.
      told: what was found and how long it took, in sentences.
    """

    result: Path
    before: Path
    after: Path
    told: str


class WatchedProgress(ImageProgress):
    """Progress that another thread looks at, and through which it stops the work."""

    def __init__(self) -> None:
        super().__init__(Console(file=sys.stderr), visible=False)
        self._began = time.monotonic()
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """The work ends with a `StoppedError` when the piece under way is done."""
        self._interrupted.set()

    @property
    def is_interrupted(self) -> bool:
        """Whether the work has been told to end."""
        return self._interrupted.is_set()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        if self.is_interrupted:
            raise StoppedError("Stopped.")

    def seconds_left(self) -> float | None:
        """The time left; None as long as it is not known."""
        return None if self.left is None else self.left.seconds()

    def fraction(self) -> float:
        """How much of the whole time has passed, 0 to 1; 0 as long as that is not known."""
        left, passed = self.seconds_left(), time.monotonic() - self._began
        return 0.0 if left is None else passed / max(passed + left, 1e-9)


def restore_upload(
    path: str | os.PathLike,
    wishes: Wishes,
    limits: WebSettings,
    folder: Path,
    progress: WatchedProgress | None = None,
) -> Outcome:
    """Restores a file by `restoration.files.restore_files`, which gives its bytes.

    Args:
      path: of the file, which keeps its bits, alpha, orientation and profile.
      wishes: how.
      limits: how large it may be.
      folder: an empty one for the results.
      progress: is told how far it is.

    Raises:
      StoppedError: it was stopped.
      NLRNError: the image cannot be restored; the message is for the visitor.
    """
    source, began = Path(path), time.monotonic()
    progress = progress or WatchedProgress()
    kept = source.suffix.lower() in TIFF_SUFFIXES
    suffix = source.suffix if kept else suffix_of_result(source, ".png")
    target = folder / "restored" / f"{source.stem}{suffix}"
    lines: list[str] = []
    try:
        settings = wishes.settings()
        _check_size(source, wishes.scale or 1, limits.max_pixels)
        reading = InputSettings(limits.max_pixels, wishes.accept_damaged)
        restore_files(
            *(settings, [source], target),
            reading=reading,
            say=lines.append,
            progress=progress,
            load=_loaded,
        )
        seconds = time.monotonic() - began
        with blaming(source, "is restored, but cannot be shown ({})"):
            photo = first_picture(source, reading.max_pixels, reading.accept_damaged)
            restored = shown_like(first_picture(target, sys.maxsize), photo)
            previews = folder / "before.png", folder / "after.png"
            write_preview(previews[0], photo, wishes.scale or 1)
            write_preview(previews[1], restored)
    except NLRNError as error:
        if progress.is_interrupted:
            raise StoppedError("Stopped.") from error
        text = words.sentence(str(error), target).replace(target.name, source.name)
        raise NLRNError(words.sentence(text, source)) from error
    notes = [words.note(line, source) for line in lines]
    told = [line for line in notes if line] + [_told_of(restored, wishes, seconds)]
    pages = num_pictures(target)
    if pages > 1:
        told.append(f"All {pages} pages are in the download; the first is shown.")
    return Outcome(target, *previews, told=" ".join(told))


@functools.lru_cache(maxsize=_KEPT_NETWORKS)
def _loaded(weights: str, **options) -> "Model":
    """A network, which is loaded and made ready for work once for all visitors."""
    from nlrn_tf.weights.loading import load_model

    return load_model(weights, **options)


def _check_size(source: Path, scale: float, max_pixels: int) -> None:
    """What the header tells; what it does not is checked when the image is read."""
    if not source.is_file():
        raise NLRNError(f"{source}: is no longer here; drop it again")
    shape = read_shape(source)
    if shape is None:
        return
    pixels = shape[0] * shape[1] * scale**2
    if pixels > max_pixels:
        becomes = "would become" if scale > 1 else "has"
        raise NLRNError(
            f"{source}: {becomes} {words.megapixels(pixels)}, more than the "
            f"{words.megapixels(max_pixels)} that this page takes; make it smaller first"
        )


def _told_of(restored: Photo, wishes: Wishes, seconds: float) -> str:
    height, width = restored.pixels.shape[:2]
    size = f"{width}x{height} pixels, {8 * restored.pixels.itemsize} bits"
    done = "Enlarged" if wishes.scale else "Restored"
    return f"{done} in {words.took(seconds)}: {size}."
