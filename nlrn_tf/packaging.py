"""Putting trained weights into the package, with what is needed to trace and repeat them."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path, write_text
from nlrn_tf.packaged import WEIGHTS_DIR, load_model, save_model
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.history import read_history

# What is kept of a file of scores: the means, and a few images for a quick check.
KEPT_KEYS = ("dataset", "task", "noise_sigma", "scale", "protocol", "psnr", "ssim")
KEPT_IMAGES = 2


def package_weights(
    name: str,
    workdir: str | os.PathLike,
    scores: Sequence[str | os.PathLike],
    weights_dir: str | os.PathLike = WEIGHTS_DIR,
) -> dict:
    """Copies the weights of a run into the package and writes their entry in the manifest.

    Args:
      name: of the packaged network, such as "denoise_s25".
      workdir: of the run; its `weights.keras` is taken.
      scores: files that `run_eval.py --json` wrote for these weights.
      weights_dir: of the package.

    Returns:
      The entry: sha256, configuration, steps, minutes, the starts of the run (commands, commits,
      machines), the file of the training curve, and the mean scores.

    Raises:
      NLRNError: the run has no checkpoint, a file of scores cannot be read, or a file cannot be
        written.
    """
    workdir, weights_dir = Path(workdir), Path(weights_dir)
    checkpoint = latest_checkpoint(workdir / "checkpoints")
    if checkpoint is None:
        raise NLRNError(f"{workdir}: holds no checkpoint of a run")
    model = load_model(workdir / "weights.keras", unroll=False)
    weights = weights_dir / f"{name}.keras"
    save_model(model, weights)
    curve = weights_dir / f"{name}_curve.csv"
    with atomic_path(curve) as temporary:
        shutil.copyfile(workdir / "curve.csv", temporary)
    entry = {
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "config": model.config.to_dict(),
        "parameters": model.count_params(),
        "steps": checkpoint.step,
        "minutes": round(checkpoint.minutes, 1),
        "best_validation_psnr": checkpoint.best,
        "training": {key: value for key, value in checkpoint.config.items() if value},
        "starts": read_history(workdir),
        "curve": curve.name,
        "scores": [_summary(path) for path in scores],
    }
    path = weights_dir / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else {}
    write_text(path, json.dumps({**manifest, name: entry}, indent=1, sort_keys=True) + "\n")
    return entry


def _summary(path: str | os.PathLike) -> dict:
    try:
        scores = json.loads(Path(path).read_text())
        images = {image["name"]: image["psnr"] for image in scores["images"][:KEPT_IMAGES]}
        return {**{k: scores[k] for k in KEPT_KEYS if k in scores}, "images": images}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NLRNError(f"{path}: not a file of scores by run_eval.py --json ({error})") from error
