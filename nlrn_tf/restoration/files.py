"""Restoring image files and folders of them."""

import contextlib
import dataclasses
import functools
import os
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
from rich.markup import escape

from nlrn_tf.errors import NLRNError, blaming, printable
from nlrn_tf.imaging.folders import EXISTING, UNREADABLE, Skipped
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.imaging.stack import Stack
from nlrn_tf.progress import ImageProgress, image_progress
from nlrn_tf.restoration.background import in_background
from nlrn_tf.restoration.one_file import (
    OF_THE_DISK,
    UNKNOWN,
    read_file,
    restore_found,
    write_result,
)
from nlrn_tf.restoration.plan import StrPath, check_outputs, plan
from nlrn_tf.restoration.settings import InputSettings, OutputSettings, RestorationSettings

if typing.TYPE_CHECKING:  # they load TensorFlow
    from nlrn_tf.restoration.duration import Forecast
    from nlrn_tf.restoration.inference import Model
    from nlrn_tf.restoration.restorer import Restorer

# The restorer for a photo and its name: `RestorerChoice`, or one for all images.
Choose = Callable[[Photo, str], Callable]
Say = Callable[[str], None]
Worded = Callable[[NLRNError], str]


def restore_files(
    restorer: "Restorer | RestorationSettings",
    inputs: Sequence[StrPath],
    output: StrPath,
    outputs: OutputSettings = OutputSettings(),  # noqa: B008 (it cannot be changed)
    *,
    reading: InputSettings = InputSettings(),  # noqa: B008
    before_loading: Callable[[], None] = lambda: None,
    say: Say = print,
    worded: Worded = str,
    progress: ImageProgress | None = None,
    load: "Callable[..., Model] | None" = None,
) -> int:
    """Restores image files and all images below folders, and writes the results.

    The results keep the type, the alpha, the colour profile, the resolution and the gamma of the
    inputs (`imaging.files.read_pictures`); EXIF, such as the place and time of a photo, where
    `outputs.keep_metadata` wants it. All pages of a TIFF file are restored, and all channels that
    are pictures of their own, into a TIFF file.

    Everything that can be checked without decoding the images is checked before work begins. An
    image that cannot be read, restored or written is reported on standard error; the others are
    done all the same, unless the disk is full. Files are written atomically, and never over an
    input.

    Args:
      restorer: `Restorer`, or the settings of one, whose network is loaded when the inputs have
        been checked.
      inputs: image files and folders. Of a folder all images below it are taken, except hidden
        files, what links to folders lead to, and the output folder.
      output: an image file when there is one input and it is a file, else a folder. In a folder
        the images keep their names and their places relative to the input folder, and get
        `outputs.suffix` in place of theirs, or after it; of several inputs a folder also keeps its
        own name.
      outputs: how results are written.
      reading: which files are accepted.
      before_loading: called when the inputs have been checked, before TensorFlow is loaded.
      say: gets a line about each network that is chosen by the noise level, about each damaged
        image that is accepted, and at the end about what was skipped, and why.
      worded: what is printed about the error of an image.
      progress: gets the images that are done, with the parts of the present one, and the time
        left; by default it is shown on standard error.
      load: loads a network; by default `weights.loading.load_model`.

    Returns:
      The number of images restored.

    Raises:
      NLRNError: something is wrong with the arguments; the disk is full (the results before stay);
        or, after all the others have been restored, some images could not be, or some folders not
        be read.
    """
    skipped = Skipped()
    keep_suffix = outputs.keep_suffix
    jobs = plan(inputs, output, outputs.suffix, keep_suffix=keep_suffix, skipped=skipped)
    check_outputs(jobs, outputs.overwrite or outputs.skip_existing)
    if outputs.skip_existing:
        existing = [target for target in jobs if os.path.exists(target)]
        skipped.add(EXISTING, [jobs.pop(target) for target in existing])

    def tell(line: str) -> None:
        say(printable(line))

    failures = []
    if jobs:
        failures = _restored(
            *(restorer, jobs, reading, outputs, before_loading, tell, worded, progress, load)
        )
    if told := skipped.told():
        tell(told)
    _complain(failures, len(jobs), skipped.of(UNREADABLE))
    return len(jobs)


def _restored(
    restorer: "Restorer | RestorationSettings",
    jobs: dict[Path, Path],
    reading: InputSettings,
    outputs: OutputSettings,
    before_loading: Callable[[], None],
    tell: Say,
    worded: Worded,
    progress: ImageProgress | None,
    load: "Callable[..., Model] | None",
) -> list[NLRNError]:
    """Restores images, and returns what went wrong."""
    # TensorFlow is loaded here, so that a wrong path is reported at once.
    before_loading()
    from nlrn_tf.restoration.choice import RestorerChoice
    from nlrn_tf.restoration.duration import Forecast
    from nlrn_tf.weights.loading import load_model

    shown = image_progress() if progress is None else progress
    sources = list(jobs.values())
    choose: Choose
    if not isinstance(restorer, RestorationSettings):
        forecast, choose = Forecast(sources, None, tell), functools.partial(_at_white, restorer)
        scale = restorer.scale
    else:
        forecast = Forecast(sources, restorer, tell)
        choose = RestorerChoice(restorer, forecast.say, load or load_model)
        scale = choose.scale
    files = _read_ahead(jobs.values(), reading, scale or 1, outputs.keep_metadata)
    return _restore_all(jobs, files, choose, scale or 1, forecast, tell, worded, shown)


class _Folder:
    """The images of one call, and what has become of them."""

    def __init__(self, jobs: dict[Path, Path], progress: ImageProgress, worded: Worded):
        self.failures: list[NLRNError] = []
        self._total = len(jobs)
        self._console, self._worded = progress.console, worded
        self._writing: Future | None = None

    @contextlib.contextmanager
    def image(self, source: Path) -> Iterator[None]:
        """Whatever goes wrong in the block is the failure of one image, unless the disk is full."""
        try:
            with blaming(source, UNKNOWN):
                yield
        except NLRNError as error:
            self._fail(error)

    def write(self, target: Path, photo: Photo) -> None:
        """Writes a result while the next image is restored.

        Raises:
          NLRNError: the one before could not be written for a reason that will stop the next too.
        """
        try:
            self.finish()
        finally:  # what is done is written even if the one before it could not be
            self._writing = in_background(write_result, target, photo)

    def finish(self) -> None:
        """Waits for the last result. Raises NLRNError as `write`."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.result()
        except NLRNError as error:
            self._fail(error)

    def close(self) -> None:
        """After an interruption: the file that is being written is completed."""
        if self._writing is not None:
            wait([self._writing])

    def _fail(self, error: NLRNError) -> None:
        if getattr(error.__cause__, "errno", None) in OF_THE_DISK:
            raise error
        self.failures.append(error)
        if self._total > 1:
            self._console.print(self._worded(error), markup=False, emoji=False, soft_wrap=True)


def _restore_all(
    jobs: dict[Path, Path],
    files: Iterator[Future[Photo | Stack]],
    choose: Choose,
    scale: float,
    forecast: "Forecast",
    say: Say,
    worded: Worded,
    progress: ImageProgress,
) -> list[NLRNError]:
    # The next image is read and the last one written while one is restored.
    with (
        progress,
        contextlib.closing(_Folder(jobs, progress, worded)) as folder,
    ):
        bar = progress.add_task("", total=len(jobs))

        def choose_and_tell(photo: Photo, name: str, pictures: int) -> Callable:
            restorer = choose(photo, name)
            forecast.tell(restorer, photo.pixels, progress, pictures)
            return restorer

        def advance(part: float) -> None:
            progress.advance(bar, part)

        for done, ((target, source), read) in enumerate(zip(jobs.items(), files, strict=True)):
            progress.update(bar, completed=done, description=escape(source.name))
            result = None
            with folder.image(source):
                found = read.result()
                result = restore_found(source, target, found, choose_and_tell, scale, advance, say)
            if result is not None:
                folder.write(target, result)
        folder.finish()
        progress.update(bar, completed=len(jobs), description="")
    return folder.failures


def _complain(failures: list[NLRNError], total: int, unreadable: list[Path]) -> None:
    """Raises NLRNError where something of what was asked for could not be done."""
    parts = []
    if total == 1 and failures:
        if not unreadable:
            raise failures[0]
        parts.append(str(failures[0]))
    elif failures:
        parts.append(
            f"{len(failures)} of {total} images could not be restored (named above); "
            f"the other {total - len(failures)} are done"
        )
    if unreadable:
        parts.append(f"folders that cannot be read: {', '.join(map(str, unreadable))}")
    if parts:
        raise NLRNError("; ".join(parts))


def _at_white(restorer: "Restorer", photo: Photo, _: str) -> "Restorer":
    """A restorer that is used for all images, for one whose type has no white of its own."""
    white = photo.white
    if white is None or photo.pixels.dtype == np.uint16 or restorer.white_level is not None:
        return restorer
    return dataclasses.replace(restorer, white_level=white.value, black_level=white.black)


def _read_ahead(
    paths: Iterable[Path], reading: InputSettings, scale: float, keep_exif: bool
) -> Iterator[Future[Photo | Stack]]:
    """Photos and stacks to come, in order; when one is taken the next is being read."""
    paths = iter(paths)
    ahead = in_background(read_file, next(paths), reading, scale, keep_exif)
    for path in paths:
        current, ahead = ahead, in_background(read_file, path, reading, scale, keep_exif)
        yield current
    yield ahead
