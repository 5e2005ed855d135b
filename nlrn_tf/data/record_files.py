"""One record file: written with few images in memory, and compared with what it should hold."""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import pooch
import tensorflow as tf
from google.protobuf.message import DecodeError

from nlrn_tf.data.record_manifest import SCHEMA_VERSION, RecordImage, frames
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path, writing_by_tensorflow
from nlrn_tf.imaging.colour import CHANNELS
from nlrn_tf.imaging.files import read_image

_AHEAD = 32  # images that are read and encoded before they are written

# The fields that tell what is stored.
_OF_CONTENT = ("schema_version", "channel", "name", "source_sha256")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Source(NamedTuple):
    """An image file to store: its path, and its name in the records."""

    path: Path
    name: str


class _Encoded(NamedTuple):
    """What is stored of an image, and the sha256 of its file."""

    example: bytes
    sha256: bytes


def finished_images(
    path: Path, content: Sequence[Source], channel: str, pool: ThreadPoolExecutor
) -> list[RecordImage] | None:
    """The images of a record file of a run before, if it has `content` as it is now."""
    if not path.exists():
        return None
    hashes = _in_order(pool, lambda source: _sha256(source.path), content)
    return _stored_images(path, content, channel, hashes)


def written_images(
    path: Path,
    content: Sequence[Source],
    channel: str,
    pool: ThreadPoolExecutor,
    on_image: Callable[[], None],
) -> list[RecordImage]:
    """Writes a record file.

    Args:
      path: of the file.
      content: the images.
      channel: what is stored of them.
      pool: reads and encodes.
      on_image: called after each image.

    Returns:
      Its images, as they are read back.

    Raises:
      NLRNError: an image cannot be read, or the file not be written or read back.
    """
    hashes = []

    def examples() -> Iterator[bytes]:
        for encoded in _in_order(pool, lambda source: _encode(source, channel), content):
            hashes.append(encoded.sha256)
            yield encoded.example

    _write_shard(path, examples(), on_image)
    images = _stored_images(path, content, channel, hashes)
    if images is None:
        raise NLRNError(f"{path}: cannot be read back; is the disk sound?")
    return images


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


def _sha256(path: Path) -> bytes:
    return pooch.file_hash(str(path)).encode()


def _encode(source: Source, channel: str) -> _Encoded:
    sha256 = _sha256(source.path)
    image = CHANNELS[channel](read_image(source.path))
    _, png = cv2.imencode(".png", image)
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": source.name.encode(),
        "channel": channel.encode(),
        "height": image.shape[0],
        "width": image.shape[1],
        "png": png.tobytes(),
        "source_sha256": sha256,
    }
    features = tf.train.Features(feature={key: _feature(value) for key, value in values.items()})
    example = tf.train.Example(features=features).SerializeToString(deterministic=True)
    return _Encoded(example, sha256)


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


def _stored_images(
    path: Path, content: Iterable[Source], channel: str, hashes: Iterable[bytes]
) -> list[RecordImage] | None:
    """The images in a record file, or None unless the file is sound and holds `content`."""
    if frames(path) is None:
        return None
    images = []
    stored = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    try:
        for source, sha256, serialized in zip(content, hashes, stored, strict=True):
            example = tf.train.Example.FromString(serialized)
            expected = (SCHEMA_VERSION, channel.encode(), source.name.encode(), sha256)
            if tuple(_value(example, key) for key in _OF_CONTENT) != expected:
                return None
            height, width = _value(example, "height"), _value(example, "width")
            images.append(RecordImage(source.name, height, width, len(serialized)))
    except (tf.errors.OpError, DecodeError, ValueError):  # damaged; of another number of images
        return None
    return images


def _value(example: tf.train.Example, key: str) -> Any:
    """Of a field with one value. Raises ValueError where it is not there."""
    feature = example.features.feature[key]
    values = list(feature.int64_list.value) + list(feature.bytes_list.value)
    if len(values) != 1:
        raise ValueError(f"{key} has {len(values)} values")
    return values[0]
