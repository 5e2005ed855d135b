"""Atomic file writing: a reader sees the old file or the whole new one, never half."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nlrn_tf.errors import NLRNError

# A temporary name must not be too long where the name itself is not.
_KEPT_OF_NAME = 40


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` when the block succeeds.

    Makes the parent folder. When the block raises, the temporary file is removed and `path`
    is left as it was.

    Raises:
      NLRNError: the file cannot be written (full disk, no permission, a folder is in the way).
    """
    path = Path(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept: OpenCV and Keras choose the format by it.
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:_KEPT_OF_NAME]}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; renames it to `path` when the block succeeds.

    Makes the parent folder. When the block raises, the temporary folder is removed. The name of
    the temporary folder begins with a dot.

    Raises:
      NLRNError: `path` exists already or cannot be written.
    """
    path = Path(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:_KEPT_OF_NAME]}.", dir=path.parent))
        try:
            yield temporary
            for written in [*temporary.rglob("*"), temporary]:
                _sync(written)
            temporary.chmod(0o777 & ~_umask())
            _rename_folder(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes `content` to `path` atomically. Raises NLRNError like `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike, content: str) -> None:
    """Writes `content` to `path` atomically as UTF-8. Raises NLRNError like `atomic_path`."""
    write_bytes(path, content.encode())


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Says of an OSError in the block that `path` cannot be written, and what to do."""
    try:
        yield
    except OSError as error:
        raise NLRNError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "free some space or choose another place"
        ) from error


def _rename_folder(temporary: Path, path: Path) -> None:
    # A folder replaces only an empty one, so two writers cannot overwrite each other's.
    if path.exists():
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
