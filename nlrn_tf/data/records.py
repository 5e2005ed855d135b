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

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import tensorflow as tf

from nlrn_tf.data.record_manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    RecordImage,
    RecordSet,
    describe_shard,
    frames,
    load_records,
    save_manifest,
    shard_name,
)
from nlrn_tf.data.record_reading import FEATURES, stored_checksums
from nlrn_tf.data.record_sources import (
    Source,
    check_unchanged,
    described,
    save_sources,
    source_images,
    tell_skipped,
)
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path, require_text, writing_by_tensorflow
from nlrn_tf.imaging.colour import CHANNELS
from nlrn_tf.imaging.eight_bits import read_8_bits
from nlrn_tf.imaging.folders import Skipped
from nlrn_tf.progress import image_progress
from nlrn_tf.storage.locks import lock_folder
from nlrn_tf.storage.temporary import remove_abandoned


def ensure_records(
    records_dir: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    sources: Sequence[str],
    channel: str,
    num_shards: int = 4,
    progress: bool = True,
) -> RecordSet:
    """Makes the records that are missing in `records_dir`; returns at once when complete.

    Interrupted and called again it keeps the finished record files. Files are written
    atomically, the manifest last.

    Args:
      records_dir: folder of the records, made when it does not exist.
      data_dir: folder of the data sets.
      sources: folders below `data_dir`, such as "BSDS500/train", or whole paths; all images in
        them and in their sub-folders are taken, as 8 bits (`imaging.eight_bits`).
      channel: "grey" (for denoising) or "y" (for super-resolution).
      num_shards: number of record files; of no effect on complete records or on training.
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


def _check_request(sources: Sequence[str], channel: str, num_shards: int) -> None:
    if channel not in CHANNELS:
        raise NLRNError(f"channel '{channel}': must be one of {', '.join(CHANNELS)}")
    if not sources or len(set(sources)) < len(sources):
        raise NLRNError(f"sources {list(sources)}: name at least one folder, and each only once")
    if num_shards < 1:
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
    num_shards: int,
    progress: bool,
) -> RecordSet:
    with image_progress(progress) as bar, ThreadPoolExecutor() as pool:
        plan = described(data_dir, files)
        num_shards = min(num_shards, len(plan))
        task = bar.add_task(f"records in {directory}", total=len(plan))
        paths = [directory / shard_name(shard, num_shards) for shard in range(num_shards)]
        columns = []  # the images of each shard
        for shard, path in enumerate(paths):
            content = plan[shard::num_shards]
            images = _stored_images(path, content, channel)
            if images is None:
                encoded = pool.map(_encode, content, [channel] * len(content))
                _write_shard(path, encoded, lambda: bar.advance(task))
                images = _stored_images(path, content, channel)
            if images is None:
                raise NLRNError(f"{path}: cannot be read back; is the disk sound?")
            columns.append(images)
            bar.update(task, completed=sum(map(len, columns)))
    records = RecordSet(
        directory=directory,
        channel=channel,
        sources={source: len(paths) for source, paths in files.items()},
        shards=tuple(map(describe_shard, paths, map(len, columns))),
        images=tuple(columns[i % num_shards][i // num_shards] for i in range(len(plan))),
    )
    save_sources(directory, {source.name: source.stamp for source in plan})
    save_manifest(records)
    return records


def _encode(source: Source, channel: str) -> bytes:
    image = CHANNELS[channel](read_8_bits(source.path))
    _, png = cv2.imencode(".png", image)
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": source.name.encode(),
        "channel": channel.encode(),
        "height": image.shape[0],
        "width": image.shape[1],
        "png": png.tobytes(),
        "source_sha256": source.stamp.sha256.encode(),
    }
    features = tf.train.Features(feature={key: _feature(value) for key, value in values.items()})
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def _feature(value: int | bytes) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _write_shard(path: Path, examples: Iterable[bytes], written: Callable[[], None]) -> None:
    with (
        atomic_path(path) as temporary,
        writing_by_tensorflow(path),
        tf.io.TFRecordWriter(str(temporary)) as writer,
    ):
        for example in examples:
            writer.write(example)
            written()


def _stored_images(path: Path, content: Sequence[Source], channel: str) -> list[RecordImage] | None:
    """The images in a record file, or None unless the file is sound and holds `content`."""
    if not path.exists() or frames(path) is None:
        return None
    images, found = [], []
    try:
        for serialized in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            fields = tf.io.parse_single_example(serialized, FEATURES)
            name, height, width = (fields[key].numpy() for key in ("name", "height", "width"))
            shown = name.decode(errors="replace")
            images.append(RecordImage(shown, int(height), int(width), len(serialized)))
            found.append([fields[key].numpy() for key in ("schema_version", "channel")])
            found[-1] += [name, fields["source_sha256"].numpy()]
    except tf.errors.OpError:
        return None
    expected = [
        [SCHEMA_VERSION, channel.encode(), source.name.encode(), source.stamp.sha256.encode()]
        for source in content
    ]
    return images if found == expected else None
