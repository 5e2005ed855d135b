"""Measures the training step against a straightforward TensorFlow version of it.

  python benchmarks/training_step.py
  python benchmarks/training_step.py --precision=float32 --steps=5 --json=training_step.json

Both start from the same weights and take the same steps on the same batches, each in a process of
its own; the straightforward one is plain_network.py. The defaults are the paper's settings. Their
seconds are the median of all steps except the first two; `StepSettings.flops` in
step_measurement.py says what is counted as FLOPs.
"""

import sys
from pathlib import Path

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from benchmarks.step_measurement import (
    PLAIN,
    PLAIN_UNROLLED,
    PROJECT,
    WARM_UP_STEPS,
    Measurement,
    StepSettings,
    measured,
    weight_differences,
)
from nlrn_tf import cli

_PAPER = StepSettings()
_PATCH_SIZE = flags.DEFINE_integer(
    "patch_size", _PAPER.patch_size, "Side of the patches in pixels.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", _PAPER.batch_size, "Patches in a batch.", lower_bound=1
)
_NUM_STATES = flags.DEFINE_integer(
    "num_states", _PAPER.num_states, "Recurrent states.", lower_bound=1
)
_FILTERS = flags.DEFINE_integer(
    "filters", _PAPER.filters, "Channels of the state; the embeddings have half.", lower_bound=1
)
_PRECISION = flags.DEFINE_enum(
    "precision", _PAPER.precision, ["float32", "bfloat16"], "Of the products."
)
_EMA_DECAY = flags.DEFINE_float(
    "ema_decay", 0.0, "Decay of the average of the weights (0: no average).", 0, 1
)
_STEPS = flags.DEFINE_integer(
    "steps", _PAPER.steps, "Steps to take.", lower_bound=WARM_UP_STEPS + 1
)
_UNROLL_PLAIN = flags.DEFINE_bool(
    "unroll_plain", False, "Runs the states of the plain network as a Python loop, as the project's"
)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")


def main(_: list[str]) -> None:
    settings = StepSettings(
        patch_size=_PATCH_SIZE.value,
        batch_size=_BATCH_SIZE.value,
        num_states=_NUM_STATES.value,
        filters=_FILTERS.value,
        precision=_PRECISION.value,
        ema_decay=_EMA_DECAY.value,
        steps=_STEPS.value,
    )
    plain_version = PLAIN_UNROLLED if _UNROLL_PLAIN.value else PLAIN
    project, plain = (measured(version, settings) for version in (PROJECT, plain_version))
    rows = [_row(PROJECT, project, settings), _row(plain_version, plain, settings)]
    common.report(
        "Training step", _described(settings) | _compared(project, plain), rows, _JSON.value
    )


def _row(version: str, measurement: Measurement, settings: StepSettings) -> dict:
    seconds = measurement.seconds_per_step
    return {
        "version": version,
        "seconds per step": seconds,
        "steps per second": 1 / seconds,
        "GFLOP/s": settings.flops / seconds / 1e9,
        "peak memory of a step, MiB": measurement.memory_mib,
        "last loss": measurement.losses[-1],
    }


def _described(settings: StepSettings) -> dict:
    patch = settings.patch_size
    return {
        "batch": f"{settings.batch_size} x {patch}x{patch}",
        "states": settings.num_states,
        "filters": settings.filters,
        "embedding": settings.embedding_size,
        "precision": settings.precision,
        "attention": common.OPERATIONS,
        "ema_decay": settings.ema_decay,
        "steps": settings.steps,
        "GFLOP counted for a step": settings.flops / 1e9,
    }


def _compared(project: Measurement, plain: Measurement) -> dict:
    """The speed and memory of the project in parts of the plain version's, and the results."""
    differences = weight_differences(project, plain)
    losses = np.abs(np.subtract(project.losses, plain.losses)) / plain.losses
    worst = max(differences, key=differences.get)
    return {
        "times as fast": plain.seconds_per_step / project.seconds_per_step,
        "times the memory": project.memory_mib / plain.memory_mib,
        "difference of the losses, relative": float(losses.max()),
        "difference of the weights, in parts of their movement": differences[worst],
        "in": worst,
        "median of all weights": float(np.median(list(differences.values()))),
    }


if __name__ == "__main__":
    cli.run(main)
