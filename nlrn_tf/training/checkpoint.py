"""Checkpoints: one `.npz` file with the whole state of a run, written atomically.

The arrays are named `<part of the state>/<name>` (`state.py`), beside `meta`, a JSON text.
The file holds no objects of a framework, so a run may go on under another backend.
"""

import dataclasses
import io
import json
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from nlrn_tf.files import atomic_path
from nlrn_tf.storage.archive import entry, open_archive
from nlrn_tf.storage.reading import parsed_json, reading
from nlrn_tf.storage.schema import MisfitError, Within, checked
from nlrn_tf.training.curve import COLUMNS
from nlrn_tf.training.state import PARTS, State

PROBLEM = "damaged checkpoint"
REMEDY = "delete it to go on from the one before"

_NAME = re.compile(r"step-(\d{8,})\.npz")
_ADDED = {"filters", "embedding_size", "trained_on"}  # since the first checkpoints

Count = Annotated[int, Within(0, 2**53)]


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
    step: Count = 0
    examples: Count = 0
    minutes: Annotated[float, Within(0, 1e9)] = 0.0
    num_states: Count = 0
    weights_step: Annotated[int, Within(-1, 2**53)] = -1
    skipped: Count = 0
    best: float | None = None
    curve: list[dict[str, float]] = dataclasses.field(default_factory=list)
    config: dict[str, object] = dataclasses.field(default_factory=dict)
    filters: Count = 128
    embedding_size: Count = 64
    trained_on: list[str] = dataclasses.field(default_factory=list)


def save_checkpoint(folder: str | os.PathLike, checkpoint: Checkpoint, keep: int) -> Path:
    """Writes `step-<step>.npz` and removes all but the newest `keep` checkpoints.

    Raises:
      NLRNError: the file cannot be written. The older checkpoints are still there.
    """
    folder = Path(folder)
    path = checkpoint_path(folder, checkpoint.step)
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
    """Reads one checkpoint.

    Whether its arrays are those of a network is seen by `state.check_state`.

    Raises:
      NLRNError: the file is damaged, or something else.
    """
    path = Path(path)
    with reading(path, PROBLEM, REMEDY):
        with open_archive(path) as archive:
            text = _text(entry(archive, "meta.npy"))
            meta = checked(dict[str, object], parsed_json(text), "meta")
            state: State = {"ema": {}}
            for key in archive.namelist():
                part, _, name = key.removesuffix(".npy").partition("/")
                if part in PARTS and name:
                    state.setdefault(part, {})[name] = _array(entry(archive, key), key)
        missing = {field.name for field in dataclasses.fields(Checkpoint)} - set(meta) - _ADDED
        if missing != {"state"}:
            raise MisfitError(f"meta has no entry '{min(missing - {'state'})}'")
        checkpoint = checked(Checkpoint, {**meta, "state": state}, "meta")
        if any(set(row) - set(COLUMNS) for row in checkpoint.curve):
            raise MisfitError("the curve has unknown columns")
        if _NAME.fullmatch(path.name) and path.name != checkpoint_path("", checkpoint.step).name:
            raise MisfitError(f"it is of step {checkpoint.step}, not of that in its name")
    return checkpoint


def checkpoint_path(folder: str | os.PathLike, step: int) -> Path:
    """The file of a step."""
    return Path(folder) / f"step-{step:08d}.npz"


def _array(content: bytes, name: str) -> np.ndarray:
    """The array in a `.npy` file, which must hold what its header says.

    Raises:
      MisfitError: it is none of numbers, or of another size.
    """
    shape, in_columns, dtype, values = _parsed(content)
    if dtype.kind != "f" or len(values) != dtype.itemsize * math.prod(shape):
        raise MisfitError(f"{name} is not an array of numbers of the size that it says")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if in_columns else "C")
    return array.copy()  # frombuffer's cannot be written


def _text(content: bytes) -> str:
    shape, _, dtype, values = _parsed(content)
    if dtype.kind != "U" or shape or len(values) != dtype.itemsize:
        raise MisfitError("meta is not a text")
    # NumPy would make a string of numbers that are no characters.
    return values.decode("utf-32-be" if dtype.byteorder == ">" else "utf-32-le").rstrip("\0")


def _parsed(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype, bytes]:
    """What the header of a `.npy` file says, and what follows it."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise MisfitError(f"an array in version {version} of its format")
    return *np.lib.format.read_array_header_1_0(file), file.read()


def _checkpoints(folder: Path) -> list[Path]:
    paths = [path for path in folder.glob("step-*.npz") if _NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: (len(path.name), path.name))
