"""Training images as sharded TFRecord files: the schema, writing and reading.

A records folder holds `images-00000-of-00004.tfrecord` and so on, and `manifest.json`
(`record_manifest`). Image `i` of the set (sources in the order given, files sorted by name) is
in shard `i % num_shards`, so that the shards read interleaved, one record each, give the images
in order.

One record is a `tf.train.Example` of one whole image:

    schema_version  int64  SCHEMA_VERSION; readers refuse any other
    name            bytes  source, sub-folders and file name without suffix, such as
                           "BSDS500/train/100075"
    channel         bytes  "grey" (BT.601 luma, 0..255) or "y" (BT.601 Y, 16..235); files that
                           are grey themselves are stored as they are
    height, width   int64  pixels
    png             bytes  the image, uint8 [height, width, 1], PNG-encoded without loss
    source_sha256   bytes  sha256 (hexadecimal) of the file that the image was read from
"""

import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nlrn_tf.data.record_files import finished_images, written_images
from nlrn_tf.data.record_manifest import (
    MANIFEST,
    RecordSet,
    describe_shard,
    load_records,
    save_manifest,
    shard_name,
)
from nlrn_tf.data.record_reading import stored_checksums
from nlrn_tf.data.record_sources import (
    Source,
    Stamp,
    check_unchanged,
    named_sources,
    save_sources,
    source_images,
    tell_skipped,
)
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import require_text
from nlrn_tf.imaging.colour import CHANNELS
from nlrn_tf.imaging.folders import Skipped
from nlrn_tf.progress import image_progress
from nlrn_tf.storage.locks import lock_folder
from nlrn_tf.storage.temporary import remove_abandoned

# About as large is a record file by default, in bytes of the image files: what a kill costs.
SHARD_BYTES = 128 << 20
FEWEST_SHARDS = 4


def ensure_records(
    records_dir: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    sources: Sequence[str],
    channel: str,
    num_shards: int | None = None,
    progress: bool = True,
) -> RecordSet:
    """Makes the records that are missing in `records_dir`; returns at once when complete.

    Interrupted and called again it keeps the finished record files. Files are written
    atomically, the manifest last. Of the images few are in memory at once; names and sizes of all
    of them are.

    Args:
      records_dir: folder of the records, made when it does not exist.
      data_dir: folder of the data sets.
      sources: folders below `data_dir`, such as "BSDS500/train", or whole paths; all images in
        them and in their sub-folders are taken, as 8 bits (`imaging.eight_bits`).
      channel: "grey" (for denoising) or "y" (for super-resolution).
      num_shards: number of record files; of no effect on complete records or on training. By
        default one for each `SHARD_BYTES` of image files, and `FEWEST_SHARDS` at least.
      progress: shows a progress bar on standard error, and what is skipped in the sources.

    Raises:
      NLRNError: the folder holds records of other sources, another channel or another schema, or
        of images that have been replaced since;
        a source is missing or an image cannot be read; a file cannot be written; another process
        is making records there.
    """
    _check_request(sources, channel, num_shards)
    directory = require_text(records_dir)
    records = _complete_records(directory, data_dir, sources, channel)
    if records is not None:
        return records
    skipped = Skipped()
    files = {source: source_images(data_dir, source, skipped) for source in sources}
    if progress:
        tell_skipped(skipped)
    with lock_folder(directory):
        remove_abandoned(directory)
        if os.path.exists(directory / MANIFEST):
            records = _complete_records(directory, data_dir, sources, channel)
            if records is not None:  # another process has made them meanwhile
                return records
            num_shards = len(load_records(directory).shards)
        return _build(directory, data_dir, files, channel, num_shards, progress)


def _check_request(sources: Sequence[str], channel: str, num_shards: int | None) -> None:
    if channel not in CHANNELS:
        raise NLRNError(f"channel '{channel}': must be one of {', '.join(CHANNELS)}")
    if not sources or len(set(sources)) < len(sources):
        raise NLRNError(f"sources {list(sources)}: name at least one folder, and each only once")
    if num_shards is not None and num_shards < 1:
        raise NLRNError(f"number of shards {num_shards}: must be at least 1")


def _complete_records(
    directory: Path, data_dir: str | os.PathLike, sources: Sequence[str], channel: str
) -> RecordSet | None:
    """The records in a folder, None where some are missing."""
    if not os.path.exists(directory / MANIFEST):
        return None
    records = load_records(directory)
    _check_same(records, data_dir, sources, channel)
    if not all(path.exists() for path in records.paths):
        return None
    check_unchanged(records, data_dir, _present(data_dir, sources), stored_checksums)
    return records


def _check_same(
    records: RecordSet, data_dir: str | os.PathLike, sources: Sequence[str], channel: str
) -> None:
    """Checks that complete records are those asked for. The data set itself may be gone."""
    mend = "use another records folder, or delete this one"
    if records.channel != channel:
        raise NLRNError(
            f"{records.directory}: holds records of channel '{records.channel}', "
            f"not '{channel}'; {mend}"
        )
    if list(records.sources) != list(sources):
        raise NLRNError(
            f"{records.directory}: holds records of {', '.join(records.sources)}, "
            f"not of {', '.join(sources)}; {mend}"
        )
    for source, paths in _present(data_dir, sources).items():
        if len(paths) != records.sources[source]:
            raise NLRNError(
                f"{records.directory}: was made from {records.sources[source]} images of {source}, "
                f"but {Path(data_dir) / source} now holds {len(paths)}; {mend}"
            )


def _present(data_dir: str | os.PathLike, sources: Sequence[str]) -> dict[str, list[Path]]:
    """The images of those sources whose folder is there."""
    there = [source for source in sources if (Path(data_dir) / source).is_dir()]
    return {source: source_images(data_dir, source) for source in there}


def _build(
    directory: Path,
    data_dir: str | os.PathLike,
    files: dict[str, list[Path]],
    channel: str,
    num_shards: int | None,
    progress: bool,
) -> RecordSet:
    plan = list(named_sources(data_dir, files))
    num_shards = min(num_shards or _num_shards_by_size(plan), len(plan))
    paths = [directory / shard_name(shard, num_shards) for shard in range(num_shards)]
    columns = []  # the images of each shard
    stamps: dict[str, Stamp] = {}
    with image_progress(progress) as bar, ThreadPoolExecutor() as pool:
        task = bar.add_task(f"records in {directory}", total=len(plan))
        for shard, path in enumerate(paths):
            content = plan[shard::num_shards]
            stored = finished_images(path, content, channel, pool)
            if stored is None:
                stored = written_images(path, content, channel, pool, lambda: bar.advance(task))
            columns.append(stored.images)
            stamps |= stored.stamps
            bar.update(task, completed=sum(map(len, columns)))
    records = RecordSet(
        directory=directory,
        channel=channel,
        sources={source: len(paths) for source, paths in files.items()},
        shards=tuple(map(describe_shard, paths, map(len, columns))),
        images=tuple(columns[i % num_shards][i // num_shards] for i in range(len(plan))),
    )
    save_sources(directory, stamps)
    save_manifest(records)
    return records


def _num_shards_by_size(plan: Iterable[Source]) -> int:
    size = sum(source.path.stat().st_size for source in plan)
    return max(FEWEST_SHARDS, math.ceil(size / SHARD_BYTES))
