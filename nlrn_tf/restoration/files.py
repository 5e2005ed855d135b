"""Restoring image files and folders of them."""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

from rich.markup import escape

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import Photo, check_storable, read_photo, write_image
from nlrn_tf.progress import image_progress
from nlrn_tf.restoration.plan import StrPath, check_outputs, plan
from nlrn_tf.restoration.settings import OutputSettings, RestorationSettings

if typing.TYPE_CHECKING:  # they load TensorFlow
    from nlrn_tf.restoration.duration import Forecast
    from nlrn_tf.restoration.restorer import Restorer

# The restorer for a photo and its name: `RestorerChoice`, or one for all images.
Choose = Callable[[Photo, str], Callable]


def restore_files(
    restorer: "Restorer | RestorationSettings",
    inputs: Sequence[StrPath],
    output: StrPath,
    outputs: OutputSettings = OutputSettings(),  # noqa: B008 (it cannot be changed)
    *,
    before_loading: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = print,
) -> int:
    """Restores image files and all images below folders, and writes the results.

    The results keep the 16 bits, the alpha and the colour profile of the inputs
    (`imaging.files.read_photo`); metadata such as the place and time of a photo are left out.

    Everything that can be checked without decoding the images is checked before work begins. An
    image that cannot be read or restored is reported on standard error; the others are done all
    the same. Files are written atomically, and never over an input.

    Args:
      restorer: `Restorer`, or the settings of one, whose network is loaded when the inputs have
        been checked.
      inputs: image files and folders. Of a folder all images below it are taken, except hidden
        files and the output folder.
      output: an image file when there is one input and it is a file, else a folder. In a folder
        the images keep their names and their places relative to the input folder, and get
        `outputs.suffix`; of several inputs a folder also keeps its own name.
      outputs: how results are written.
      before_loading: called when the inputs have been checked, before TensorFlow is loaded.
      say: gets a line about each network that is chosen by the noise level.

    Returns:
      The number of images restored.

    Raises:
      NLRNError: something is wrong with the arguments; a result cannot be written (those before
        it stay); or, after all the others have been restored, some images could not be.
    """
    jobs = plan(inputs, output, outputs.suffix)
    check_outputs(jobs, outputs.overwrite or outputs.skip_existing)
    if outputs.skip_existing:
        jobs = {target: source for target, source in jobs.items() if not target.exists()}
    if not jobs:
        return 0
    # TensorFlow is loaded here, so that a wrong path is reported at once.
    before_loading()
    from nlrn_tf.restoration.choice import RestorerChoice
    from nlrn_tf.restoration.duration import Forecast

    sources = list(jobs.values())
    if not isinstance(restorer, RestorationSettings):
        forecast = Forecast(sources, None, say)
        return _restore_all(jobs, lambda *_: restorer, restorer.scale or 1, forecast)
    forecast = Forecast(sources, restorer, say)
    choice = RestorerChoice(restorer, forecast.say)
    return _restore_all(jobs, choice, choice.scale, forecast)


def _restore_all(jobs: dict[Path, Path], choose: Choose, scale: float, forecast: "Forecast") -> int:
    failures: list[NLRNError] = []
    # The next image is read and the last one written while one is restored.
    with image_progress() as progress, ThreadPoolExecutor(2) as threads:
        bar = progress.add_task("", total=len(jobs))

        def choose_and_tell(photo: Photo, name: str) -> Callable:
            restorer = choose(photo, name)
            forecast.tell(restorer, photo.pixels, progress)
            return restorer

        written = None
        photos = _read_ahead(threads, jobs.values())
        for done, ((target, source), read) in enumerate(zip(jobs.items(), photos, strict=True)):
            progress.update(bar, completed=done, description=escape(source.name))
            try:
                photo = read.result()
                check_storable(target, photo.pixels, scale)
                photo = _restore_one(
                    source, photo, choose_and_tell, lambda part: progress.advance(bar, part)
                )
            except NLRNError as error:
                failures.append(error)
                if len(jobs) > 1:
                    progress.console.print(str(error), markup=False, soft_wrap=True)
                continue
            try:
                if written is not None:
                    written.result()
            finally:  # what is done is written even if the one before it could not be
                written = threads.submit(write_image, target, photo.pixels, photo.icc_profile)
        if written is not None:
            written.result()
        progress.update(bar, completed=len(jobs), description="")
    if len(jobs) == 1 and failures:
        raise failures[0]
    if failures:
        raise NLRNError(
            f"{len(failures)} of {len(jobs)} images could not be restored (named above); "
            f"the other {len(jobs) - len(failures)} are done"
        )
    return len(jobs)


def _read_ahead(threads: Executor, paths: Iterable[Path]) -> Iterator[Future[Photo]]:
    """Photos to come, in order; when one is taken the next is being read."""
    paths = iter(paths)
    ahead = threads.submit(read_photo, next(paths))
    for path in paths:
        current, ahead = ahead, threads.submit(read_photo, path)
        yield current
    yield ahead


def _restore_one(source: Path, photo: Photo, choose: Choose, on_progress: Callable) -> Photo:
    try:
        pixels = choose(photo, source.name)(photo.pixels, on_progress)
    except NLRNError as error:
        raise NLRNError(f"{source}: {error}") from error
    return dataclasses.replace(photo, pixels=pixels)
