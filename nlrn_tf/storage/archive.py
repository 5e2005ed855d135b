"""Zip archives as this program writes them, without compression: `.keras` and `.npz` files."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from nlrn_tf.storage.schema import MisfitError

MAX_ENTRIES = 10_000


@contextmanager
def open_archive(path: str | os.PathLike) -> Iterator[zipfile.ZipFile]:
    """Opens an archive whose entries are stored as they are, so take no more than the file.

    Raises:
      MisfitError: it is no zip archive or a damaged one, or its entries are compressed or
        encrypted, overlap, or have the same name.
      OSError: it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        raise MisfitError("not a zip archive, or the end is missing")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise MisfitError(f"it has {len(entries)} entries")
        if len({entry.filename for entry in entries}) < len(entries):
            raise MisfitError("two entries have the same name")
        for entry in entries:
            is_plain = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
            if not is_plain or entry.compress_size != entry.file_size:
                raise MisfitError("an entry is compressed or encrypted")
        if sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise MisfitError("the entries are larger than the file")
        yield archive


def entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of an entry, whose checksum is right.

    Raises:
      MisfitError: there is none of this name.
      zipfile.BadZipFile: it is damaged.
    """
    if name not in archive.namelist():
        raise MisfitError(f"there is no {name} in it")
    return archive.read(name)
