"""`curve.csv` in a work folder, and packaged with weights: a row for each validation."""

import csv
import io
import os

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.storage.reading import read_bytes, reading

COLUMNS = ("step", "minutes", "num_states", "learning_rate", "loss", "train_psnr", "val_psnr")

_MAX_BYTES = 2**26


def read_curve(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The columns of a training curve by name, float64 `[rows]`.

    Raises:
      NLRNError: the file cannot be read, has no rows, or lacks a column.
    """
    with reading(path, "not a training curve by `run_train.py`"):
        rows = list(csv.DictReader(io.StringIO(read_bytes(path, _MAX_BYTES).decode())))
        curve = {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS}
    if not rows:
        raise NLRNError(f"{path}: the training curve has no rows yet")
    return curve
