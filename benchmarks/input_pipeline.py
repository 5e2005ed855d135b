"""Measures how many patches a second the input pipeline delivers, and how many training needs.

  python benchmarks/input_pipeline.py --data_dir=data
  python benchmarks/input_pipeline.py --training_steps=0 --json=input_pipeline.json

The pipeline is that of run_train.py, from records that are made in a temporary folder. What
training consumes is measured in the same run with the training step on ready-made patches, in a
process of its own.
"""

import sys
import tempfile
import time
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from benchmarks.step_measurement import PROJECT, WARM_UP_STEPS, StepSettings, measured
from nlrn_tf import cli
from nlrn_tf.datasets import location
from nlrn_tf.tasks.registry import all_tasks
from nlrn_tf.tasks.task import Task

_PAPER = StepSettings()
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Data sets ($NLRN_DATA_DIR, else data/).")
_SOURCES = flags.DEFINE_list(
    "sources", ["BSDS500/train", "BSDS500/test"], "Image folders below --data_dir."
)
_PATCH_SIZE = flags.DEFINE_integer(
    "patch_size", _PAPER.patch_size, "Side of the patches in pixels.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", _PAPER.batch_size, "Patches in a batch.", lower_bound=1
)
_SCALE_AUGMENTATION = flags.DEFINE_list(
    "scale_augmentation",
    ["1", "0.9", "0.8", "0.7", "0.6"],
    "Factors by which images are shrunk for super-resolution, as in flags/sr.cfg.",
)
_SECONDS = flags.DEFINE_float("seconds", 10, "How long batches are taken.", lower_bound=0.1)
_TRAINING_STEPS = flags.DEFINE_integer(
    "training_steps", 3, "Steps of training that are measured (0: none).", lower_bound=0
)
_NUM_STATES = flags.DEFINE_integer(
    "num_states", _PAPER.num_states, "Recurrent states in training.", lower_bound=1
)
_FILTERS = flags.DEFINE_integer(
    "filters", _PAPER.filters, "Channels of the state in training.", lower_bound=1
)
_PRECISION = flags.DEFINE_enum(
    "precision", _PAPER.precision, ["float32", "bfloat16"], "Of training."
)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")


def main(_: list[str]) -> None:
    consumed = _consumed() if _TRAINING_STEPS.value else None
    cli.start_tensorflow()
    rows = []
    for task in all_tasks():
        first, rate = _delivered(task)
        row = {"task": task.name, "first batch, seconds": first, "patches per second": rate}
        if consumed:
            row |= {"training consumes": consumed, "times what it needs": rate / consumed}
        rows.append(row)
    settings = {
        "batch": f"{_BATCH_SIZE.value} x {_PATCH_SIZE.value}x{_PATCH_SIZE.value}",
        "sources": ",".join(_SOURCES.value),
        "scale augmentation": ",".join(_SCALE_AUGMENTATION.value),
        "seconds": _SECONDS.value,
    }
    if consumed:
        settings |= {
            "trained states": _NUM_STATES.value,
            "filters": _FILTERS.value,
            "precision": _PRECISION.value,
            "steps": _TRAINING_STEPS.value,
        }
    common.report("Input pipeline", settings, rows, _JSON.value)


def _delivered(task: Task) -> tuple[float, float]:
    """Seconds to the first batch, with the records there, and then patches a second."""
    from nlrn_tf.data.pipeline import PipelineConfig, make_dataset
    from nlrn_tf.data.records import ensure_records

    task, channel = task.name, task.channel
    factors = tuple(map(float, _SCALE_AUGMENTATION.value))
    config = PipelineConfig(task, _BATCH_SIZE.value, _PATCH_SIZE.value, scale_augmentation=factors)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = location.data_dir(_DATA_DIR.value)
        ensure_records(folder, data_dir, sources=_SOURCES.value, channel=channel)
        start = time.perf_counter()
        batches = iter(make_dataset(folder, config))
        next(batches)
        first = time.perf_counter() - start
        _rate(batches, _SECONDS.value / 4)  # fills the buffers and tunes the parallelism
        return first, _rate(batches, _SECONDS.value)


def _rate(batches, seconds: float) -> float:
    """Patches a second that an iterator of batches gives, measured for some seconds."""
    patches, taken = 0, 0.0
    start = time.perf_counter()
    while taken < seconds:
        patches += next(batches)[0].shape[0]
        taken = time.perf_counter() - start
    return patches / taken


def _consumed() -> float:
    """Patches a second that training takes."""
    settings = StepSettings(
        patch_size=_PATCH_SIZE.value,
        batch_size=_BATCH_SIZE.value,
        num_states=_NUM_STATES.value,
        filters=_FILTERS.value,
        precision=_PRECISION.value,
        steps=WARM_UP_STEPS + _TRAINING_STEPS.value,
    )
    return settings.batch_size / measured(PROJECT, settings).seconds_per_step


if __name__ == "__main__":
    cli.run(main)
