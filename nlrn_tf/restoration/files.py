"""Restoring image files and folders of them."""

import contextlib
import dataclasses
import errno
import os
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path

from rich.markup import escape

from nlrn_tf.errors import NLRNError, blaming, printable
from nlrn_tf.imaging.files import Photo, check_storable, read_photo, write_image
from nlrn_tf.progress import ImageProgress, image_progress
from nlrn_tf.restoration.background import in_background
from nlrn_tf.restoration.memory import check_memory
from nlrn_tf.restoration.plan import StrPath, check_name, check_outputs, plan
from nlrn_tf.restoration.settings import InputSettings, OutputSettings, RestorationSettings

if typing.TYPE_CHECKING:  # they load TensorFlow
    from nlrn_tf.restoration.duration import Forecast
    from nlrn_tf.restoration.inference import Model
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
    progress: ImageProgress | None = None,
    load: "Callable[..., Model] | None" = None,
) -> int:
    """Restores image files and all images below folders, and writes the results.

    The results keep the 16 bits, the alpha and the colour profile of the inputs
    (`imaging.files.read_photo`); metadata such as the place and time of a photo are left out.

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
      progress: gets the images that are done, with the parts of the present one, and the time
        left; by default it is shown on standard error.
      load: loads a network; by default `weights.loading.load_model`.

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
    from nlrn_tf.weights.loading import load_model

    shown = image_progress() if progress is None else progress
    sources = list(jobs.values())
    if not isinstance(restorer, RestorationSettings):
        forecast, choose = Forecast(sources, None, tell), lambda *_: restorer
        return _restore_all(
            *(jobs, choose, restorer.scale or 1, reading, forecast, tell, worded, shown)
        )
    forecast = Forecast(sources, restorer, tell)
    choice = RestorerChoice(restorer, forecast.say, load or load_model)
    return _restore_all(jobs, choice, choice.scale, reading, forecast, tell, worded, shown)


class _Folder:
    """The images of one call, and what has become of them."""

    def __init__(self, jobs: dict[Path, Path], progress: ImageProgress, worded: Worded):
        self.failures: list[NLRNError] = []
        self._total = len(jobs)
        self._console, self._worded = progress.console, worded
        self._writing: Future | None = None

    @contextlib.contextmanager
    def image(self, source: Path) -> Iterator[None]:
        """Whatever goes wrong in the block is the failure of one image."""
        try:
            with blaming(source, _UNKNOWN):
                yield
        except NLRNError as error:
            self._report(error)

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
            if getattr(error.__cause__, "errno", None) in _OF_THE_DISK:
                raise
            self._report(error)

    def close(self) -> None:
        """After an interruption: the file that is being written is completed."""
        if self._writing is not None:
            wait([self._writing])

    def _report(self, error: NLRNError) -> None:
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
    progress: ImageProgress,
) -> int:
    # The next image is read and the last one written while one is restored.
    with (
        progress,
        contextlib.closing(_Folder(jobs, progress, worded)) as folder,
    ):
        bar = progress.add_task("", total=len(jobs))

        def choose_and_tell(photo: Photo, name: str) -> Callable:
            restorer = choose(photo, name)
            forecast.tell(restorer, photo.pixels, progress)
            return restorer

        photos = _read_ahead(jobs.values(), reading)
        for done, ((target, source), read) in enumerate(zip(jobs.items(), photos, strict=True)):
            progress.update(bar, completed=done, description=escape(source.name))
            restored = None
            with folder.image(source):
                photo = read.result()
                _check(source, target, photo, scale)
                if photo.damage:
                    say(f"{source}: restored as far as it is there: {photo.damage}")
                restored = _restore_one(
                    source, photo, choose_and_tell, lambda part: progress.advance(bar, part)
                )
            if restored is not None:
                folder.write(target, restored)
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
        write_image(target, photo.pixels, photo.icc_profile)


def _check(source: Path, target: Path, photo: Photo, scale: float) -> None:
    """What can be known of the result before the work."""
    check_storable(target, photo.pixels, scale)
    check_name(target)
    try:
        check_memory(photo.pixels, scale)
    except NLRNError as error:
        raise NLRNError(f"{source}: {error}") from error


def _read_ahead(paths: Iterable[Path], reading: InputSettings) -> Iterator[Future[Photo]]:
    """Photos to come, in order; when one is taken the next is being read."""

    def read(path: Path) -> Future[Photo]:
        return in_background(read_photo, path, reading.max_pixels, reading.accept_damaged)

    paths = iter(paths)
    ahead = read(next(paths))
    for path in paths:
        current, ahead = ahead, read(path)
        yield current
    yield ahead


def _restore_one(source: Path, photo: Photo, choose: Choose, on_progress: Callable) -> Photo:
    try:
        pixels = choose(photo, source.name)(photo.pixels, on_progress)
    except NLRNError as error:
        raise NLRNError(f"{source}: {error}") from error
    return dataclasses.replace(photo, pixels=pixels)
