"""Names of inputs and outputs on any file system: patterns, and which file becomes which.

A place is a path of this machine, or a URL whose file system Beam knows ("gs://bucket/photos").
Light: needs neither TensorFlow nor Beam.
"""

import dataclasses
import itertools
import os
import re
from pathlib import PurePosixPath

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import READ_SUFFIXES

_URL = re.compile(r"[a-zA-Z][-a-zA-Z0-9+.]*://")
_WILDCARDS = re.compile(r"[*?\[]")
_ANY_FOLDERS = "**/"


@dataclasses.dataclass(frozen=True)
class Places:
    """The inputs of a batch and where its results go.

    Attributes:
      patterns: of the inputs, for Beam's file systems; one file may match several.
      root: the folder below which the inputs are, without a slash at its end.
      output: the folder of the results, likewise.
      suffix: of the results.
      keep_suffix: whether the inputs' own stays before it.
    """

    patterns: tuple[str, ...]
    root: str
    output: str
    suffix: str
    keep_suffix: bool = False

    def target(self, source: str) -> str | None:
        """The result of an input; None of a file that is not one.

        These are no images by their names, hidden, or in the output folder.
        """
        relative = PurePosixPath(source[len(self.root) :].replace(os.sep, "/").lstrip("/"))
        if relative.suffix.lower() not in READ_SUFFIXES:
            return None
        if any(part.startswith(".") for part in relative.parts) or below(source, self.output):
            return None
        name = relative.name if self.keep_suffix else relative.stem
        return f"{self.output}/{relative.with_name(name + self.suffix)}"


def places_of(pattern: str, output: str, suffix: str, keep_suffix: bool = False) -> Places:
    """What a pattern and an output folder mean.

    Args:
      pattern: of the inputs. `*` stands for any part of a name, `?` for a letter, `[ab]` for one of
        some, `**` also for slashes, and `**/` for any folders or none. The results keep their
        places below the folder before the first of these. A folder stands for all images below it.
      output: folder of the results.
      suffix: of the results, such as ".png".
      keep_suffix: whether the inputs' own stays before it.

    Raises:
      NLRNError: the results would lie among or above the inputs.
    """
    pattern, output = _absolute(pattern), _absolute(output).rstrip("/")
    if not _WILDCARDS.search(pattern) and _is_folder(pattern):
        pattern = f"{pattern.rstrip('/')}/**"
    found = _WILDCARDS.search(pattern)
    root = pattern[: found.start() if found else len(pattern)].rpartition("/")[0]
    if output == root or below(root, output):
        raise NLRNError(
            f"output={output}: holds the inputs of {pattern}; choose a folder that does not"
        )
    head, *parts = pattern.split(_ANY_FOLDERS)
    patterns = [head]
    for part in parts:
        patterns = [
            before + folders + part
            for before, folders in itertools.product(patterns, ("", _ANY_FOLDERS))
        ]
    return Places(tuple(patterns), root, output, suffix, keep_suffix)


def is_local(place: str) -> bool:
    """Whether a place is on a file system of this machine."""
    return not _URL.match(place)


def below(place: str, folder: str) -> bool:
    """Whether a place lies in a folder, at whatever depth."""
    return place.startswith(f"{folder}/")


def _absolute(place: str) -> str:
    """A path as the same for all processes; without links, of which one folder may have several."""
    if not is_local(place):
        return place
    folder, wildcards = place, ""
    if found := _WILDCARDS.search(place):
        at = place.rfind("/", 0, found.start()) + 1
        folder, wildcards = place[:at], place[at:]
    resolved = os.path.realpath(folder)
    return f"{resolved.rstrip('/')}/{wildcards}" if wildcards else resolved


def _is_folder(place: str) -> bool:
    if is_local(place):
        return os.path.isdir(place)
    return PurePosixPath(place).suffix.lower() not in READ_SUFFIXES
