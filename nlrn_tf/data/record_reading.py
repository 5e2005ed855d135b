"""Reading record files: each image is compared with what the manifest says of it."""

import contextlib
import re
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from nlrn_tf.data.record_manifest import SCHEMA_VERSION, RecordSet
from nlrn_tf.errors import NLRNError, reason_of

FEATURES = {
    "schema_version": tf.io.FixedLenFeature([], tf.int64),
    "name": tf.io.FixedLenFeature([], tf.string),
    "channel": tf.io.FixedLenFeature([], tf.string),
    "height": tf.io.FixedLenFeature([], tf.int64),
    "width": tf.io.FixedLenFeature([], tf.int64),
    "png": tf.io.FixedLenFeature([], tf.string),
    "source_sha256": tf.io.FixedLenFeature([], tf.string),
}


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses one serialised example (scalar string) and decodes its image; works in graphs.

    Returns:
      the fields of the schema as scalars, with "image", uint8 `[H, W, 1]`, in place of "png".
    """
    fields = tf.io.parse_single_example(serialized, FEATURES)
    fields["image"] = tf.io.decode_png(fields.pop("png"), channels=1)
    return fields


def read_examples(records: RecordSet) -> tf.data.Dataset:
    """All examples (as `parse_example` gives them) in order, read interleaved from the shards.

    Each is compared with the manifest. Iterate within `reading(records)` to get an `NLRNError` for
    a damaged file.
    """
    shards = tf.data.Dataset.from_tensor_slices([str(path) for path in records.paths])
    serialized = shards.interleave(
        tf.data.TFRecordDataset,
        cycle_length=len(records.shards),
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    expected = tf.data.Dataset.range(len(records.images))
    parse = _checked_parser(records)
    return tf.data.Dataset.zip(expected, serialized).map(
        parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def example_reader(records: RecordSet) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """A function for `tf.data` graphs that reads the example of one image number from disk."""
    paths, starts = records.paths, np.array(records.offsets())
    lengths = np.array([image.bytes for image in records.images])
    parse = _checked_parser(records)

    def read_bytes(index: np.ndarray) -> bytes:
        with open(paths[index % len(paths)], "rb", buffering=0) as file:
            file.seek(starts[index])
            return file.read(lengths[index])

    def read(index: tf.Tensor) -> dict[str, tf.Tensor]:
        # TensorFlow's own FixedLengthRecordDataset reads all that lies before a record.
        serialized = tf.numpy_function(read_bytes, [index], tf.string, stateful=False)
        return parse(index, tf.ensure_shape(serialized, []))

    return read


def stored_checksums(records: RecordSet) -> dict[str, str]:
    """The sha256 of the file that each image was made from, by name.

    Raises:
      NLRNError: a record file is damaged.
    """
    checksums = {}
    with reading(records):
        for serialized in tf.data.TFRecordDataset([str(path) for path in records.paths]):
            fields = tf.io.parse_single_example(serialized, FEATURES)
            name, checksum = (fields[key].numpy() for key in ("name", "source_sha256"))
            checksums[name.decode()] = checksum.decode()
    return checksums


def _checked_parser(records: RecordSet) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """`parse_example` for `tf.data` graphs, of the image of a number that the manifest knows."""
    names = tf.constant([image.name for image in records.images])
    shapes = tf.constant([(image.height, image.width, 1) for image in records.images], tf.int64)

    def parse(index: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        fields = parse_example(serialized)
        name = names[index]
        message = tf.strings.join(["image ", name, " is not as the manifest says"])
        same = [
            fields["schema_version"] == SCHEMA_VERSION,
            fields["channel"] == records.channel,
            fields["name"] == name,
            tf.reduce_all(tf.shape(fields["image"], tf.int64) == shapes[index]),
            fields["height"] == shapes[index][0],
            fields["width"] == shapes[index][1],
        ]
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(same), [message])]):
            return {**fields, "image": tf.identity(fields["image"])}

    return parse


@contextlib.contextmanager
def reading(records: RecordSet) -> Iterator[None]:
    """Turns TensorFlow's errors from reading records into an `NLRNError` that names the file."""
    try:
        yield
    except NLRNError:
        raise
    except Exception as error:  # TensorFlow's; of bytes that are no text also Python's
        records.verify()  # names the damaged file, when it is a file that is damaged
        said = re.search(r"assertion failed: \[(.*?)\]", str(error), re.DOTALL)
        words = said[1] if said else reason_of(error)
        raise NLRNError(
            f"{records.directory}: cannot be read ({words}); delete the folder and make the "
            "records again"
        ) from error
