"""Locks of the operating system, which end with their process however that ends."""

import errno
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)


class NoLocksError(OSError):
    """The file system has no locks."""


def lock(handle: int, *, wait: bool = False) -> bool:
    """Locks an open file or folder until `handle` is closed.

    Two handles exclude each other also within one process.

    Args:
      handle: of `os.open`. Needs `AVAILABLE`.
      wait: until it is free.

    Returns:
      False when another has it.

    Raises:
      NoLocksError: there are none here.
      OSError: of the operating system.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise NoLocksError(error.errno, os.strerror(error.errno)) from error
        raise
    return True


def is_at(handle: int, path: str | os.PathLike) -> bool:
    """Whether an open file or folder is the one that has the name `path` now."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
