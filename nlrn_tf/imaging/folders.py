"""The images below a folder, and what else lies there: nothing is left out without being told."""

import os
from collections.abc import Iterable
from pathlib import Path

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import READ_SUFFIXES, is_image

HIDDEN = "hidden"
LINK_TO_FOLDER = "link to a folder, give it as an input itself"
BROKEN_LINK = "link that leads nowhere"
UNREADABLE = "folder that cannot be read"
NO_FILE = "neither file nor folder"
NO_IMAGE = "no image by its name"
EXISTING = "its output exists"

_SHOWN = 3  # names for each reason


class Skipped:
    """What is left out of folders, by reason."""

    def __init__(self) -> None:
        self._paths: dict[str, list[Path]] = {}

    def add(self, reason: str, paths: Iterable[Path]) -> None:
        """Notes paths that are left out for a reason, such as `HIDDEN`."""
        for path in paths:
            self._paths.setdefault(reason, []).append(path)

    def of(self, reason: str) -> list[Path]:
        """The paths that are left out for a reason."""
        return self._paths.get(reason, [])

    def told(self) -> str | None:
        """All of it in one line, with the number and some names for each reason."""
        parts = []
        for reason, paths in sorted(self._paths.items()):
            names = ", ".join(path.name for path in paths[:_SHOWN])
            more = ", ..." if len(paths) > _SHOWN else ""
            parts.append(f"{len(paths)} ({reason}: {names}{more})")
        number = sum(map(len, self._paths.values()))
        return f"skipped {number}: {'; '.join(parts)}" if parts else None


def images_below(
    folder: str | os.PathLike, skipped: Skipped, output: str | os.PathLike | None = None
) -> list[Path]:
    """The image files in a folder and its sub-folders, sorted.

    Links to folders are not followed, since they may lead in circles; links to files are.

    Args:
      folder: where to look.
      skipped: gets what is left out.
      output: a folder that is not looked into, and not told.

    Raises:
      NLRNError: there is no such folder, or it cannot be read.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise NLRNError(f"{folder}: no such folder")

    def unreadable(error: OSError):
        if Path(error.filename) == folder:
            raise NLRNError(f"{folder}: cannot be read ({error.strerror})") from error
        skipped.add(UNREADABLE, [Path(error.filename)])

    left_out = None if output is None else Path(output).resolve()
    images = []
    for where, folders, names in os.walk(folder, onerror=unreadable):
        parent = Path(where)
        folders[:] = [
            name
            for name in folders
            if _is_entered(parent / name, skipped) and (parent / name).resolve() != left_out
        ]
        images += [parent / name for name in names if _is_image(parent / name, skipped)]
    return sorted(images)


def some_images_below(
    folder: str | os.PathLike, skipped: Skipped, output: str | os.PathLike | None = None
) -> list[Path]:
    """As `images_below`, at least one.

    Raises:
      NLRNError: as there, or the folder holds no image.
    """
    images = images_below(folder, skipped, output)
    if not images:
        told = skipped.told()
        suffixes = ", ".join(READ_SUFFIXES)
        raise NLRNError(f"{folder}: holds no image ({suffixes})" + (f"; {told}" if told else ""))
    return images


def _is_entered(folder: Path, skipped: Skipped) -> bool:
    if folder.name.startswith("."):
        skipped.add(HIDDEN, [folder])
    elif folder.is_symlink():
        skipped.add(LINK_TO_FOLDER, [folder])
    else:
        return True
    return False


def _is_image(path: Path, skipped: Skipped) -> bool:
    """Here os.path asks for files: Path.exists raises where the system does not allow a name."""
    if path.name.startswith("."):
        skipped.add(HIDDEN, [path])
    elif os.path.islink(path) and not os.path.exists(path):
        skipped.add(BROKEN_LINK, [path])
    elif not os.path.isfile(path):
        skipped.add(NO_FILE, [path])
    elif path.suffix.lower() not in READ_SUFFIXES and (path.suffix or not is_image(path)):
        skipped.add(NO_IMAGE, [path])
    else:
        return True
    return False
