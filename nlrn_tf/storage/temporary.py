"""Temporary files and folders beside the final ones, and removing those of processes that died.

Each is locked (`flock`) while it is written. So one that nobody has locked is left from a process
that was killed, on this machine or on another that shares the file system.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nlrn_tf.storage import flock

_MARK = ".nlrn-"
_OURS = re.compile(r"\..*\.nlrn-[a-z0-9_]{8}(\.[^.]*)?", re.DOTALL)
# A temporary name must not be too long where the name itself is not.
_KEPT_OF_NAME, _KEPT_OF_SUFFIX = 40, 16

_looked_at: set[Path] = set()  # folders, by this process


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Makes an empty file beside `path`, with its suffix; removes what is left of it at the end.

    Raises:
      OSError: it cannot be made.
    """
    # The suffix is kept: OpenCV and Keras choose the format by it.
    suffix = path.suffix if len(path.suffix) <= _KEPT_OF_SUFFIX else ""

    def make() -> str:
        handle, name = tempfile.mkstemp(prefix=_prefix(path.stem), suffix=suffix, dir=path.parent)
        os.close(handle)
        return name

    with _locked(make) as temporary:
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Makes a folder beside `path`; removes what is left of it at the end.

    Raises:
      OSError: it cannot be made.
    """
    with _locked(lambda: tempfile.mkdtemp(prefix=_prefix(path.name), dir=path.parent)) as temporary:
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned_once(folder: Path) -> None:
    """`remove_abandoned`, the first time that this process writes into a folder."""
    if folder not in _looked_at:
        _looked_at.add(folder)
        remove_abandoned(folder)


def remove_abandoned(folder: Path) -> None:
    """Removes the temporary files and folders of processes that ended before they could.

    Those that are being written stay, and so does everything with another kind of name.
    """
    if not flock.AVAILABLE:
        return
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if _OURS.fullmatch(name):
            # What cannot be opened or removed belongs to someone else.
            with contextlib.suppress(OSError):
                _remove_if_abandoned(folder / name)


def _remove_if_abandoned(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if flock.lock(handle):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(make) -> Iterator[Path]:
    """What `make` makes, locked where there are locks."""
    if not flock.AVAILABLE:
        yield Path(make())
        return
    while True:
        temporary = Path(make())
        try:
            handle = os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:  # taken for abandoned before it could be locked
            continue
        with contextlib.suppress(flock.NoLocksError):  # then nobody takes it for abandoned
            flock.lock(handle, wait=True)
        if flock.is_at(handle, temporary):
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        os.close(handle)


def _prefix(name: str) -> str:
    return f".{name[:_KEPT_OF_NAME]}{_MARK}"
