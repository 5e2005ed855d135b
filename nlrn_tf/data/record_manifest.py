"""The manifest of a records folder: which images are where, and checksums of the record files.

`manifest.json` is written after the record files and so marks that the folder is complete.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated

import pooch

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import require_text, write_text
from nlrn_tf.storage.reading import read_json, reading
from nlrn_tf.storage.schema import Matching, MisfitError, Within, checked

SCHEMA_VERSION = 1

Count = Annotated[int, Within(1, 2**53)]
MANIFEST = "manifest.json"

_FRAME_HEAD, _FRAME_TAIL = 12, 4  # TFRecord: length and its CRC before, CRC of the data after


@dataclasses.dataclass(frozen=True)
class Shard:
    """One record file: its name in the folder, size in bytes, sha256 and number of images."""

    file: Annotated[str, Matching(r"images-\d{5}-of-\d{5}\.tfrecord")]
    bytes: Count
    sha256: Annotated[str, Matching(r"[0-9a-f]{64}")]
    images: Count


@dataclasses.dataclass(frozen=True)
class RecordImage:
    """One image: its name, size in pixels, and the length of its serialised example in bytes."""

    name: Annotated[str, Matching(r"(?s).+/.+")]
    height: Annotated[int, Within(1, 2**31 - 1)]
    width: Annotated[int, Within(1, 2**31 - 1)]
    bytes: Count


@dataclasses.dataclass(frozen=True)
class RecordSet:
    """A complete records folder, as its manifest describes it.

    Attributes:
      directory: the folder.
      channel: "grey" or "y".
      sources: folders below the data folder that the images come from, each with its number
        of images.
      shards: the record files.
      images: all images in order; image `i` is record `i // len(shards)` of shard
        `i % len(shards)`.
    """

    directory: Path
    channel: str
    sources: dict[str, Count]
    shards: tuple[Shard, ...]
    images: tuple[RecordImage, ...]

    @property
    def paths(self) -> list[Path]:
        """The record files."""
        return [self.directory / shard.file for shard in self.shards]

    @property
    def pixels(self) -> int:
        """Number of pixels of all images, which is their decoded size in bytes."""
        return sum(image.height * image.width for image in self.images)

    def offsets(self) -> list[int]:
        """For each image the byte at which its serialised example starts in its shard."""
        ends = [0] * len(self.shards)
        starts = []
        for index, image in enumerate(self.images):
            shard = index % len(self.shards)
            starts.append(ends[shard] + _FRAME_HEAD)
            ends[shard] = starts[-1] + image.bytes + _FRAME_TAIL
        return starts

    def verify(self) -> None:
        """Compares size, sha256 and lengths of each record file with the manifest.

        Raises:
          NLRNError: names the file that is missing, truncated or changed.
        """
        for number, (path, shard) in enumerate(zip(self.paths, self.shards, strict=True)):
            lengths = [image.bytes for image in self.images[number :: len(self.shards)]]
            _verify_shard(path, shard, lengths)


def load_records(records_dir: str | os.PathLike) -> RecordSet:
    """Reads the manifest of a records folder (not the record files; see `RecordSet.verify`).

    Raises:
      NLRNError: there is no manifest, it is damaged or contradicts itself, or its schema version
        is not `SCHEMA_VERSION`.
    """
    path = require_text(records_dir) / MANIFEST
    if not os.path.isfile(path):
        raise NLRNError(f"{path}: is missing; make the records with data_tools/make_records.py")
    content = read_json(path, dict[str, object], _PROBLEM, _REMAKE_ALL)
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise NLRNError(
            f"{path}: schema version {ascii(version)[:20]}, but this program reads version "
            f"{SCHEMA_VERSION}; {_REMAKE_ALL}"
        )
    with reading(path, _PROBLEM, _REMAKE_ALL):
        records = checked(RecordSet, {**content, "directory": path.parent})
        _check_consistent(records)
    return records


def save_manifest(records: RecordSet) -> None:
    """Writes the manifest into `records.directory`, atomically."""
    manifest = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(records)}
    del manifest["directory"]
    write_text(records.directory / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def describe_shard(path: Path, images: int) -> Shard:
    """The manifest's entry for a record file on disk."""
    return Shard(path.name, path.stat().st_size, pooch.file_hash(str(path)), images)


_PROBLEM = "damaged manifest of the records"
_REMAKE_ALL = "delete the folder and make the records again with data_tools/make_records.py"
_REMAKE_SHARD = "delete it and make the records again with data_tools/make_records.py"

# DEFLATE makes at most this many bytes of one (RFC 1951); a PNG of grey has one for each pixel.
_MOST_PIXELS_OF_A_BYTE = 1032


def _check_consistent(records: RecordSet) -> None:
    """Whether the entries of a manifest agree with each other.

    Raises:
      MisfitError: something has been removed from it, added or changed.
    """
    num_shards, names = len(records.shards), [image.name for image in records.images]
    if not num_shards or not names:
        raise MisfitError("it names no record files or no images")
    for number, shard in enumerate(records.shards):
        if shard.file != shard_name(number, num_shards):
            raise MisfitError(f"record file {number} of {num_shards} is {shard.file}")
        images = records.images[number::num_shards]
        size = sum(_FRAME_HEAD + image.bytes + _FRAME_TAIL for image in images)
        if (shard.images, shard.bytes) != (len(images), size):
            raise MisfitError(f"{shard.file} is not of the size of its images")
    prefixes = [f"{source}/" for source, count in records.sources.items() for _ in range(count)]
    same = len(prefixes) == len(names) == len(set(names))
    if not same or not all(map(str.startswith, names, prefixes)):
        raise MisfitError("the images are not those of the sources")
    for image in records.images:
        if image.height * image.width > _MOST_PIXELS_OF_A_BYTE * image.bytes:
            raise MisfitError(f"{image.name!a} has more pixels than fit into its bytes")


def shard_name(number: int, count: int) -> str:
    """The name of a record file."""
    return f"images-{number:05d}-of-{count:05d}.tfrecord"


def frames(path: str | os.PathLike) -> list[int] | None:
    """The lengths in bytes of the examples in a record file; None where it is none.

    The lengths in the file are believed only if all of them together fill it, so that no reader
    has to.
    """
    lengths, size = [], os.path.getsize(path)
    with open(path, "rb") as file:
        place = 0
        while place < size:
            length = int.from_bytes(file.read(_FRAME_HEAD)[:8], "little")
            place += _FRAME_HEAD + length + _FRAME_TAIL
            if place > size:
                return None
            lengths.append(length)
            file.seek(place)
    return lengths


def _verify_shard(path: Path, shard: Shard, lengths: list[int]) -> None:
    try:
        found = describe_shard(path, shard.images)
    except OSError as error:
        raise NLRNError(
            f"{path}: cannot be read ({error.strerror or error}); {_REMAKE_SHARD}"
        ) from error
    if found.bytes != shard.bytes:
        raise NLRNError(
            f"{path}: {found.bytes} bytes instead of {shard.bytes}, a damaged record file; "
            f"{_REMAKE_SHARD}"
        )
    if found.sha256 != shard.sha256 or frames(path) != lengths:
        raise NLRNError(f"{path}: damaged record file (wrong sha256 or lengths); {_REMAKE_SHARD}")
