"""Checkpoints: one `.npz` file with the whole state of a run, written atomically.

The arrays are named `<part of the state>/<name>` (`state.py`), beside `meta`, a JSON text.
The file holds no objects of a framework, so a run may go on under another backend.
"""

import dataclasses
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path
from nlrn_tf.training.state import State

_NAME = re.compile(r"step-(\d{8})\.npz")


@dataclasses.dataclass
class Checkpoint:
    """The state of a run after `step` steps.

    Attributes:
      state: see `state.py`, NumPy arrays.
      step: steps taken.
      examples: examples consumed, the position in the data; with the seed it is all the
        randomness there is (`data/pipeline.py`).
      minutes: training time so far.
      num_states, filters, embedding_size: of the network now.
      weights_step: the step of which `weights.keras` is.
      skipped: steps skipped so far for a gradient that was not finite.
      best: highest validation PSNR so far in dB, or None.
      curve: the rows of `curve.csv` so far.
      config: the settings of the run, see `TrainingConfig.flat`.
      trained_on: image folders that the weights had seen before this run.
    """

    state: State
    step: int = 0
    examples: int = 0
    minutes: float = 0.0
    num_states: int = 0
    weights_step: int = -1
    skipped: int = 0
    best: float | None = None
    curve: list[dict] = dataclasses.field(default_factory=list)
    config: dict = dataclasses.field(default_factory=dict)
    filters: int = 128
    embedding_size: int = 64
    trained_on: list[str] = dataclasses.field(default_factory=list)


def save_checkpoint(folder: str | os.PathLike, checkpoint: Checkpoint, keep: int) -> Path:
    """Writes `step-<step>.npz` and removes all but the newest `keep` checkpoints.

    Raises:
      NLRNError: the file cannot be written. The older checkpoints are still there.
    """
    folder = Path(folder)
    path = folder / f"step-{checkpoint.step:08d}.npz"
    meta = {
        field.name: getattr(checkpoint, field.name)
        for field in dataclasses.fields(Checkpoint)
        if field.name != "state"
    }
    arrays: dict[str, Any] = {
        f"{part}/{name}": np.asarray(array)
        for part, values in checkpoint.state.items()
        for name, array in values.items()
    }
    with atomic_path(path) as temporary:
        np.savez(temporary, meta=np.array(json.dumps(meta)), **arrays)
    for old in _checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def latest_checkpoint(folder: str | os.PathLike) -> Checkpoint | None:
    """The newest checkpoint in `folder`, None when there is none.

    Raises:
      NLRNError: it cannot be read.
    """
    paths = _checkpoints(Path(folder))
    return load_checkpoint(paths[-1]) if paths else None


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Reads one checkpoint. Raises NLRNError when the file is damaged."""
    try:
        with np.load(path) as arrays:
            meta = json.loads(str(arrays["meta"]))
            state: State = {"ema": {}}
            for key in arrays.files:
                part, _, name = key.partition("/")
                if name:
                    state.setdefault(part, {})[name] = arrays[key]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise NLRNError(
            f"{path}: damaged checkpoint ({error}); delete it to go on from the one before"
        ) from error
    return Checkpoint(state=state, **meta)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*.npz") if _NAME.fullmatch(path.name))
