"""One process at a time: locks of work folders, of records and of files of scores."""

import contextlib
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from nlrn_tf.errors import NLRNError, printable
from nlrn_tf.files import writing
from nlrn_tf.storage import flock

NAME = ".lock"  # in a folder

_HOLDER = re.compile(r"process \d{1,10} on [\w.-]{1,64}( \([ -~]{0,200}\))?")
_SECONDS_TO_SIGN = 0.5  # from taking a lock to writing one's name into it


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other processes out of a folder, which is made when it is missing.

    Raises:
      NLRNError: another process has it; the message names the process. Or it cannot be written.
    """
    folder = Path(folder)
    made = not os.path.isdir(folder)
    try:
        with _locked(folder / NAME, folder):
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # something was written into it
                folder.rmdir()


@contextlib.contextmanager
def lock_file(path: str | os.PathLike) -> Iterator[None]:
    """Keeps other processes from writing a file, by a hidden file beside it.

    Raises:
      NLRNError: as for `lock_folder`.
    """
    path = Path(path)
    with _locked(path.with_name(f".{path.name}{NAME}"), path):
        yield


@contextlib.contextmanager
def _locked(path: Path, subject: Path) -> Iterator[None]:
    with writing(subject):
        handle = _take(path, subject)
    if handle is None:
        name = printable(str(subject))
        print(
            f"warning: {name}: this file system has no locks; let no other process use it",
            file=sys.stderr,
        )
    try:
        yield
    finally:
        if handle is not None:
            # Removed while it is locked, so that nobody else's is.
            path.unlink(missing_ok=True)
            os.close(handle)


def _take(path: Path, subject: Path) -> int | None:
    """The handle of a lock file that is ours now, None where there are no locks.

    One that a killed process has left is free.
    """
    while flock.AVAILABLE:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # the folder was removed meanwhile
            continue
        try:
            if not flock.lock(handle):
                raise NLRNError(
                    f"{subject}: in use by {_holder(handle)}; wait until it has ended, or give "
                    "another place"
                )
            if flock.is_at(handle, path):
                os.truncate(handle, 0)
                os.pwrite(handle, _signature().encode(), 0)
                return handle
        except flock.NoLocksError:
            path.unlink(missing_ok=True)
            os.close(handle)
            break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder has removed it
    return None


def _signature() -> str:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    command = "".join(c if " " <= c <= "~" else "?" for c in command)[:200]
    host = re.sub(r"[^\w.-]", "-", socket.gethostname(), flags=re.ASCII)[:64] or "this host"
    return f"process {os.getpid()} on {host} ({command})"


def _holder(handle: int) -> str:
    end = time.monotonic() + _SECONDS_TO_SIGN
    while True:
        found = _HOLDER.fullmatch(os.pread(handle, 1000, 0).decode("utf-8", "replace"))
        if found:
            return found[0]
        if time.monotonic() > end:
            return "another process"
        time.sleep(0.02)
