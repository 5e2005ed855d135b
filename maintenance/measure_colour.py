"""Compares ways to restore colour with the packaged grey denoisers: PSNR of RGB, seconds a crop.

  python maintenance/measure_colour.py --json=colour.json
  python maintenance/measure_colour.py --noise_sigma=25 --input=bits8 --max_images=4

The images are the centres of those that the recipe flags/denoise_s25.cfg holds out of training, in
colour. The noise is drawn for the whole image by its number in that list, independently in R, G
and B. `--input=bits8` rounds and clips the noisy image to 8 bits, `vivid` does too and spreads the
colours about mid-grey before, so that many saturate.

A way is named luma | chroma. "own" stands for the weights that are the best at the level of the
plane (`nlrn_tf.weights.level_choice`). Luma / sqrt 3 is restored as a grey image with noise
sigma / sqrt 3; a chroma plane has noise sigma and is put about mid-grey, 0.5, or, where "zero" is
said, about 0. "x1.3" tells the network 1.3 times the level. "half" restores chroma of half
the resolution (means of 2 x 2, noise sigma / 2), and enlarges it bicubically.
"""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from maintenance.held_out import centre, crops, held_out_images
from nlrn_tf import cli, precision
from nlrn_tf.datasets import location
from nlrn_tf.imaging.files import read_image
from nlrn_tf.imaging.opponent import opponent_to_rgb, rgb_to_opponent
from nlrn_tf.imaging.quality import psnr
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.weights.level_choice import FULL, LITE, best_denoiser, checked_level, denoisers

_SIGMAS = flags.DEFINE_list("noise_sigma", ["15", "25", "50"], "In grey levels of 0..255.")
_INPUT = flags.DEFINE_enum("input", "float", ["float", "bits8", "vivid"], "Kind of noisy image.")
_WAYS = flags.DEFINE_list("ways", [], "Only these: rows of the table. Default: all.")
_SIDE = flags.DEFINE_integer("side", 96, "Of the crops, in pixels; even.", lower_bound=16)
_MAX_IMAGES = flags.DEFINE_integer("max_images", None, "Only the first images.", lower_bound=1)
_PRECISION = flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "As of run_eval.py.")
_JSON = flags.DEFINE_string("json", None, "File for the figures.")

VIVID = 1.7  # contrast


def main(_: list[str]) -> None:
    sigmas = [checked_level(float(sigma)) for sigma in _SIGMAS.value]
    ways = _ways()
    unknown = set(_WAYS.value) - set(ways)
    if unknown:
        raise flags.Error(f"--ways={','.join(sorted(unknown))}: choose of {', '.join(ways)}")
    chosen = {name: ways[name] for name in _WAYS.value or ways}
    cli.start_tensorflow()
    rows = [{"way": name} for name in ["noisy", *chosen]]
    for sigma in sigmas:
        clean, noisy = _samples(sigma)
        restorer = PlaneRestorer()
        for row, way in zip(rows, [_untouched, *chosen.values()], strict=True):
            with Console(stderr=True).status(f"{row['way']} at {sigma:g}"):
                restored, seconds = way(restorer, noisy, sigma)
            scores = [psnr(*map(_flat, pair)) for pair in zip(clean, restored, strict=True)]
            row[f"PSNR {sigma:g}"] = round(float(np.mean(scores)), 3)
            row[f"s {sigma:g}"] = round(seconds / len(clean), 2)
    settings = {
        "images": len(clean),
        "side": _SIDE.value,
        "precision": precision.resolved(_PRECISION.value),
        "input": _INPUT.value,
    }
    common.report("Ways to restore colour", settings, rows, _JSON.value)


class PlaneRestorer:
    """Restores planes, and remembers the results: many ways share some."""

    def __init__(self):
        self._done = {}

    def __call__(self, key: str, planes: np.ndarray, weights: str, level: float):
        """Restores planes `[N, H, W]` that `key` names by a packaged denoiser scaled to `level`.

        `weights` may be a family, of which the best at the level is taken. Returns the planes and
        the seconds, without compiling.
        """
        from nlrn_tf.restoration.inference import apply_model

        name = best_denoiser(level, denoisers(weights)) if denoisers(weights) else weights
        known = (key, name, level)
        if known not in self._done:
            model = _model(name, level)
            apply_model(model, planes[:1, ..., None])  # compiles
            start = time.perf_counter()
            restored = apply_model(model, planes[..., None])[..., 0]
            self._done[known] = restored, time.perf_counter() - start
        return self._done[known]


Way = Callable[[PlaneRestorer, np.ndarray, float], tuple[np.ndarray, float]]


def _ways() -> dict[str, Way]:
    """What is compared, by name."""
    luma_only = {"own | own lite": {"chroma": LITE}}
    weights = {f"own | {name}": {"chroma": name} for name in denoisers()}
    return {
        "channels own": functools.partial(_channels, weights=FULL),
        "channels own lite": functools.partial(_channels, weights=LITE),
        **{
            name: functools.partial(_opponent, **options)
            for name, options in {
                **luma_only,
                "own | own": {},
                **weights,
                "own lite | own lite": {"luma": LITE, "chroma": LITE},
                "own | own lite zero": {"chroma": LITE, "offset": 0.0},
                "own | own lite x1.15": {"chroma": LITE, "told": 1.15},
                "own | own lite x1.3": {"chroma": LITE, "told": 1.3},
                "own | own x1.15": {"told": 1.15},
                "own | own lite half": {"chroma": LITE, "half": True},
                "own | own half": {"half": True},
                "own lite | own lite half": {"luma": LITE, "chroma": LITE, "half": True},
            }.items()
        },
    }


def _untouched(restorer: PlaneRestorer, noisy: np.ndarray, sigma: float):
    return noisy, 0.0


def _channels(restorer: PlaneRestorer, noisy: np.ndarray, sigma: float, weights: str):
    found = [restorer(f"rgb {c}", noisy[..., c], weights, sigma) for c in range(3)]
    return np.stack([plane for plane, _ in found], axis=-1), sum(time for _, time in found)


def _opponent(
    restorer: PlaneRestorer,
    noisy: np.ndarray,
    sigma: float,
    luma: str = FULL,
    chroma: str = FULL,
    offset: float = 0.5,
    told: float = 1.0,
    half: bool = False,
):
    from nlrn_tf.imaging.resize import imresize

    planes = rgb_to_opponent(noisy)
    root = 3**0.5
    light, seconds = restorer("luma", planes[..., 0] / root, luma, sigma / root)
    restored = [root * light]
    for number in (1, 2):
        plane = offset + planes[..., number]
        if half:
            plane = plane.reshape(len(plane), plane.shape[1] // 2, 2, -1, 2).mean(axis=(2, 4))
        level = told * sigma / (2 if half else 1)
        plane, time = restorer(f"chroma {number} {offset} {half}", plane, chroma, level)
        if half:
            plane = np.stack([imresize(image, 2) for image in plane])
        restored.append(plane - offset)
        seconds += time
    return opponent_to_rgb(np.stack(restored, axis=-1)), seconds


@functools.cache
def _model(name: str, level: float):
    from nlrn_tf.weights.levels import at_level
    from nlrn_tf.weights.loading import load_model

    return at_level(load_model(name, precision=_PRECISION.value), level)


def _samples(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Clean crops uint8 and noisy ones float32, both `[N, side, side, 3]`."""
    from nlrn_tf.tasks.denoising import add_gaussian_noise

    data_dir, cleans, noisies = location.data_dir(_DATA_DIR.value), [], []
    names = held_out_images()[: _MAX_IMAGES.value]
    for index, whole in enumerate(crops(names, data_dir, 10**6, read_image)):
        if _INPUT.value == "vivid":
            whole = to_uint8((whole / 255 - 0.5) * VIVID + 0.5)
        noisy = add_gaussian_noise(whole, sigma, seed=index)
        cleans.append(centre(whole, _SIDE.value))
        noisies.append(centre(noisy, _SIDE.value))
    noisy = np.stack(noisies)
    if _INPUT.value != "float":
        noisy = to_uint8(noisy).astype(np.float32) / 255
    return np.stack(cleans), noisy


def _flat(image: np.ndarray) -> np.ndarray:
    """uint8 `[H, 3 W]` of an RGB image, for the PSNR over all channels."""
    return to_uint8(image).reshape(len(image), -1)


if __name__ == "__main__":
    cli.run(main)
