"""Getting the public image sets: by download, or from files that the user has."""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pooch
import requests
from rich.console import Console
from rich.table import Table

from nlrn_tf.datasets.sources import ImageSet, SetState, check_set, image_checksum
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_bytes
from nlrn_tf.imaging.files import IMAGE_SUFFIXES
from nlrn_tf.progress import image_progress

_DOWNLOADS = 8  # at once
_TIMEOUT = 30  # seconds


class Wanted(NamedTuple):
    """An image of a set, by name."""

    image_set: ImageSet
    name: str

    @property
    def checksum(self) -> str:
        return self.image_set.checksums[self.name]


def prepare(
    data_dir: str | os.PathLike,
    sets: Sequence[ImageSet],
    from_folder: str | os.PathLike | None = None,
) -> tuple[dict[str, SetState], dict[str, str]]:
    """Gets the images of `sets` that are missing below `data_dir`, each verified and atomically.

    Args:
      data_dir: folder of the data sets.
      sets: the sets.
      from_folder: take the images from the files anywhere below this folder, whatever their
        names, instead of from the internet.

    Returns:
      the state of each set afterwards, by folder, and by folder why a download failed.

    Raises:
      NLRNError: `from_folder` does not exist, the internet cannot be reached, or a file cannot
        be written.
    """
    states = {one.folder: check_set(data_dir, one) for one in sets}
    missing = [Wanted(one, name) for one in sets for name in states[one.folder].missing]
    failures = {}
    if missing and from_folder is not None:
        _take_from(Path(from_folder), data_dir, missing)
    elif missing:
        failures = _download(data_dir, missing)
    changed = {wanted.image_set.folder for wanted in missing}
    states.update({one.folder: check_set(data_dir, one) for one in sets if one.folder in changed})
    return states, failures


def report(
    data_dir: str | os.PathLike,
    sets: Sequence[ImageSet],
    states: dict[str, SetState],
    failures: dict[str, str],
) -> None:
    """Prints a table of what `prepare` found.

    Raises:
      NLRNError: a set is not complete; says where to get it.
    """
    table = Table("set", "images", "sound", "missing", "wrong")
    problems = []
    for one in sets:
        state = states[one.folder]
        counts = [len(part) for part in (state.sound, state.missing, state.wrong)]
        table.add_row(one.folder, *map(str, [len(one.checksums), *counts]))
        problems += _problems(one, state, failures.get(one.folder))
    Console().print(table)
    if problems:
        raise NLRNError(f"{data_dir}: {'; '.join(problems)}")


def _problems(image_set: ImageSet, state: SetState, failure: str | None) -> list[str]:
    problems = []
    if state.missing:
        problems.append(
            f"{image_set.folder} lacks {len(state.missing)} of {len(image_set.checksums)} images "
            f"({', '.join(state.missing[:2])}{', ...' if len(state.missing) > 2 else ''})"
            f"{f', {failure}' if failure else ''}: get them from {image_set.home} "
            "and use `prepare_datasets.py --from=FOLDER`"
        )
    if state.wrong:
        more = f" (and {len(state.wrong) - 1} more)" if len(state.wrong) > 1 else ""
        problems.append(
            f"{state.wrong[0]}{more} differs from the published image: remove it and run this again"
        )
    return problems


def _store(data_dir: str | os.PathLike, wanted: Wanted, path: Path) -> None:
    target = Path(data_dir) / wanted.image_set.folder / f"{wanted.name}{path.suffix.lower()}"
    write_bytes(target, path.read_bytes())


def _take_from(folder: Path, data_dir: str | os.PathLike, missing: Sequence[Wanted]) -> None:
    if not folder.is_dir():
        raise NLRNError(f"{folder}: no such folder")
    by_checksum: dict[str, list[Wanted]] = {}
    for wanted in missing:
        by_checksum.setdefault(wanted.checksum, []).append(wanted)
    kinds = {wanted.image_set.kind for wanted in missing}
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    ]

    def take(path: Path) -> None:
        for kind in kinds:
            for wanted in by_checksum.get(image_checksum(path, kind) or "", ()):
                _store(data_dir, wanted, path)

    _for_each(take, files, f"images in {folder}", threads=None)


def _download(data_dir: str | os.PathLike, missing: Sequence[Wanted]) -> dict[str, str]:
    """Returns for each set that could not be got completely the reason of one failure."""
    pooch.get_logger().setLevel("WARNING")
    failures = {}
    Path(data_dir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as temporary:

        def get(wanted: Wanted) -> None:
            for url in wanted.image_set.urls:
                path, reason = _fetch(url.format(name=wanted.name), wanted, Path(temporary))
                if path is not None:
                    _store(data_dir, wanted, path)
                    return
            failures[wanted.image_set.folder] = reason

        _for_each(get, missing, "downloads", threads=_DOWNLOADS)
    return failures


def _fetch(url: str, wanted: Wanted, folder: Path) -> tuple[Path | None, str]:
    """Downloads and verifies an image; None and the reason if it is not there."""
    image_set = wanted.image_set
    try:
        path = pooch.retrieve(
            url,
            known_hash=None,  # verified below: pooch cannot hash pixels
            fname=f"{wanted.name}{Path(urlsplit(url).path).suffix}",
            path=folder / image_set.folder,
            downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),
        )
    except requests.HTTPError as error:
        status = "unknown" if error.response is None else error.response.status_code
        return None, f"{url}: HTTP status {status}"
    except requests.RequestException as error:
        raise NLRNError(
            f"{url}: cannot be reached ({type(error).__name__}); check the connection, or get "
            f"{image_set.folder} from {image_set.home} by hand and use "
            "`prepare_datasets.py --from=FOLDER`"
        ) from error
    if image_checksum(Path(path), image_set.kind) != wanted.checksum:
        return None, f"{url}: is not the published image (other sha256)"
    return Path(path), ""


def _for_each(work: Callable, items: Sequence, label: str, threads: int | None) -> None:
    with image_progress() as bar, ThreadPoolExecutor(threads) as pool:
        for _ in bar.track(pool.map(work, items), len(items), description=label):
            pass
