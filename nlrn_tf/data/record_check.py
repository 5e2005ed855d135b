"""Validating records, and showing training examples made from them."""

import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nlrn_tf.data.pipeline import PipelineConfig, make_dataset
from nlrn_tf.data.record_manifest import SCHEMA_VERSION, RecordSet, load_records
from nlrn_tf.data.record_reading import read_examples, reading
from nlrn_tf.errors import printable
from nlrn_tf.imaging.files import write_image
from nlrn_tf.tasks.registry import all_tasks

_ROWS, _COLUMNS = 6, 4  # of the sample sheet, in pairs
_MAGNIFICATION = 2
_GAP = 4  # pixels


def check_records(records_dir: str | os.PathLike) -> RecordSet:
    """Verifies checksums, decodes every image, compares all with the manifest; prints a table.

    Raises:
      NLRNError: names the file or image that is not as it should be.
    """
    records = load_records(records_dir)
    records.verify()
    with reading(records):
        for _ in read_examples(records):
            pass
    _print_summary(records)
    return records


def write_samples(
    path: str | os.PathLike,
    records: RecordSet,
    *,
    task: str | None = None,
    patch_size: int = 45,
    noise_sigma: float = 25.0,
    seed: int = 0,
) -> None:
    """Writes an image with the first training examples: degraded left, clean right.

    Args:
      path: image file.
      records: what to take examples from.
      task: whose examples; by default the first task that learns from the channel of the records.
      patch_size, noise_sigma, seed: as in `PipelineConfig`.

    Raises:
      NLRNError: wrong values, or the file cannot be written.
    """
    config = PipelineConfig(
        task=task or _first_task(records.channel),
        batch_size=_ROWS * _COLUMNS,
        patch_size=patch_size,
        noise_sigma=noise_sigma,
        seed=seed,
    )
    batch = next(make_dataset(records.directory, config).as_numpy_iterator())
    pairs = np.concatenate(batch, axis=2)[..., 0]  # [N, P, 2 P]
    pixels = np.round(np.clip(pairs, 0, 1) * 255).astype(np.uint8)
    large = pixels.repeat(_MAGNIFICATION, axis=1).repeat(_MAGNIFICATION, axis=2)
    framed = np.pad(large, ((0, 0), (0, _GAP), (0, _GAP)), constant_values=255)
    height, width = framed.shape[1:]
    sheet = framed.reshape(_ROWS, _COLUMNS, height, width).swapaxes(1, 2)
    write_image(Path(path), sheet.reshape(_ROWS * height, _COLUMNS * width)[:-_GAP, :-_GAP])


def _first_task(channel: str) -> str:
    return next(task.name for task in all_tasks() if task.channel == channel)


def _print_summary(records: RecordSet) -> None:
    table = Table("file", "images", "MB", "sha256", title=escape(printable(str(records.directory))))
    for shard in records.shards:
        table.add_row(shard.file, str(shard.images), f"{shard.bytes / 1e6:.1f}", shard.sha256[:12])
    console = Console()
    console.print(table)
    counts = ", ".join(f"{source}: {count}" for source, count in records.sources.items())
    console.print(
        f"schema {SCHEMA_VERSION}, channel {records.channel}, "
        f"{escape(printable(counts))}, "
        f"{records.pixels / 1e6:.1f} million pixels: sound",
        highlight=False,
        soft_wrap=True,
    )
