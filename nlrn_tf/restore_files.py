"""Restoring image files and folders of them."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.markup import escape

from nlrn_tf.errors import NLRNError
from nlrn_tf.images import IMAGE_SUFFIXES, Photo, check_storable, read_photo, write_image
from nlrn_tf.noise_level import estimate_noise_sigma, nearest_denoiser
from nlrn_tf.progress import image_progress

StrPath = str | os.PathLike
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
    (`nlrn_tf.images.read_photo`); metadata such as the place and time of a photo are left out.

    Everything that can be checked without decoding the images is checked before work begins. An
    image that cannot be read or restored is reported on standard error; the others are done all
    the same. Files are written atomically, and never over an input.

    Args:
      model: see `nlrn_tf.restoration`; or the name or path of weights (`load_model`), which are
        loaded when the inputs have been checked. None when `noise_sigma` chooses it.
      inputs: image files and folders. Of a folder all images below it are taken, but for hidden
        files and the output folder.
      output: an image file when there is one input and it is a file, else a folder. In a folder
        the images keep their names and their places relative to the input folder, and get
        `suffix`; of several inputs a folder also keeps its own name.
      noise_sigma: chooses the packaged denoiser whose level is the nearest to this one, in grey
        levels of 0..255; "auto" estimates the level of each image.
      task: "denoise" or "sr"; refuses weights for the other task.
      scale, self_ensemble, tile_size: see `nlrn_tf.restoration.restore`.
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
    _check_outputs(jobs, overwrite or skip_existing)
    if skip_existing:
        jobs = {target: source for target, source in jobs.items() if not target.exists()}
    if not jobs:
        return 0
    # TensorFlow is loaded here, so that a wrong path is reported at once.
    before_loading()
    from nlrn_tf.packaged import load_model
    from nlrn_tf.restoration import restore
    from nlrn_tf.scales import checked_scale

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

    return _restore_all(jobs, restored)


def plan(inputs: Sequence[StrPath], output: StrPath, suffix: str = ".png") -> dict[Path, Path]:
    """Which file is made from which: `{target: source}`, in the order of work.

    Args: see `restore_files`.

    Raises:
      NLRNError: a missing or unsupported input, an output that is not possible, or two inputs
        for one output.
    """
    inputs = [Path(path) for path in inputs]
    if not inputs:
        raise NLRNError("no input: name at least one image file or folder")
    if suffix.lower() not in IMAGE_SUFFIXES:
        raise NLRNError(f"suffix '{suffix}': use one of {', '.join(IMAGE_SUFFIXES)}")
    for path in inputs:
        _check_input(path)
    into_folder = str(os.fspath(output)).endswith(os.sep) or Path(output).is_dir()
    output = Path(output)
    if len(inputs) == 1 and inputs[0].is_file() and not into_folder:
        _check_suffix(output, "end it with / if a folder is meant")
        return {output: inputs[0]}
    if output.exists() and not output.is_dir():
        raise NLRNError(f"{output}: is a file; a folder or several inputs need an output folder")
    if output.suffix.lower() in IMAGE_SUFFIXES and not into_folder:
        raise NLRNError(f"{output}: names one image; a folder or several inputs need a folder")
    jobs: dict[Path, Path] = {}
    for source, relative in _sources(inputs, output):
        target = output / relative.with_suffix(suffix)
        if jobs.setdefault(target, source) != source:
            raise NLRNError(
                f"{jobs[target]} and {source} would both become {target}; "
                "rename one or restore them into different folders"
            )
    return jobs


def _sources(inputs: list[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    """Each image with its place in the output folder."""
    for path in inputs:
        if path.is_file():
            yield path, Path(path.name)
            continue
        root = Path() if len(inputs) == 1 else Path(path.resolve().name)
        images = _images_below(path, output)
        if not images:
            raise NLRNError(f"{path}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        for image in images:
            yield image, root / image.relative_to(path)


def _images_below(folder: Path, output: Path) -> list[Path]:
    """The images in `folder` and its subfolders, sorted, without hidden ones and the output."""

    def unreadable(error: OSError):
        raise NLRNError(f"{error.filename}: cannot be read ({error.strerror})") from error

    images = []
    for where, folders, names in os.walk(folder, onerror=unreadable):
        parent = Path(where)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and (parent / name).resolve() != output.resolve()
        ]
        images += [
            parent / name
            for name in names
            if Path(name).suffix.lower() in IMAGE_SUFFIXES
            and not name.startswith(".")
            and (parent / name).is_file()
        ]
    return sorted(images)


def _check_input(path: Path) -> None:
    if path.is_dir():
        return
    if not path.exists():
        raise NLRNError(f"{path}: no such file or folder")
    _check_suffix(path, "convert it first")
    if not path.is_file() or not os.access(path, os.R_OK):
        raise NLRNError(f"{path}: is not a file that can be read")


def _check_suffix(path: Path, advice: str) -> None:
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise NLRNError(
            f"{path}: '{path.suffix}' is no image format (they are {', '.join(IMAGE_SUFFIXES)}); "
            f"{advice}"
        )


def _check_outputs(jobs: dict[Path, Path], may_exist: bool) -> None:
    inputs = {_identity(source): source for source in jobs.values()}
    for target in jobs:
        _check_writable(target)
    existing = [target for target in jobs if target.exists()]
    for target in existing:
        if target.is_dir():
            raise NLRNError(f"{target}: is a folder; an image is to be written there")
        if _identity(target) in inputs:
            raise NLRNError(
                f"{target}: would overwrite the input {inputs[_identity(target)]}; "
                "choose another output"
            )
    if existing and not may_exist:
        others = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise NLRNError(
            f"{existing[0]}: exists{others}; "
            "give --overwrite to replace, --skip_existing to go on, or choose another output"
        )


def _check_writable(output: Path) -> None:
    """Looks at the nearest folder that exists, so that no work is lost later."""
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise NLRNError(f"{output}: cannot be written, {folder} is no folder that allows it")


def _identity(path: Path) -> tuple[int, int]:
    """The same for all names of one file: links, other spellings."""
    status = path.stat()
    return status.st_dev, status.st_ino


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


def _restore_all(jobs: dict[Path, Path], restored: Callable) -> int:
    failures: list[NLRNError] = []
    with image_progress() as progress:
        bar = progress.add_task("", total=len(jobs))
        for done, (target, source) in enumerate(jobs.items()):
            progress.update(bar, completed=done, description=escape(source.name))
            try:
                photo = _restore_one(
                    source, target, restored, lambda part: progress.advance(bar, part)
                )
            except NLRNError as error:
                failures.append(error)
                if len(jobs) > 1:
                    progress.console.print(str(error), markup=False, soft_wrap=True)
            else:
                write_image(target, photo.pixels, photo.icc_profile)
        progress.update(bar, completed=len(jobs), description="")
    if len(jobs) == 1 and failures:
        raise failures[0]
    if failures:
        raise NLRNError(
            f"{len(failures)} of {len(jobs)} images could not be restored (named above); "
            f"the other {len(jobs) - len(failures)} are done"
        )
    return len(jobs)


def _restore_one(source: Path, target: Path, restored: Callable, on_progress: Callable) -> Photo:
    photo = read_photo(source)
    check_storable(target, photo.pixels)
    try:
        pixels = restored(photo.pixels, source.name, on_progress)
    except NLRNError as error:
        raise NLRNError(f"{source}: {error}") from error
    return dataclasses.replace(photo, pixels=pixels)
