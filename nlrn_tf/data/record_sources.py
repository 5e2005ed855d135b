"""The images that records are made from, and whether they are still the same.

`sources.json` in a records folder has for each image its size, its times and its checksum when the
records were made. While size and times are the same, nothing is read; else the checksums decide.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import pooch

from nlrn_tf.data.record_manifest import RecordSet
from nlrn_tf.datasets.sources import public_sets
from nlrn_tf.errors import NLRNError, printable
from nlrn_tf.files import write_text
from nlrn_tf.imaging.folders import Skipped, some_images_below
from nlrn_tf.storage.reading import read_json
from nlrn_tf.storage.schema import Matching, Within

SOURCES = "sources.json"

_Count = Annotated[int, Within(0, 2**63)]
_SHOWN = 3  # names of images that have changed


@dataclasses.dataclass(frozen=True)
class Stamp:
    """An image file when it was read: size in bytes, times in nanoseconds, sha256."""

    size: _Count
    modified: _Count
    changed: _Count
    sha256: Annotated[str, Matching(r"[0-9a-f]{64}")]


class Source(NamedTuple):
    """An image file to store: its path, and its name in the records."""

    path: Path
    name: str


def source_images(
    data_dir: str | os.PathLike, source: str, skipped: Skipped | None = None
) -> list[Path]:
    """The images of a source, a folder below the data folder or anywhere, and its sub-folders.

    Args:
      data_dir: folder of the data sets.
      source: the folder.
      skipped: gets what is left out.

    Raises:
      NLRNError: it is missing, cannot be read, or holds no image; says what to do.
    """
    try:
        return some_images_below(Path(data_dir) / source, skipped or Skipped())
    except NLRNError as error:
        raise NLRNError(f"{error}; {_advice(data_dir, source)}") from error


def tell_skipped(skipped: Skipped) -> None:
    """Prints on standard error what is left out of the sources."""
    if said := skipped.told():
        print(printable(said), file=sys.stderr)


def named_sources(
    data_dir: str | os.PathLike, files: Mapping[str, Sequence[Path]]
) -> Iterator[Source]:
    """Each image with its name: source, sub-folders and file name without suffix.

    Args:
      data_dir: folder of the data sets.
      files: the images of each source.

    Raises:
      NLRNError: two have the same name.
    """
    seen: dict[str, Path] = {}
    for source, paths in files.items():
        for path in paths:
            relative = path.relative_to(Path(data_dir) / source).with_suffix("")
            name = f"{source}/{relative.as_posix()}"
            if name in seen:
                raise NLRNError(f"{path}: has the same name as {seen[name]}; remove one of them")
            seen[name] = path
            yield Source(path, name)


def stamp_of(path: Path) -> Stamp:
    """What an image file is now; reads it."""
    times = _times(path)  # before reading, so that a later change shows
    return Stamp(*times, pooch.file_hash(str(path)))


def save_sources(directory: Path, stamps: Mapping[str, Stamp]) -> None:
    """Writes `sources.json`, atomically."""
    content = {name: dataclasses.asdict(stamp) for name, stamp in stamps.items()}
    write_text(directory / SOURCES, json.dumps(content, indent=1) + "\n")


def check_unchanged(
    records: RecordSet,
    data_dir: str | os.PathLike,
    files: Mapping[str, Sequence[Path]],
    stored_checksums: Callable[[RecordSet], Mapping[str, str]],
) -> None:
    """Checks that records hold the images that are in the folders now.

    Args:
      records: complete records.
      data_dir: folder of the data sets.
      files: the images of those sources whose folder is there.
      stored_checksums: reads the sha256 of each image from the record files, of which those without
        `sources.json` were made.

    Raises:
      NLRNError: images have been replaced or renamed.
    """
    before: dict[str, Stamp] = {}
    if os.path.exists(records.directory / SOURCES):
        problem, remedy = "damaged list of the images of the records", "delete it"
        before = read_json(records.directory / SOURCES, dict[str, Stamp], problem, remedy)
    new = [
        (path, name)
        for path, name in named_sources(data_dir, files)
        if name not in before or _times(path) != dataclasses.astuple(before[name])[:3]
    ]
    if not new:
        return
    known = {name: stamp.sha256 for name, stamp in before.items()} or stored_checksums(records)
    with ThreadPoolExecutor() as pool:
        stamps = list(pool.map(stamp_of, [path for path, _ in new]))
    pairs = list(zip(new, stamps, strict=True))
    different = [path for (path, name), stamp in pairs if known.get(name) != stamp.sha256]
    if different:
        names = ", ".join(path.name for path in different[:_SHOWN])
        raise NLRNError(
            f"{records.directory}: was made from other images: {len(different)} have been replaced "
            f"or renamed since ({names}{', ...' if len(different) > _SHOWN else ''}); use another "
            "records folder, or delete this one"
        )
    if os.access(records.directory, os.W_OK):
        save_sources(records.directory, before | {name: stamp for (_, name), stamp in pairs})


def _advice(data_dir: str | os.PathLike, source: str) -> str:
    if any(f"{folder}/".startswith(f"{source}/") for folder in public_sets()):
        return (
            f"`python data_tools/prepare_datasets.py --data_dir={data_dir}` gets the public data "
            "sets (`--from=FOLDER` takes them from a local folder)"
        )
    return f"sources are folders of images below data_dir={data_dir}, or whole paths"


def _times(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
