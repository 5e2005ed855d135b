"""Times networks that enlarge against each other, in one process and turn by turn.

  python benchmarks/enlarging.py
  python benchmarks/enlarging.py --weights=sr,sr_lite --scales=2,4 --side=480 --json=enlarging.json

A crop of a photograph is shrunk by each scale and enlarged again. Seconds are medians and count for
a megapixel of the enlarged image; in each turn every network goes on until it has had a second.
"times" is what the first network takes over what this one takes.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from nlrn_tf import cli, precision
from nlrn_tf.errors import NLRNError

_WEIGHTS = flags.DEFINE_list("weights", ["sr", "sr_lite"], "Names or paths.")
_SCALES = flags.DEFINE_list("scales", ["2", "3", "4"], "Factors.")
_SIDE = flags.DEFINE_integer(
    "side",
    288,
    "Height and width of the enlarged image in pixels.",
    lower_bound=12,
    upper_bound=512,
)
_TURNS = flags.DEFINE_integer("turns", 3, "How often each has its turn.", lower_bound=1)
_PRECISION = flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")


def main(_: list[str]) -> None:
    cli.start_tensorflow()
    from skimage import data

    from nlrn_tf.imaging.resize import imresize
    from nlrn_tf.restoration.restorer import Restorer
    from nlrn_tf.weights.loading import load_model

    if not (_WEIGHTS.value and _SCALES.value):
        raise NLRNError("nothing to time: give at least one of weights and of scales")
    models = {name: load_model(name, precision=_PRECISION.value) for name in _WEIGHTS.value}
    rows = []
    for scale in map(int, _SCALES.value):
        side = _SIDE.value // scale * scale
        image = data.camera()[:side, :side].astype(np.float32) / 255
        small = imresize(image, 1 / scale)
        restorers = {name: Restorer(model, scale=scale) for name, model in models.items()}
        found = _seconds(restorers, small)
        for name, seconds in found.items():
            rows.append(
                {
                    "scale": scale,
                    "weights": name,
                    "s/MP": seconds / (image.size / 1e6),
                    "times": found[_WEIGHTS.value[0]] / seconds,
                    "PSNR": _psnr(image, restorers[name].plane(small), scale),
                }
            )
    settings = {"side": _SIDE.value, "precision": precision.resolved(_PRECISION.value)}
    common.report("Enlarging", settings, rows, _JSON.value)


def _seconds(restorers: dict, small: np.ndarray) -> dict[str, float]:
    """The median of each."""
    found: dict[str, list[float]] = {name: [] for name in restorers}
    for restorer in restorers.values():
        restorer.plane(small)  # compiles
    for _ in range(_TURNS.value):
        for name, restorer in restorers.items():
            begun = time.perf_counter()
            start = begun
            while start - begun < 1:
                restorer.plane(small)
                start, before = time.perf_counter(), start
                found[name].append(start - before)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _psnr(image: np.ndarray, restored: np.ndarray, border: int) -> float:
    from nlrn_tf.imaging.quality import psnr
    from nlrn_tf.imaging.samples import to_uint8

    return psnr(to_uint8(image), to_uint8(restored), border)


if __name__ == "__main__":
    cli.run(main)
