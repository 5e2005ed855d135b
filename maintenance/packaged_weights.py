"""Putting trained weights and their scores into the package, traceable and repeatable."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlrn_tf.datasets.benchmarks import BENCHMARKS
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.scores import MEASURES, read_results
from nlrn_tf.files import write_text
from nlrn_tf.storage.reading import read_json
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.curve import COLUMNS, read_curve
from nlrn_tf.training.history import read_history
from nlrn_tf.weights.loading import load_model, save_model
from nlrn_tf.weights.manifest import WEIGHTS_DIR, sha256

# The means of a file of scores, kept beside the settings; and the quickest images, for a check.
KEPT_MEANS = (*MEASURES, "seconds_per_image")
KEPT_IMAGES = 2
_MANIFEST = "manifest.json"


def package_weights(
    name: str,
    workdir: str | os.PathLike,
    scores: Sequence[str | os.PathLike],
    weights_dir: str | os.PathLike = WEIGHTS_DIR,
    *,
    continues: Sequence[str] = (),
) -> dict:
    """Copies the weights of a run into the package and writes their entry in the manifest.

    Args:
      name: of the packaged network, such as "denoise_s25".
      workdir: of the run; its `best.keras` is taken, which validation has chosen.
      scores: files that `run_eval.py --json` wrote for these weights.
      weights_dir: of the package.
      continues: names of the packaged weights that the run and those before it started from, in
        order, when steps, minutes and starts shall go on from theirs. Of their curves those parts
        are kept that were validated at the same level.

    Returns:
      The entry: sha256 of the packaged file and of that of the run, configuration, steps and
      minutes until these weights, the starts of the run (commands, commits, machines), the file of
      the training curve, and the scores (see `score_entries`).

    Raises:
      NLRNError: the run has no checkpoint or no validated weights, a file of scores cannot be read
        or is of other weights, a file cannot be written, or there is nothing packaged to continue,
        or the run is already part of it.
    """
    workdir, weights_dir = Path(workdir), Path(weights_dir)
    checkpoint = latest_checkpoint(workdir / "checkpoints")
    if checkpoint is None:
        raise NLRNError(f"{workdir}: holds no checkpoint of a run")
    source, run_curve = workdir / "best.keras", workdir / "curve.csv"
    for path in (source, run_curve):
        if not path.is_file():
            raise NLRNError(f"{path}: is missing; train with --validation_images, which writes it")
    entries = _merged([], scores, {sha256(source)})
    starts = read_history(workdir)
    curve = weights_dir / f"{name}_curve.csv"
    before = [_entry_before(packaged, starts, weights_dir) for packaged in continues]
    steps, minutes = _extent_of_best(run_curve)
    model = load_model(source, unroll=False)
    rows = _joined_curves(before, model.config.noise_sigma, weights_dir, run_curve)
    weights = weights_dir / f"{name}.keras"
    save_model(model, weights)
    write_text(curve, rows)
    entry = {
        "sha256": sha256(weights),
        "run_sha256": sha256(source),
        "config": model.config.to_dict(),
        "parameters": model.count_params(),
        "steps": sum(each["steps"] for each in before) + steps,
        "minutes": round(sum(each["minutes"] for each in before) + minutes, 1),
        "best_validation_psnr": checkpoint.best,
        "training": {key: value for key, value in checkpoint.config.items() if value},
        "starts": [*(start for each in before for start in each["starts"]), *starts],
        "curve": curve.name,
        "scores": entries,
    }
    return _write_entry(weights_dir, name, entry)


def _entry_before(name: str, starts: list[dict], weights_dir: Path) -> dict:
    """The entry of the weights that a run went on from."""
    before = _packaged_entry(name, weights_dir)
    if any(start in before["starts"] for start in starts):
        raise NLRNError(
            f"continues={name}: this run is in its history already; to package it again, restore "
            "the manifest and the curve from before"
        )
    return before


def _joined_curves(
    before: list[dict], noise_sigma: float | None, weights_dir: Path, run: Path
) -> str:
    """The packaged curves up to the weights that were packaged, then that of the run, as CSV."""
    if not before:
        return run.read_text()
    parts, steps, minutes = [], 0, 0.0
    for entry in before:
        if entry["config"].get("noise_sigma") == noise_sigma:
            curve = read_curve(weights_dir / entry["curve"])
            kept = curve["step"] <= entry["steps"]
            part = {name: values[kept] for name, values in curve.items()}
            parts.append(_later(part, steps, minutes))
        steps, minutes = steps + entry["steps"], minutes + entry["minutes"]
    parts.append(_later(read_curve(run), steps, minutes))
    columns = [np.concatenate([part[name] for part in parts]) for name in COLUMNS]
    rows = [",".join(f"{value:.10g}" for value in row) for row in zip(*columns, strict=True)]
    return "\n".join([",".join(COLUMNS), *rows, ""])


def _later(curve: dict, steps: int, minutes: float) -> dict:
    return {**curve, "step": curve["step"] + steps, "minutes": curve["minutes"] + minutes}


def _extent_of_best(curve: Path) -> tuple[int, float]:
    """Steps and minutes at the best validation of a curve."""
    columns = read_curve(curve)
    best = columns["val_psnr"].argmax()
    return int(columns["step"][best]), float(columns["minutes"][best])


def add_scores(
    name: str,
    scores: Sequence[str | os.PathLike],
    weights_dir: str | os.PathLike = WEIGHTS_DIR,
) -> dict:
    """Adds scores to packaged weights; those of the same settings and images are replaced.

    Args:
      name: of the packaged network.
      scores: files that `run_eval.py --json` wrote for it, or for the weights of its run.
      weights_dir: of the package.

    Returns:
      Its entry in the manifest.

    Raises:
      NLRNError: it is not packaged, or a file of scores cannot be read or is of other weights.
    """
    entry = _packaged_entry(name, weights_dir)
    known = {entry[key] for key in ("sha256", "run_sha256") if key in entry}
    merged = _merged(entry["scores"], scores, known)
    return _write_entry(Path(weights_dir), name, {**entry, "scores": merged})


def score_entries(path: str | os.PathLike, known: set[str]) -> list[dict]:
    """What the manifest keeps of a file of scores.

    Args:
      path: written by `run_eval.py --json`.
      known: the sha256 that the file of weights may have.

    Returns:
      For each result in it the settings, the means, `images`: the PSNR of the quickest images
      for a check, and `subset`: the names of all its images when they are not the whole set, else
      an empty list.

    Raises:
      NLRNError: the file cannot be read, or its scores are of other weights or of no network.
    """
    return [_score_entry(path, result, known) for result in read_results(path)]


def _score_entry(path: str | os.PathLike, result: dict, known: set[str]) -> dict:
    conditions = dict(result.get("settings", {}))
    if conditions.pop("weights_sha256", None) not in known:
        raise NLRNError(f"{path}: holds scores of other weights, {result.get('weights')}")
    images = result["images"]
    complete = len(images) == BENCHMARKS[result["dataset"]].count
    quickest = sorted(images, key=lambda image: image["seconds"])[:KEPT_IMAGES]
    setting = task_named(result["task"]).setting
    return {
        **{key: result[key] for key in ("dataset", "task", setting, "protocol") if key},
        **conditions,
        **{key: result[key] for key in KEPT_MEANS},
        "images": {image["name"]: image["psnr"] for image in quickest},
        "subset": [] if complete else [Path(image["name"]).stem for image in images],
    }


def _merged(
    entries: list[dict], scores: Sequence[str | os.PathLike], known: set[str]
) -> list[dict]:
    """The entries and those of the files, which replace others of the same settings."""
    merged = {_identity(entry): entry for entry in entries}
    for path in scores:
        merged |= {_identity(entry): entry for entry in score_entries(path, known)}
    return list(merged.values())


def _identity(entry: dict) -> str:
    """An entry without its results."""
    left_out = {*KEPT_MEANS, "images"}
    return json.dumps({k: v for k, v in entry.items() if k not in left_out}, sort_keys=True)


def _packaged_entry(name: str, weights_dir: str | os.PathLike) -> dict:
    entry = _manifest(weights_dir).get(name)
    if entry is None:
        raise NLRNError(f"{name}: is not packaged yet; give its name and the workdir of its run")
    return entry


def _manifest(weights_dir: str | os.PathLike) -> dict:
    path = Path(weights_dir) / _MANIFEST
    return read_json(path, dict[str, dict], "not a manifest of weights") if path.exists() else {}


def _write_entry(weights_dir: Path, name: str, entry: dict) -> dict:
    manifest = {**_manifest(weights_dir), name: entry}
    write_text(weights_dir / _MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return entry
