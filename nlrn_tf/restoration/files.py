"""Restoring image files and folders of them."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.markup import escape

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import Photo, check_storable, read_photo, write_image
from nlrn_tf.progress import image_progress
from nlrn_tf.restoration.noise_level import estimate_noise_sigma, nearest_denoiser
from nlrn_tf.restoration.plan import StrPath, check_outputs, plan

Model = Callable[[np.ndarray], np.ndarray]
AUTO = "auto"


def restore_files(
    model: Model | StrPath | None,
    inputs: Sequence[StrPath],
    output: StrPath,
    *,
    noise_sigma: float | str | None = None,
    task: str | None = None,
    scale: float | None = None,
    self_ensemble: bool = False,
    tile_size: int | None = None,
    precision: str = "auto",
    suffix: str = ".png",
    overwrite: bool = False,
    skip_existing: bool = False,
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
      model: see `nlrn_tf.restoration.restorer`; or the name or path of weights (`load_model`),
        which are loaded when the inputs have been checked. None when `noise_sigma` chooses it.
      inputs: image files and folders. Of a folder all images below it are taken, but for hidden
        files and the output folder.
      output: an image file when there is one input and it is a file, else a folder. In a folder
        the images keep their names and their places relative to the input folder, and get
        `suffix`; of several inputs a folder also keeps its own name.
      noise_sigma: chooses the packaged denoiser whose level is the nearest to this one, in grey
        levels of 0..255; "auto" estimates the level of each image.
      task: "denoise" or "sr"; refuses weights for the other task.
      scale, self_ensemble, tile_size: see `nlrn_tf.restoration.restorer.restore`.
      precision: of the products, see `load_model`.
      suffix: format of the files in an output folder; ".png" loses nothing.
      overwrite: replaces outputs that exist.
      skip_existing: leaves outputs that exist and does the rest, so it completes an interrupted
        run.
      before_loading: called when the inputs have been checked, before TensorFlow is loaded.
      say: gets a line about each model that `noise_sigma` chooses.

    Returns:
      The number of images restored.

    Raises:
      NLRNError: something is wrong with the arguments; a result cannot be written (those before
        it stay); or, after all the others have been restored, some images could not be.
    """
    if (model is None) == (noise_sigma is None):
        raise NLRNError("give either a model, or noise_sigma to choose a packaged one")
    if noise_sigma is not None and (scale is not None or task == "sr"):
        raise NLRNError("noise_sigma chooses a denoiser: give no scale and no task sr")
    jobs = plan(inputs, output, suffix)
    check_outputs(jobs, overwrite or skip_existing)
    if skip_existing:
        jobs = {target: source for target, source in jobs.items() if not target.exists()}
    if not jobs:
        return 0
    # TensorFlow is loaded here, so that a wrong path is reported at once.
    before_loading()
    from nlrn_tf.restoration.restorer import restore
    from nlrn_tf.restoration.scales import checked_scale
    from nlrn_tf.weights.loading import load_model

    load = functools.cache(functools.partial(load_model, precision=precision))
    if noise_sigma == AUTO:
        choose = functools.partial(_estimate_and_load, load=load, say=say)
    else:
        if noise_sigma is not None:
            model = _nearest(noise_sigma, say)
        fixed = load(model) if isinstance(model, str | os.PathLike) else model
        _check_task(fixed, task)
        scale = checked_scale(fixed, scale)
        if task and (task == "sr") != (scale is not None):
            raise NLRNError(f"--task={task}: --scale must be given for sr, and only for sr")

        def choose(image: np.ndarray, name: str) -> Model:
            return fixed

    def restored(image: np.ndarray, name: str, on_progress: Callable[[float], None]) -> np.ndarray:
        return restore(
            choose(image, name),
            image,
            scale=scale,
            self_ensemble=self_ensemble,
            tile_size=tile_size,
            on_progress=on_progress,
        )

    return _restore_all(jobs, restored, scale or 1)


def _check_task(model: Model, task: str | None) -> None:
    trained_for = getattr(getattr(model, "config", None), "task", None)
    if task and trained_for and task != trained_for:
        raise NLRNError(f"--task={task}: the weights are for {trained_for}; choose other --weights")


def _nearest(noise_sigma: float, say: Callable[[str], None]) -> str:
    name, level = nearest_denoiser(noise_sigma)
    say(f"noise level {noise_sigma:g}: {name}, for {level:g}, is the nearest packaged network")
    return name


def _estimate_and_load(
    image: np.ndarray, name: str, load: Callable[[str], Model], say: Callable[[str], None]
) -> Model:
    estimate = estimate_noise_sigma(image)
    weights, level = nearest_denoiser(estimate)
    say(f"{name}: noise level about {estimate:.1f}, restored by {weights}, for {level:g}")
    return load(weights)


def _restore_all(jobs: dict[Path, Path], restored: Callable, scale: float) -> int:
    failures: list[NLRNError] = []
    # The next image is read and the last one written while one is restored.
    with image_progress() as progress, ThreadPoolExecutor(2) as threads:
        bar = progress.add_task("", total=len(jobs))
        written = None
        photos = _read_ahead(threads, jobs.values())
        for done, ((target, source), photo) in enumerate(zip(jobs.items(), photos, strict=True)):
            progress.update(bar, completed=done, description=escape(source.name))
            try:
                photo = photo.result()
                check_storable(target, photo.pixels, scale)
                photo = _restore_one(
                    source, photo, restored, lambda part: progress.advance(bar, part)
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


def _read_ahead(threads: Executor, paths: Iterable[Path]) -> Iterator[Future]:
    """Photos to come, in order; when one is taken the next is being read."""
    paths = iter(paths)
    ahead = threads.submit(read_photo, next(paths))
    for path in paths:
        current, ahead = ahead, threads.submit(read_photo, path)
        yield current
    yield ahead


def _restore_one(source: Path, photo: Photo, restored: Callable, on_progress: Callable) -> Photo:
    try:
        pixels = restored(photo.pixels, source.name, on_progress)
    except NLRNError as error:
        raise NLRNError(f"{source}: {error}") from error
    return dataclasses.replace(photo, pixels=pixels)
