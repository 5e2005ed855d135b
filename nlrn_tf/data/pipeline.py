"""Training examples from records: crops, augmentation and degradation with `tf.data`.

`B` batch, `P` patch size. Example number `n`, counted from 0 over the whole run, is a pure
function of the records, the configuration (without its batch size) and `n`: every random choice
is a stateless one keyed by the seed and `n`. So training resumes at any example, and neither
parallelism nor the number of record files changes what it sees.

An epoch visits each image once for every patch area that it holds, in random order; so a pixel
of a small image is as likely as one of a large image.
"""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from nlrn_tf.data.crops import Draws, RegionShape, StoredImage, random_region
from nlrn_tf.data.record_manifest import RecordSet, load_records
from nlrn_tf.data.record_reading import example_reader, read_examples, reading
from nlrn_tf.errors import NLRNError
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.tasks.super_resolution import BEFORE

CACHE_BYTES = 2**31


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """What the training examples are.

    Attributes:
      task: name of the task, which says what channel the records must hold.
      batch_size: examples in a batch.
      patch_size: height and width of the examples in pixels.
      noise_sigma: of denoising, standard deviation of the noise in grey levels of 0..255.
      noise_levels: of denoising; each example draws one of these levels and is scaled by
        `noise_sigma` / level: `clean` is then in [0, 1] times that. One that is named twice is
        drawn twice as often. Empty: the level is `noise_sigma`.
      scales: of super-resolution; each example draws one of them.
      upsample: of super-resolution, where the network enlarges, see `NLRNConfig`.
      seed: of all random choices, at least 0.
      exclude: names of images that are held out, such as "BSDS500/train/100075".
      scale_augmentation: each example draws one of these factors, at most 1, by which the
        image is first shrunk (bicubic, antialiased). The usual list for super-resolution is
        1.0, 0.9, 0.8, 0.7, 0.6; the paper scales the images of denoisers too.

    Raises:
      NLRNError: a value is out of range.
    """

    task: str
    batch_size: int = 16
    patch_size: int = 45
    noise_sigma: float = 25.0
    noise_levels: tuple[float, ...] = ()
    scales: tuple[int, ...] = (2, 3, 4)
    upsample: str = BEFORE
    seed: int = 0
    exclude: tuple[str, ...] = ()
    scale_augmentation: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        _require(self.batch_size >= 1, f"batch size {self.batch_size}: must be at least 1")
        _require(self.patch_size >= 1, f"patch size {self.patch_size}: must be at least 1")
        task_named(self.task).check(self)
        _require(self.seed >= 0, f"seed {self.seed}: must be at least 0")
        _require(
            bool(self.scale_augmentation)
            and all(0.1 <= factor <= 1 for factor in self.scale_augmentation),
            f"scale augmentation {self.scale_augmentation}: give factors of 0.1 to 1",
        )


def make_dataset(
    records_dir: str | os.PathLike,
    config: PipelineConfig,
    *,
    first_example: int = 0,
    share: tuple[int, int] = (0, 1),
    cache_bytes: int = CACHE_BYTES,
) -> tf.data.Dataset:
    """Endless batches of training examples.

    The checksums of the record files are verified first. Decoded images are kept in memory if
    they take at most `cache_bytes`; else each visit reads its image from disk, with the same
    result.

    Args:
      records_dir: a folder made by `records.ensure_records`.
      config: what the examples are.
      first_example: number of the first example; training that has consumed `k` examples
        resumes with `k`, whatever the batch sizes were.
      share: (k, n) for part k, from 0, of the n equal ones of each batch, in order of the examples;
        only those examples are made. n divides `config.batch_size`.
      cache_bytes: memory for decoded images.

    Returns:
      dataset of (degraded, clean), both float32 `[B / n, P, P, 1]`. `clean` is in [0, 1];
      `degraded` is not clipped. With `upsample` "after" `degraded` is the small image, and `clean`
      `[B / n, P, P, sum of scale^2]`, see `tasks.super_resolution`.

    Raises:
      NLRNError: the records are missing, damaged, of another schema version or channel, or
        an image of `config.exclude` is not among them.
    """
    _require(first_example >= 0, f"first example {first_example}: must be at least 0")
    records = load_records(records_dir)
    channel = task_named(config.task).channel
    if records.channel != channel:
        raise NLRNError(
            f"{records.directory}: holds records of channel '{records.channel}', but task "
            f"'{config.task}' needs '{channel}'"
        )
    visits = _epoch_visits(records, config)
    records.verify()
    with tf.device("/CPU:0"):  # also on machines with an accelerator: tf.data runs on the CPU
        example = _example_function(_image_source(records, cache_bytes), config)
        numbered = _numbered_visits(visits, config.seed, first_example)
        part, parts = share
        if parts > 1:
            numbered = _part_of_batches(numbered, config.batch_size, part, parts)
        examples = numbered.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        batches = examples.batch(config.batch_size // parts, drop_remainder=True)
        return batches.prefetch(tf.data.AUTOTUNE)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise NLRNError(message)


def _epoch_visits(records: RecordSet, config: PipelineConfig) -> np.ndarray:
    """Image numbers of one epoch in order, each as often as patch areas fit into the image."""
    names = [image.name for image in records.images]
    unknown = sorted(set(config.exclude) - set(names))
    if unknown:
        raise NLRNError(
            f"{records.directory}: holds no image '{unknown[0]}' to exclude; "
            f"names look like '{names[0]}'"
        )
    area = config.patch_size**2
    visits = [
        0 if image.name in config.exclude else max(1, round(image.height * image.width / area))
        for image in records.images
    ]
    _require(any(visits), f"{records.directory}: every image is excluded")
    return np.repeat(np.arange(len(visits), dtype=np.int32), visits)


def _numbered_visits(visits: np.ndarray, seed: int, first_example: int) -> tf.data.Dataset:
    """Endless dataset of (example number, image number) from `first_example` on.

    In memory are the image numbers of an epoch, in order and shuffled, and no image.
    """
    ordered = tf.constant(visits, tf.int32)
    key = _stream_key(seed, "order")
    first_epoch, consumed = divmod(first_example, len(visits))

    def epoch_visits(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffled = tf.random.experimental.stateless_shuffle(ordered, tf.stack([key, epoch]))
        start = tf.where(epoch == first_epoch, tf.constant(consumed, tf.int64), 0)
        images = tf.data.Dataset.from_tensor_slices(shuffled[start:])
        return images.map(lambda image: tf.cast(image, tf.int64))

    epochs = tf.data.Dataset.counter(first_epoch, dtype=tf.int64)
    images = epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch_visits))
    return tf.data.Dataset.zip(tf.data.Dataset.counter(first_example, dtype=tf.int64), images)


def _part_of_batches(numbered: tf.data.Dataset, batch_size: int, part: int, parts: int):
    """Of every `batch_size` elements those of one of `parts` equal parts."""
    size = batch_size // parts

    def chosen(*columns):
        return tuple(column[part * size : (part + 1) * size] for column in columns)

    whole = numbered.batch(batch_size, drop_remainder=True)
    return whole.map(tf.autograph.experimental.do_not_convert(chosen)).unbatch()


def _stream_key(seed: int, stream: str) -> tf.Tensor:
    """An int64 scalar for stateless random operations, unrelated for each stream of a seed."""
    words = np.random.SeedSequence([seed, *stream.encode()]).generate_state(1, np.uint64)
    return tf.constant(words.view(np.int64)[0], tf.int64)


def _image_source(records: RecordSet, cache_bytes: int) -> Callable[[tf.Tensor], StoredImage]:
    """A graph function: image number -> image."""
    heights = tf.constant([image.height for image in records.images], tf.int64)
    widths = tf.constant([image.width for image in records.images], tf.int64)
    if records.pixels > cache_bytes:
        read = example_reader(records)
        start = tf.constant(0, tf.int64)
        return lambda i: StoredImage(
            tf.reshape(read(i)["image"], [-1]), start, heights[i], widths[i]
        )
    pixels = tf.constant(_decode_all(records))
    starts = tf.math.cumsum(heights * widths, exclusive=True)
    return lambda i: StoredImage(pixels, starts[i], heights[i], widths[i])


def _decode_all(records: RecordSet) -> np.ndarray:
    """The pixels of all images, one after the other: uint8 `[records.pixels]`."""
    pixels = np.empty(records.pixels, np.uint8)
    start = 0
    with reading(records):
        for example in read_examples(records):
            image = example["image"].numpy().ravel()
            pixels[start : start + image.size] = image
            start += image.size
    return pixels


def _example_function(
    image: Callable[[tf.Tensor], StoredImage], config: PipelineConfig
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A graph function: (example number, image number) -> (degraded, clean), `[P, P, 1]`."""
    choice_key = _stream_key(config.seed, "choices")
    noise_key = _stream_key(config.seed, "noise")
    task, patch, factors = task_named(config.task), config.patch_size, config.scale_augmentation

    def example(number, index):
        draws = Draws(choice_key, number)

        def take(size, top=0, left=0, side=patch):
            region = RegionShape(size, top, left)
            return random_region(image(index), draws, side, region, factors)

        return task.example(take, draws, tf.stack([noise_key, number]), config)

    # Nothing here needs AutoGraph, which takes seconds.
    return tf.autograph.experimental.do_not_convert(example)
