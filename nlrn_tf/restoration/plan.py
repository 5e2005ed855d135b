"""Which output file is made of which input, and whether it can be: checks before the work."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from nlrn_tf.errors import NLRNError, reason_of
from nlrn_tf.imaging.files import IMAGE_SUFFIXES, READ_SUFFIXES, is_image
from nlrn_tf.imaging.folders import Skipped, some_images_below
from nlrn_tf.imaging.photo_files import suffix_of_result

# Here os.path asks for files: Path.exists raises where the system does not allow a name.
StrPath = str | os.PathLike


def plan(
    inputs: Sequence[StrPath],
    output: StrPath,
    suffix: str = ".png",
    *,
    keep_suffix: bool = False,
    skipped: Skipped | None = None,
) -> dict[Path, Path]:
    """Which file is made from which: `{target: source}`, in the order of work.

    Args:
      inputs, output: see `nlrn_tf.restoration.files.restore_files`.
      suffix, keep_suffix: of the files in an output folder, see `OutputSettings`.
      skipped: gets what is left out of the folders.

    Raises:
      NLRNError: a missing or unsupported input, an output that is not possible, or two inputs
        for one output.
    """
    sources = [Path(path) for path in inputs]
    if not sources:
        raise NLRNError("no input: name at least one image file or folder")
    if suffix.lower() not in IMAGE_SUFFIXES:
        raise NLRNError(f"suffix '{suffix}': use one of {', '.join(IMAGE_SUFFIXES)}")
    for path in sources:
        _check_input(path)
    into_folder = str(os.fspath(output)).endswith(os.sep) or os.path.isdir(output)
    output = Path(output)
    if len(sources) == 1 and os.path.isfile(sources[0]) and not into_folder:
        _check_suffix(output, IMAGE_SUFFIXES, "end it with / if a folder is meant")
        return {output: sources[0]}
    if os.path.exists(output) and not os.path.isdir(output):
        raise NLRNError(f"{output}: is a file; a folder or several inputs need an output folder")
    if output.suffix.lower() in IMAGE_SUFFIXES and not into_folder:
        raise NLRNError(f"{output}: names one image; a folder or several inputs need a folder")
    found: dict[Path, list[Path]] = {}
    for source, relative in _sources(sources, output, Skipped() if skipped is None else skipped):
        name = relative.name if keep_suffix else relative.stem
        new_suffix = suffix_of_result(source, suffix)
        made_from = found.setdefault(output / relative.with_name(f"{name}{new_suffix}"), [])
        if source not in made_from:
            made_from.append(source)
    _check_apart(found, suffix, keep_suffix)
    return {target: made_from[0] for target, made_from in found.items()}


def _check_apart(found: dict[Path, list[Path]], suffix: str, keep_suffix: bool) -> None:
    """Whether each output is made from one input; names all that are not."""
    together = {target: paths for target, paths in found.items() if len(paths) > 1}
    if not together:
        return
    names = [[path.name for path in paths] for paths in together.values()]
    remedy = "rename them or restore them into different folders"
    if not keep_suffix and all(len(set(each)) == len(each) for each in names):
        remedy = f"give keep_suffix=True ({names[0][0]} becomes {names[0][0]}{suffix}), or {remedy}"
    listed = "; ".join(
        f"{' and '.join(map(str, paths))} would both become {target}"
        if len(paths) == 2
        else f"{', '.join(map(str, paths))} would all become {target}"
        for target, paths in together.items()
    )
    raise NLRNError(f"{listed}; {remedy}")


def _sources(inputs: list[Path], output: Path, skipped: Skipped) -> Iterator[tuple[Path, Path]]:
    """Each image with its place in the output folder."""
    for path in inputs:
        if os.path.isfile(path):
            yield path, Path(path.name)
            continue
        root = Path() if len(inputs) == 1 else Path(path.resolve().name)
        for image in some_images_below(path, skipped, output):
            yield image, root / image.relative_to(path)


def _check_input(path: Path) -> None:
    if os.path.isdir(path):
        return
    if not os.path.exists(path):
        raise NLRNError(f"{path}: no such file or folder")
    if not is_image(path):
        _check_suffix(path, READ_SUFFIXES, "convert it first")
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise NLRNError(f"{path}: is not a file that can be read")


def _check_suffix(path: Path, known: Sequence[str], advice: str) -> None:
    if path.suffix.lower() in known:
        return
    if path.suffix.lower() in READ_SUFFIXES:
        raise NLRNError(f"{path}: {path.suffix} files are read, not written; use .png")
    raise NLRNError(
        f"{path}: '{path.suffix}' is no image format (they are {', '.join(known)}); {advice}"
    )


def check_outputs(jobs: dict[Path, Path], may_exist: bool) -> None:
    """Checks that the targets of `plan` can be written without loss.

    Raises:
      NLRNError: one is an input, is a folder, exists although it may not, or cannot be written.
    """
    inputs = {_identity(source): source for source in jobs.values()}
    for target in jobs:
        _check_writable(target)
    existing = [target for target in jobs if os.path.exists(target)]
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
            "give overwrite=True to replace, skip_existing=True to go on, or another output"
        )


def check_name(target: Path) -> None:
    """Checks that the system allows the name of a file.

    Raises:
      NLRNError: it does not, for instance because it is too long.
    """
    try:
        os.lstat(target)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise NLRNError(f"{target}: cannot be written ({reason_of(error)})") from error


def _check_writable(output: Path) -> None:
    """Looks at the nearest folder that exists, so that no work is lost later."""
    folder = next(parent for parent in output.absolute().parents if os.path.exists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise NLRNError(f"{output}: cannot be written, {folder} is no folder that allows it")


def _identity(path: Path) -> tuple[int, int]:
    """The same for all names of one file: links, other spellings."""
    status = path.stat()
    return status.st_dev, status.st_ino
