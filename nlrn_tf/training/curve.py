"""`curve.csv` in a work folder, and packaged with weights: a row for each validation."""

import csv
import os

import numpy as np

from nlrn_tf.errors import NLRNError

COLUMNS = ("step", "minutes", "num_states", "learning_rate", "loss", "train_psnr", "val_psnr")


def read_curve(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The columns of a training curve by name, float64 `[rows]`.

    Raises:
      NLRNError: the file cannot be read, has no rows, or lacks a column.
    """
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        curve = {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NLRNError(f"{path}: not a training curve by `run_train.py` ({error!r})") from error
    if not rows:
        raise NLRNError(f"{path}: the training curve has no rows yet")
    return curve
