"""The manifest of a records folder: which images are where, and checksums of the record files.

`manifest.json` is written after the record files and so marks that the folder is complete.
"""

import dataclasses
import json
import os
from pathlib import Path

import pooch

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_text

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

_FRAME_HEAD, _FRAME_TAIL = 12, 4  # TFRecord: length and its CRC before, CRC of the data after


@dataclasses.dataclass(frozen=True)
class Shard:
    """One record file: its name in the folder, size in bytes, sha256 and number of images."""

    file: str
    bytes: int
    sha256: str
    images: int


@dataclasses.dataclass(frozen=True)
class RecordImage:
    """One image: its name, size in pixels, and the length of its serialised example in bytes."""

    name: str
    height: int
    width: int
    bytes: int


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
    sources: dict[str, int]
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
        """Compares size and sha256 of each record file with the manifest.

        Raises:
          NLRNError: names the file that is missing, truncated or changed.
        """
        for path, shard in zip(self.paths, self.shards, strict=True):
            _verify_shard(path, shard)


def load_records(records_dir: str | os.PathLike) -> RecordSet:
    """Reads the manifest of a records folder (not the record files; see `RecordSet.verify`).

    Raises:
      NLRNError: there is no manifest, it cannot be understood, or its schema version is not
        `SCHEMA_VERSION`.
    """
    path = Path(records_dir) / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except OSError as error:
        raise NLRNError(
            f"{path}: cannot be read ({error.strerror or error}); "
            "make the records with data_tools/make_records.py"
        ) from error
    except ValueError as error:
        raise NLRNError(f"{path}: is not JSON ({error}); {_REMAKE_ALL}") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise NLRNError(
            f"{path}: schema version {version}, but this program reads version {SCHEMA_VERSION}; "
            f"{_REMAKE_ALL}"
        )
    try:
        return RecordSet(
            directory=path.parent,
            channel=manifest["channel"],
            sources=manifest["sources"],
            shards=tuple(Shard(**shard) for shard in manifest["shards"]),
            images=tuple(RecordImage(**image) for image in manifest["images"]),
        )
    except (KeyError, TypeError) as error:
        raise NLRNError(f"{path}: wrong or missing entry ({error}); {_REMAKE_ALL}") from error


def save_manifest(records: RecordSet) -> None:
    """Writes the manifest into `records.directory`, atomically."""
    manifest = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(records)}
    del manifest["directory"]
    write_text(records.directory / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def describe_shard(path: Path, images: int) -> Shard:
    """The manifest's entry for a record file on disk."""
    return Shard(path.name, path.stat().st_size, pooch.file_hash(str(path)), images)


_REMAKE_ALL = "delete the folder and make the records again with data_tools/make_records.py"
_REMAKE_SHARD = "delete it and make the records again with data_tools/make_records.py"


def _verify_shard(path: Path, shard: Shard) -> None:
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
    if found.sha256 != shard.sha256:
        raise NLRNError(f"{path}: damaged record file (wrong sha256); {_REMAKE_SHARD}")
