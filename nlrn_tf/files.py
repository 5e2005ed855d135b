"""Atomic file writing: a reader sees the old file or the whole new one, never half."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from nlrn_tf.errors import NLRNError
from nlrn_tf.storage.temporary import (
    remove_abandoned_once,
    temporary_file,
    temporary_folder,
)

# What TensorFlow puts around the words of the system.
_OPERATIONS = re.compile(r"\{\{.*?\}\}\s*|\s*\[Op:.*", re.DOTALL)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` when the block succeeds.

    Makes the parent folder. When the block raises, the temporary file is removed and `path`
    is left as it was. What a process that was killed has left in the folder is removed at the
    first call.

    Raises:
      NLRNError: the file cannot be written (full disk, no permission, a folder is in the way).
    """
    path = Path(path)
    with writing(path):
        _prepare(path.parent)
        with temporary_file(path) as temporary:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; renames it to `path` when the block succeeds.

    Makes the parent folder. When the block raises, the temporary folder is removed. The name of
    the temporary folder begins with a dot.

    Raises:
      NLRNError: `path` exists already or cannot be written.
    """
    path = Path(path)
    with writing(path):
        _prepare(path.parent)
        with temporary_folder(path) as temporary:
            yield temporary
            for written in [*temporary.rglob("*"), temporary]:
                _sync(written)
            temporary.chmod(0o777 & ~_umask())
            _rename_folder(temporary, path)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes `content` to `path` atomically. Raises NLRNError like `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike, content: str) -> None:
    """Writes `content` to `path` atomically as UTF-8. Raises NLRNError like `atomic_path`.

    Bytes of file names that are not UTF-8, which Python keeps in a text, are written as they were.
    """
    write_bytes(path, content.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Says of an OSError in the block that `path` cannot be written, and what to do.

    Raises:
      NLRNError: in place of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def require_text(path: str | os.PathLike) -> Path:
    """A path that other libraries can open too: TensorFlow takes UTF-8 alone.

    Raises:
      NLRNError: its name has bytes that are not UTF-8, or NUL.
    """
    text = os.fspath(path)
    try:
        is_text = "\0" not in text and bool(text.encode())
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise NLRNError(f"{ascii(text)[1:-1]}: the name is not UTF-8; give another place")
    return Path(path)


@contextlib.contextmanager
def writing_by_tensorflow(path: str | os.PathLike) -> Iterator[None]:
    """Says of an error of TensorFlow in the block that `path` cannot be written, and what to do.

    Raises:
      NLRNError: in place of the error.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("tensorflow."):
            raise
        words = _OPERATIONS.sub("", getattr(error, "message", ""))
        raise _unwritable(path, words or type(error).__name__) from error


def _unwritable(path: str | os.PathLike, reason: str) -> NLRNError:
    return NLRNError(
        f"{path}: cannot be written ({reason}); free some space or choose another place"
    )


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned_once(folder)


def _rename_folder(temporary: Path, path: Path) -> None:
    # A folder replaces only an empty one, so two writers cannot overwrite each other's.
    if os.path.exists(path):
        raise NLRNError(f"{path}: exists already; choose another name")
    temporary.rename(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
