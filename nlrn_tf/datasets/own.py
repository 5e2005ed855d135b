"""Folders of people's own as sets of test images: clean ones, or pairs of clean and degraded."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from nlrn_tf.datasets.benchmarks import BENCHMARKS, Benchmark, benchmark_images
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.folders import Skipped, some_images_below
from nlrn_tf.imaging.headers import read_shape
from nlrn_tf.tasks.registry import all_tasks, task_names

_SHOWN = 3  # names of images


def is_set(name: object) -> bool:
    """Whether a name is that of a benchmark, or of a folder."""
    return name in BENCHMARKS or (isinstance(name, str) and os.path.isdir(name))


def set_named(name: str) -> Benchmark:
    """The benchmark of a name, else the images of a folder (`own_set`)."""
    return BENCHMARKS[name] if name in BENCHMARKS else own_set(name)


def set_images(name: str, data_dir: str | os.PathLike, max_images: int | None = None) -> list[Path]:
    """The images of a benchmark (`benchmark_images`) or of a folder, sorted.

    Raises:
      NLRNError: there are none, or it is a benchmark that is not complete.
    """
    if name in BENCHMARKS:
        return benchmark_images(name, data_dir, max_images)
    return list(own_set(name).images[:max_images])


@functools.cache
def own_set(name: str) -> Benchmark:
    """A folder as a set of test images.

    With sub-folders of the names of a task (`Task.pair_folders`), such as "clean" and "noisy", it
    holds pairs: the same names in both, whatever the format. Else all images in it and below are
    clean ones, which the evaluation degrades. It is in colour where any image is.

    Raises:
      NLRNError: there are no images, two of one name, or images without their other half.
    """
    root, skipped = Path(name), Skipped()
    pairs: dict[Path, Path] = {}
    found = task_names()[0]
    for task in all_tasks():
        halves = [root / folder for folder in task.pair_folders]
        if all(half.is_dir() for half in halves):
            pairs, found = _paired([_named(half, skipped) for half in halves], halves), task.name
            break
    images = tuple(pairs) or tuple(_named(root, skipped).values())
    shapes = [read_shape(path) for path in (*images, *pairs.values())]
    return Benchmark(
        folder=os.fspath(root),
        count=len(images),
        task=found,
        colour=any(shape is not None and shape[2] == 3 for shape in shapes),
        images=images,
        pairs=pairs,
        skipped=skipped.told(),
    )


def _named(folder: Path, skipped: Skipped) -> dict[str, Path]:
    """The images below a folder by name without suffix, which scores and results are kept under."""
    named: dict[str, Path] = {}
    for path in some_images_below(folder, skipped):
        if named.setdefault(path.stem, path) != path:
            raise NLRNError(f"{path}: has the same name as {named[path.stem]}; rename one of them")
    return named


def _paired(named: Sequence[dict[str, Path]], folders: Sequence[Path]) -> dict[Path, Path]:
    clean, degraded = named
    for here, there, folder in ((clean, degraded, folders[1]), (degraded, clean, folders[0])):
        lacking = sorted(set(here) - set(there))
        if lacking:
            names = ", ".join(lacking[:_SHOWN]) + (", ..." if len(lacking) > _SHOWN else "")
            raise NLRNError(
                f"{folder}: lacks {len(lacking)} of {len(here)} images ({names}); an image and its "
                f"other half need the same name in {folders[0].name} and {folders[1].name}"
            )
    return {path: degraded[name] for name, path in clean.items()}
