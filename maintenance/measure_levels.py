"""Measures the packaged denoisers at every noise level: PSNR, and what a wrong level costs.

  python maintenance/measure_levels.py --json=nlrn_tf/weights/levels.json
  python maintenance/measure_levels.py --levels=25,50 --weights=denoise_s25 --precision=float32

A denoiser is scaled to a level by `nlrn_tf.weights.levels.at_level`. The images are the centres of
those that the recipe flags/denoise_s25.cfg holds out of training, the noise is that of run_eval.py:
drawn for the whole image by its number in that list, neither clipped nor rounded. The JSON file is
what `nlrn_tf.weights.level_choice` chooses by; write it again whenever weights are packaged. Those
of Table 5 were trained on some of the images.
"""

import datetime
import json
import sys
from pathlib import Path

import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine
from maintenance.held_out import crops, held_out_images
from nlrn_tf import cli, precision
from nlrn_tf.datasets import location
from nlrn_tf.files import write_text
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.tasks.denoising import Denoising
from nlrn_tf.weights.level_choice import FULL, LITE, checked_level, denoisers, family_of
from nlrn_tf.weights.manifest import manifest

LEVELS = ["5", "10", "15", "20", "25", "30", "40", "50", "60", "75"]
# Noise of the images, and the level that the network is told.
MISMATCHES = ["15:10", "15:20", "25:15", "25:20", "25:30", "25:35", "50:40", "50:60"]

_WEIGHTS = flags.DEFINE_list(
    "weights", [], "Packaged denoisers. Default: all but those of Table 5."
)
_LEVELS = flags.DEFINE_list("levels", LEVELS, "Noise levels in grey levels of 0..255.")
_MISMATCHES = flags.DEFINE_list("mismatches", MISMATCHES, "Pairs noise:level of the network.")
_SIDE = flags.DEFINE_integer("side", 96, "Of the crops, in pixels.", lower_bound=16)
_MAX_IMAGES = flags.DEFINE_integer("max_images", None, "Only the first images.", lower_bound=1)
_PRECISION = flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "As of run_eval.py.")
_JSON = flags.DEFINE_string("json", None, "File for the scores.")


def main(_: list[str]) -> None:
    levels = [checked_level(float(level)) for level in _LEVELS.value]
    pairs = [tuple(float(part) for part in pair.split(":")) for pair in _MISMATCHES.value]
    names = _WEIGHTS.value or [*denoisers(FULL), *denoisers(LITE)]
    cli.start_tensorflow()
    samples = {sigma: _samples(sigma) for sigma in {*levels, *(noise for noise, _ in pairs)}}
    scores = {}
    for name in names:
        found = {f"{level:g}": _score(name, level, samples[level]) for level in levels}
        scores[name] = {"sha256": manifest()[name]["sha256"], "psnr": found}
    result = {
        "title": "PSNR in dB of the packaged denoisers scaled to noise levels",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "command": " ".join(["python", "maintenance/measure_levels.py", *sys.argv[1:]]),
        "settings": {
            "images": held_out_images()[: _MAX_IMAGES.value],
            "side": _SIDE.value,
            "precision": precision.resolved(_PRECISION.value),
        },
        "input": {f"{level:g}": _mean_psnr(*samples[level]) for level in levels},
        "scores": scores,
        "mismatches": [_mismatch(scores, *pair, samples[pair[0]]) for pair in pairs],
    }
    _print(result)
    if _JSON.value is not None:
        write_text(_JSON.value, json.dumps(result, indent=1) + "\n")


def _samples(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Clean crops uint8 and noisy ones float32, both `[N, side, side]`."""

    data_dir, pairs = location.data_dir(_DATA_DIR.value), []
    for index, name in enumerate(held_out_images()[: _MAX_IMAGES.value]):

        def read(path, index=index):
            return np.stack(Denoising().pair(path, index, noise_sigma=sigma), axis=-1)

        pairs += crops([name], data_dir, _SIDE.value, read)
    clean, noisy = np.moveaxis(np.stack(pairs), -1, 0)
    return clean.astype(np.uint8), noisy.astype(np.float32)


def _score(name: str, level: float, samples: tuple[np.ndarray, np.ndarray]) -> float:
    """Mean PSNR in dB of a packaged denoiser, scaled to `level`, on `samples`."""
    from nlrn_tf.restoration.inference import apply_model
    from nlrn_tf.weights.levels import at_level
    from nlrn_tf.weights.loading import load_model

    clean, noisy = samples
    with Console(stderr=True).status(f"{name} at {level:g}"):
        model = at_level(load_model(name, precision=_PRECISION.value), level)
        return _mean_psnr(clean, apply_model(model, noisy[..., None])[..., 0])


def _mean_psnr(clean: np.ndarray, images: np.ndarray) -> float:
    scores = [psnr(*pair) for pair in zip(clean, to_uint8(images), strict=True)]
    return round(float(np.mean(scores)), 3)


def _mismatch(scores: dict, noise: float, level: float, samples: tuple) -> dict:
    """The best of the full networks at the noise's own level, told another one."""
    right = f"{noise:g}"
    full = [name for name in scores if family_of(name) == FULL] or list(scores)
    name = max(full, key=lambda name: scores[name]["psnr"].get(right, -np.inf))
    found = _score(name, level, samples)
    best = scores[name]["psnr"].get(right) or _score(name, noise, samples)
    return {
        "noise": noise,
        "level": level,
        "weights": name,
        "psnr": found,
        "cost": round(best - found, 3),
    }


def _print(result: dict) -> None:
    table = Table(title=result["title"], title_justify="left")
    for heading in ("noise", "input", *result["scores"], "best"):
        table.add_column(heading, justify="right", no_wrap=True)
    for level, noisy in result["input"].items():
        values = {name: entry["psnr"][level] for name, entry in result["scores"].items()}
        shown = [f"{value:.2f}" for value in (noisy, *values.values())]
        table.add_row(level, *shown, max(values, key=values.get))
    costs = Table(title="A network at another level than that of the noise", title_justify="left")
    for heading in ("noise", "level", "weights", "PSNR", "dB lost"):
        costs.add_column(heading, justify="right", no_wrap=True)
    for row in result["mismatches"]:
        costs.add_row(
            f"{row['noise']:g}",
            f"{row['level']:g}",
            row["weights"],
            f"{row['psnr']:.2f}",
            f"{row['cost']:.2f}",
        )
    console = Console(highlight=False)
    console.width = max(console.width, 110)
    console.print(table, costs)


if __name__ == "__main__":
    cli.run(main)
