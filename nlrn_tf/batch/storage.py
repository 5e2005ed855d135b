"""Files on any file system that Beam knows: whole files, read and written atomically.

Paths of this machine are read and written as everywhere else in the package; others by Beam.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from nlrn_tf.batch.places import is_local
from nlrn_tf.errors import NLRNError, blaming
from nlrn_tf.files import write_bytes

# Results are written into it and renamed when they are whole; what is there is not.
UNFINISHED = ".nlrn-unfinished"

_CHUNK = 1 << 24


def matching(pattern: str, most: int | None = None) -> Iterator[str]:
    """The files that match a pattern of `places`, at most as many.

    Raises:
      NLRNError: the file system is not there, or does not list them.
    """
    with blaming(pattern, "cannot be listed ({})"):
        [found] = FileSystems.match([pattern], [most])
        for metadata in found.metadata_list:
            # A pipe or a device on this machine would be waited for without end.
            if not is_local(metadata.path) or os.path.isfile(metadata.path):
                yield metadata.path


def exists(place: str) -> bool:
    """Whether there is a file. Raises NLRNError where that cannot be known."""
    with blaming(place, "cannot be looked for ({})"):
        return FileSystems.exists(place)


def read(place: str, check_size: Callable[[int], None] = lambda size: None) -> bytes:
    """The bytes of a file.

    Args:
      place: of the file.
      check_size: called now and then with the bytes that it has at least; may raise.

    Raises:
      NLRNError: it cannot be read.
    """
    chunks, size = [], 0
    with (
        blaming(place, "cannot be read ({})"),
        FileSystems.open(place, compression_type=CompressionTypes.UNCOMPRESSED) as file,
    ):
        while chunk := file.read(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            check_size(size)
    return b"".join(chunks)


def write(place: str, content: bytes, output: str) -> None:
    """Writes a file atomically: it appears under its name when it is whole.

    Beyond this machine an old file of that name is removed just before.

    Args:
      place: of the file.
      content: of the file.
      output: folder of the batch, on the file system of `place`.

    Raises:
      NLRNError: it cannot be written.
    """
    if is_local(place):
        write_bytes(place, content)
        return
    with blaming(place, "cannot be written ({})"):
        # Another name each time: a worker that is taken for dead may be writing the same file.
        unfinished = FileSystems.join(output, UNFINISHED, uuid.uuid4().hex)
        _make_folder(FileSystems.split(unfinished)[0])
        with FileSystems.create(unfinished, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(content)
        _make_folder(FileSystems.split(place)[0])
        if FileSystems.exists(place):  # HDFS renames to new names only
            FileSystems.delete([place])
        FileSystems.rename([unfinished], [place])


@contextlib.contextmanager
def here(place: str, check_size: Callable[[int], None]) -> Iterator[Path]:
    """A file on this machine, copied where it is elsewhere.

    Args:
      place: of the file.
      check_size: see `read`.

    Raises:
      NLRNError: it cannot be read; or what the block raises, with the place for the copy.
    """
    if is_local(place):
        yield Path(place)
        return
    with _stand_in(place) as copy:
        copy.write_bytes(read(place, check_size))
        yield copy


@contextlib.contextmanager
def arriving(place: str, output: str) -> Iterator[Path]:
    """A file on this machine that the block writes, taken to its place after it.

    Args:
      place, output: see `write`.

    Raises:
      NLRNError: it cannot be written; or what the block raises, with the place for the file.
    """
    if is_local(place):
        yield Path(place)
        return
    with _stand_in(place) as file:
        yield file
        write(place, file.read_bytes(), output)


@contextlib.contextmanager
def _stand_in(place: str) -> Iterator[Path]:
    """A temporary path of the same name, for which errors of the block name the place."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / os.path.basename(place)
        try:
            yield path
        except NLRNError as error:
            raise NLRNError(str(error).replace(str(path), place)) from error.__cause__


def remove_unfinished(output: str) -> None:
    """Removes what killed runs have left in an output folder that is not on this machine.

    Raises:
      NLRNError: it cannot be removed.
    """
    if is_local(output):  # there `files.write_bytes` looks after it
        return
    folder = FileSystems.join(output, UNFINISHED)
    left = [*matching(f"{folder}/**")]
    with blaming(folder, "cannot be removed ({})"):
        if left:
            FileSystems.delete(left)


def _make_folder(folder: str) -> None:
    """Makes a folder, where the file system has any, which another worker may be making too."""
    if not FileSystems.get_filesystem(folder).has_dirs() or FileSystems.exists(folder):
        return
    try:
        FileSystems.mkdirs(folder)
    except OSError:
        if not FileSystems.exists(folder):
            raise
