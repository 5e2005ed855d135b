"""One record file: written with few images in memory, and compared with what it should hold."""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import tensorflow as tf
from google.protobuf.message import DecodeError

from nlrn_tf.data.record_manifest import SCHEMA_VERSION, RecordImage, frames
from nlrn_tf.data.record_sources import Source, Stamp, stamp_of
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path, writing_by_tensorflow
from nlrn_tf.imaging.colour import CHANNELS
from nlrn_tf.imaging.eight_bits import read_8_bits

_AHEAD = 32  # images that are read and encoded before they are written

# The fields that tell what is stored.
_OF_CONTENT = ("schema_version", "channel", "name", "source_sha256")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stored(NamedTuple):
    """The images of a record file, and the files that they were made from, by name."""

    images: list[RecordImage]
    stamps: dict[str, Stamp]


class _Encoded(NamedTuple):
    """What is stored of an image, and its file when it was read."""

    example: bytes
    stamp: Stamp


def finished_images(
    path: Path, content: Sequence[Source], channel: str, pool: ThreadPoolExecutor
) -> Stored | None:
    """What is in a record file of a run before, if it has `content` as it is now."""
    if not path.exists():
        return None
    return _stored(path, content, channel, _in_order(pool, _stamp_of_source, content))


def written_images(
    path: Path,
    content: Sequence[Source],
    channel: str,
    pool: ThreadPoolExecutor,
    on_image: Callable[[], None],
) -> Stored:
    """Writes a record file.

    Args:
      path: of the file.
      content: the images.
      channel: what is stored of them.
      pool: reads and encodes.
      on_image: called after each image.

    Returns:
      What is in it, as it is read back.

    Raises:
      NLRNError: an image cannot be read, or the file not be written or read back.
    """
    stamps = []

    def examples() -> Iterator[bytes]:
        for encoded in _in_order(pool, lambda source: _encode(source, channel), content):
            stamps.append(encoded.stamp)
            yield encoded.example

    _write_shard(path, examples(), on_image)
    stored = _stored(path, content, channel, stamps)
    if stored is None:
        raise NLRNError(f"{path}: cannot be read back; is the disk sound?")
    return stored


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """`function` of each item, in order. Of those that nobody has taken yet there are few."""
    waiting: collections.deque[Future[Result]] = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _stamp_of_source(source: Source) -> Stamp:
    return stamp_of(source.path)


def _encode(source: Source, channel: str) -> _Encoded:
    stamp = stamp_of(source.path)
    image = CHANNELS[channel](read_8_bits(source.path))
    _, png = cv2.imencode(".png", image)
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": source.name.encode(),
        "channel": channel.encode(),
        "height": image.shape[0],
        "width": image.shape[1],
        "png": png.tobytes(),
        "source_sha256": stamp.sha256.encode(),
    }
    features = tf.train.Features(feature={key: _feature(value) for key, value in values.items()})
    example = tf.train.Example(features=features).SerializeToString(deterministic=True)
    return _Encoded(example, stamp)


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


def _stored(
    path: Path, content: Iterable[Source], channel: str, stamps: Iterable[Stamp]
) -> Stored | None:
    """What is in a record file, or None unless the file is sound and holds `content`."""
    if frames(path) is None:
        return None
    found = Stored([], {})
    stored = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    try:
        for source, stamp, serialized in zip(content, stamps, stored, strict=True):
            example = tf.train.Example.FromString(serialized)
            sha256 = stamp.sha256.encode()
            expected = (SCHEMA_VERSION, channel.encode(), source.name.encode(), sha256)
            if tuple(_value(example, key) for key in _OF_CONTENT) != expected:
                return None
            height, width = _value(example, "height"), _value(example, "width")
            found.images.append(RecordImage(source.name, height, width, len(serialized)))
            found.stamps[source.name] = stamp
    except (tf.errors.OpError, DecodeError, ValueError):  # damaged; of another number of images
        return None
    return found


def _value(example: tf.train.Example, key: str) -> Any:
    """Of a field with one value. Raises ValueError where it is not there."""
    feature = example.features.feature[key]
    values = list(feature.int64_list.value) + list(feature.bytes_list.value)
    if len(values) != 1:
        raise ValueError(f"{key} has {len(values)} values")
    return values[0]
