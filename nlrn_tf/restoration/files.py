"""Restoring image files and folders of them."""

import contextlib
import dataclasses
import errno
import functools
import os
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.progress import Progress

from nlrn_tf.errors import NLRNError, blaming, printable
from nlrn_tf.imaging.files import read_pictures
from nlrn_tf.imaging.headers import read_shape
from nlrn_tf.imaging.photo_files import check_photo, write_photo
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.imaging.stack import Stack
from nlrn_tf.progress import image_progress
from nlrn_tf.restoration.background import in_background
from nlrn_tf.restoration.memory import check_memory, check_memory_for
from nlrn_tf.restoration.plan import StrPath, check_name, check_outputs, plan
from nlrn_tf.restoration.settings import InputSettings, OutputSettings, RestorationSettings
from nlrn_tf.restoration.stacks import check_stack, restore_stack, with_tags_of_result

if typing.TYPE_CHECKING:  # they load TensorFlow
    from nlrn_tf.restoration.duration import Forecast
    from nlrn_tf.restoration.restorer import Restorer

# The restorer for a photo and its name: `RestorerChoice`, or one for all images.
Choose = Callable[[Photo, str], Callable]
Say = Callable[[str], None]
Worded = Callable[[NLRNError], str]

_UNKNOWN = "could not be restored ({})"
# Reasons why a file cannot be written that are those of the next file too.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


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
) -> int:
    """Restores image files and all images below folders, and writes the results.

    The results keep the type, the alpha and the colour profile of the inputs
    (`imaging.files.read_pictures`); metadata such as the place and time of a photo are left out.
    All pages of a TIFF file are restored, and all channels that are pictures of their own, into a
    TIFF file.

    Everything that can be checked without decoding the images is checked before work begins. An
    image that cannot be read, restored or written is reported on standard error; the others are
    done all the same, unless the disk is full. Files are written atomically, and never over an
    input.

    Args:
      restorer: `Restorer`, or the settings of one, whose network is loaded when the inputs have
        been checked.
      inputs: image files and folders. Of a folder all images below it are taken, except hidden
        files and the output folder.
      output: an image file when there is one input and it is a file, else a folder. In a folder
        the images keep their names and their places relative to the input folder, and get
        `outputs.suffix`; of several inputs a folder also keeps its own name.
      outputs: how results are written.
      reading: which files are accepted.
      before_loading: called when the inputs have been checked, before TensorFlow is loaded.
      say: gets a line about each network that is chosen by the noise level, and about each damaged
        image that is accepted.
      worded: what is printed about the error of an image.

    Returns:
      The number of images restored.

    Raises:
      NLRNError: something is wrong with the arguments; the disk is full (the results before stay);
        or, after all the others have been restored, some images could not be.
    """
    jobs = plan(inputs, output, outputs.suffix)
    check_outputs(jobs, outputs.overwrite or outputs.skip_existing)
    if outputs.skip_existing:
        jobs = {target: source for target, source in jobs.items() if not os.path.exists(target)}
    if not jobs:
        return 0

    def tell(line: str) -> None:
        say(printable(line))

    # TensorFlow is loaded here, so that a wrong path is reported at once.
    before_loading()
    from nlrn_tf.restoration.choice import RestorerChoice
    from nlrn_tf.restoration.duration import Forecast

    sources = list(jobs.values())
    if not isinstance(restorer, RestorationSettings):
        forecast = Forecast(sources, None, tell)
        return _restore_all(
            jobs,
            functools.partial(_at_white, restorer),
            restorer.scale or 1,
            reading,
            forecast,
            tell,
            worded,
        )
    forecast = Forecast(sources, restorer, tell)
    choice = RestorerChoice(restorer, forecast.say)
    return _restore_all(jobs, choice, choice.scale, reading, forecast, tell, worded)


class _Folder:
    """The images of one call, and what has become of them."""

    def __init__(self, jobs: dict[Path, Path], progress: Progress, worded: Worded):
        self.failures: list[NLRNError] = []
        self._total = len(jobs)
        self._console, self._worded = progress.console, worded
        self._writing: Future | None = None

    @contextlib.contextmanager
    def image(self, source: Path) -> Iterator[None]:
        """Whatever goes wrong in the block is the failure of one image, unless the disk is full."""
        try:
            with blaming(source, _UNKNOWN):
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
            self._writing = in_background(_write, target, photo)

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
        if getattr(error.__cause__, "errno", None) in _OF_THE_DISK:
            raise error
        self.failures.append(error)
        if self._total > 1:
            self._console.print(self._worded(error), markup=False, emoji=False, soft_wrap=True)


def _restore_all(
    jobs: dict[Path, Path],
    choose: Choose,
    scale: float,
    reading: InputSettings,
    forecast: "Forecast",
    say: Say,
    worded: Worded,
) -> int:
    # The next image is read and the last one written while one is restored.
    with (
        image_progress() as progress,
        contextlib.closing(_Folder(jobs, progress, worded)) as folder,
    ):
        bar = progress.add_task("", total=len(jobs))

        def restored(photo: Photo, name: str, advance: Callable, pages: int = 1) -> Photo:
            def choose_and_tell(part: Photo, name: str) -> Callable:
                restorer = choose(part, name)
                pictures = pages * max(len(photo.groups), 1)
                forecast.tell(restorer, part.pixels, progress, pictures)
                return restorer

            return with_tags_of_result(_restore_one(photo, name, choose_and_tell, advance), scale)

        def advance(part: float) -> None:
            progress.advance(bar, part)

        files = _read_ahead(jobs.values(), reading, scale)
        for done, ((target, source), read) in enumerate(zip(jobs.items(), files, strict=True)):
            progress.update(bar, completed=done, description=escape(source.name))
            result = None
            with folder.image(source):
                found = read.result()
                if isinstance(found, Stack):
                    check_stack(source, target, found)
                    pages = functools.partial(restored, pages=len(found))
                    restore_stack(target, found, pages, advance, say)
                else:
                    _check(source, target, found, scale)
                    if found.damage:
                        say(f"{source}: restored as far as it is there: {found.damage}")
                    with _named(source):
                        result = restored(found, source.name, advance)
            if result is not None:
                folder.write(target, result)
        folder.finish()
        progress.update(bar, completed=len(jobs), description="")
    failures = folder.failures
    if len(jobs) == 1 and failures:
        raise failures[0]
    if failures:
        raise NLRNError(
            f"{len(failures)} of {len(jobs)} images could not be restored (named above); "
            f"the other {len(jobs) - len(failures)} are done"
        )
    return len(jobs)


def _write(target: Path, photo: Photo) -> None:
    with blaming(target, "cannot be written ({})"):
        write_photo(target, photo)


def _at_white(restorer: "Restorer", photo: Photo, _: str) -> "Restorer":
    """A restorer that is used for all images, for one whose type has no white of its own."""
    white = photo.white
    if white is None or photo.pixels.dtype == np.uint16 or restorer.white_level is not None:
        return restorer
    return dataclasses.replace(restorer, white_level=white.value, black_level=white.black)


@contextlib.contextmanager
def _named(source: Path) -> Iterator[None]:
    """Puts the name of a file before an NLRNError of the block."""
    try:
        yield
    except NLRNError as error:
        raise NLRNError(f"{source}: {error}") from error


def _check(source: Path, target: Path, photo: Photo, scale: float) -> None:
    """What can be known of the result before the work."""
    check_photo(target, photo, scale)
    check_name(target)
    with _named(source):
        check_memory(photo.pixels, scale)


def _read_ahead(
    paths: Iterable[Path], reading: InputSettings, scale: float
) -> Iterator[Future[Photo | Stack]]:
    """Photos and stacks to come, in order; when one is taken the next is being read."""

    def read(path: Path) -> Photo | Stack:
        shape = read_shape(path)
        if shape is not None and shape[0] * shape[1] <= reading.max_pixels:
            with _named(path):  # before the pixels are decoded
                check_memory_for(shape, scale)
        return read_pictures(path, reading.max_pixels, reading.accept_damaged)

    paths = iter(paths)
    ahead = in_background(read, next(paths))
    for path in paths:
        current, ahead = ahead, in_background(read, path)
        yield current
    yield ahead


def _restore_one(photo: Photo, name: str, choose: Choose, on_progress: Callable) -> Photo:
    """A photo, or all pictures in its channels, restored."""
    parts, count = [], len(photo.pictures)
    for number, pixels in enumerate(photo.pictures, 1):
        part = dataclasses.replace(photo, pixels=pixels, groups=())
        title = name if count == 1 else f"{name}, channel {number}"
        part_done = (lambda done: on_progress(done / count)) if count > 1 else on_progress
        parts.append(choose(part, title)(pixels, part_done))
    joined = parts[0] if count == 1 else np.dstack(parts)
    return dataclasses.replace(photo, pixels=joined)
