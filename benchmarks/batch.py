"""Throughput of `run_batch.py` with several numbers of processes, in one run.

python benchmarks/batch.py
python benchmarks/batch.py --weights=denoise_s25 --workers=1,2,4 --images=64 --size=512

The images are one photograph with noise; each number of processes restores all of them. Seconds are
those of the whole pipeline: starting, loading the network and compiling it for the first image too.
"Restoring" is the time in the network, the mean of the processes; time of the processor is that of
all processes together.
"""

import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from nlrn_tf import cli
from nlrn_tf.imaging.files import write_image

_WORKERS = flags.DEFINE_list("workers", ["1", "2"], "Numbers of processes.")
_WEIGHTS = flags.DEFINE_string("weights", "denoise_lite_s25", "Packaged weights, or a .keras file.")
_IMAGES = flags.DEFINE_integer("images", 48, "Images to restore.", lower_bound=2)
_SIZE = flags.DEFINE_integer(
    "size", 256, "Their height and width in pixels.", lower_bound=16, upper_bound=512
)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")


def main(_):
    from nlrn_tf.batch.run import run_batch
    from nlrn_tf.batch.settings import BatchSettings
    from nlrn_tf.restoration.settings import RestorationSettings

    settings = RestorationSettings(weights=_WEIGHTS.value)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _make_photos(Path(folder) / "photos")
        for workers in map(int, _WORKERS.value):
            before = _processor_seconds()
            outcome = run_batch(
                *(f"{folder}/photos", f"{folder}/out{workers}", settings),
                BatchSettings(direct_num_workers=workers),
            )
            megapixels = outcome.pixels / 1e6
            rows.append(
                {
                    "processes": workers,
                    "images": outcome.images,
                    "seconds": outcome.seconds,
                    "restoring s": outcome.restoring_seconds / workers,
                    "images/s": outcome.images / outcome.seconds,
                    "s/MP": outcome.seconds / megapixels,
                    "processor s/MP": (_processor_seconds() - before) / megapixels,
                }
            )
    described = {"weights": _WEIGHTS.value, "size": _SIZE.value}
    common.report("Batches of images by Beam's DirectRunner", described, rows, _JSON.value)


def _processor_seconds() -> float:
    """Of this process and of those that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _make_photos(folder: Path) -> None:
    from skimage import data

    image = data.camera()[: _SIZE.value, : _SIZE.value].astype(np.float64)
    rng = np.random.default_rng(0)
    for number in range(_IMAGES.value):
        noisy = np.clip(np.rint(image + rng.normal(0, 25, image.shape)), 0, 255)
        write_image(folder / f"{number:04}.png", noisy.astype(np.uint8))


if __name__ == "__main__":
    cli.run(main)
