"""Measures the time and memory of restoring whole images, and of the patches of the release.

  python benchmarks/restoration.py
  python benchmarks/restoration.py --sizes=128,2160x3840 --patch_sizes=128 --json=restoration.json

Each row is a process of its own: it loads TensorFlow and the weights, restores a small image, which
compiles the network, and then one of the given size. "peak MiB" is the most memory of the process
above what it had before the first image. `--patch_sizes` are restored by 45x45 patches at stride 7
too, once in float32, as the release does it, and once in `--precision`. The GFLOP/s count the
products that the result needs: of the attention the q^2 keys of each query.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from nlrn_tf import cli, precision

_WEIGHTS = flags.DEFINE_string("weights", "denoise_s25", "Name or path; a denoiser.")
_SIZES = flags.DEFINE_list(
    "sizes",
    ["128", "256", "512", "1024", "2048"],
    "Images restored whole: sides in pixels, or height x width such as 2160x3840.",
)
_PATCH_SIZES = flags.DEFINE_list("patch_sizes", ["256"], "Images restored by patches too.")
_PRECISION = flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")

SMALL = 66  # side in pixels; 16 patches
PATCH, STRIDE = 45, 7


def main(_: list[str]) -> None:
    chosen = precision.resolved(_PRECISION.value)
    precisions = dict.fromkeys(["float32", chosen])
    cases = [("patches", kind, size) for size in _PATCH_SIZES.value for kind in precisions]
    cases += [("whole", chosen, size) for size in _SIZES.value]
    shapes = [_shape(size) for _, _, size in cases]
    rows = []
    for (protocol, kind, size), shape in zip(cases, shapes, strict=True):
        found = common.in_a_process(
            f"the restoration of {size}",
            "Leave this size out",
            measure,
            *(_WEIGHTS.value, protocol, kind, shape),
            precision.propagates_exactly(_PRECISION.value),
        )
        rows.append({"image": size, "protocol": protocol, "precision": kind, **found})
    whole = {row["image"]: row["seconds"] for row in rows if row["protocol"] == "whole"}
    for row in rows:
        row["times whole"] = row["seconds"] / whole.get(row["image"], float("nan"))
    settings = {"weights": _WEIGHTS.value, "patches": f"{PATCH}x{PATCH} at stride {STRIDE}"}
    settings["precision"], settings["attention"] = chosen, _attention(chosen)
    common.report("Restoration", settings, rows, _JSON.value)


def measure(
    weights: str, protocol: str, kind: str, shape: tuple[int, int], is_exact: bool | None
) -> dict:
    """Restores an image of `shape` in this process; see the head of this module.

    Args:
      weights: name or path.
      protocol: "whole" or "patches".
      kind: the precision, "float32" or "bfloat16".
      shape: height and width in pixels.
      is_exact: `exact_propagation` of the network.
    """
    cli.start_tensorflow()
    from nlrn_tf.imaging.quality import psnr
    from nlrn_tf.imaging.samples import to_uint8
    from nlrn_tf.restoration.planes import predict, predict_patches
    from nlrn_tf.weights.loading import load_model

    def run(image):
        if protocol == "whole":
            return predict(model, image)
        return predict_patches(model, image, PATCH, STRIDE)

    model = load_model(weights, precision=kind, exact_propagation=is_exact)
    clean = _photograph(shape)
    noise = np.random.default_rng(0).normal(0, model.config.noise_sigma, shape)
    noisy = ((clean + noise) / 255).astype(np.float32)
    before = _resident_mib()
    start = time.perf_counter()
    run(noisy[:SMALL, :SMALL])
    compiled = time.perf_counter()
    restored = run(noisy)
    seconds = time.perf_counter() - compiled
    return {
        "seconds": seconds,
        "us per pixel": seconds / clean.size * 1e6,
        "GFLOP/s": _flops(model.config, protocol, shape) / seconds / 1e9,
        "peak MiB": common.peak_mib() - before,
        "compile s": compiled - start,
        "PSNR": psnr(clean, to_uint8(restored)),
    }


def _attention(kind: str) -> str:
    cli.start_tensorflow()
    from nlrn_tf.weights.loading import load_model

    config = load_model(_WEIGHTS.value).config
    return common.attention_by(kind, (config.embedding_size, config.filters))


def _shape(size: str) -> tuple[int, int]:
    sides = size.split("x")
    if not 1 <= len(sides) <= 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise flags.Error(f"{size}: a size is a number of pixels, or height x width")
    return int(sides[0]), int(sides[-1])


def _photograph(shape: tuple[int, int]) -> np.ndarray:
    """scikit-image's cameraman, its middle or continued by reflection: uint8 `[*shape]`."""
    from skimage import data

    image = data.camera()
    middle = [slice(max(0, (a - b) // 2), None) for a, b in zip(image.shape, shape, strict=True)]
    image = image[tuple(middle)][: shape[0], : shape[1]]
    missing = [(0, b - a) for a, b in zip(image.shape, shape, strict=True)]
    return np.pad(image, missing, mode="symmetric")


def _flops(config, protocol: str, shape: tuple[int, int]) -> float:
    """Of the products; two for each multiplication."""
    from nlrn_tf.restoration.tiling import positions

    channels, size = config.filters, config.embedding_size
    window = min(config.window_size, shape[0]) * min(config.window_size, shape[1])
    convolutions = 2 * 9 * channels * channels
    attention = window * (size + channels) + channels * (2 * size + channels)
    every = config.non_local_every
    non_local_states = -(-config.num_states // every) if every else 0
    pixels = shape[0] * shape[1]
    if protocol == "patches":
        sides = [min(PATCH, side) for side in shape]
        counts = [
            len(positions(side, part, STRIDE)) for side, part in zip(shape, sides, strict=True)
        ]
        pixels = counts[0] * counts[1] * sides[0] * sides[1]
    return 2.0 * pixels * (config.num_states * convolutions + non_local_states * attention)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    cli.run(main)
