"""The benchmark sets of the paper, their fixed protocols, and the paper's figures for them.

The degradations, and TensorFlow with them, are imported when a pair is made: the scripts read
the names of the sets for their `--help`.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import find_images, read_image, rgb_to_grey, unit_range
from nlrn_tf.imaging.quality import rgb_to_y


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A set of test images.

    Attributes:
      folder: below the data folder.
      count: of its images.
      task: what it is mostly used for in the paper, "denoise" or "sr".
    """

    folder: str
    count: int
    task: str


BENCHMARKS = {
    "Set12": Benchmark("Set12", 12, "denoise"),
    "BSD68": Benchmark("BSD68", 68, "denoise"),
    "BSD200": Benchmark("BSDS500/test", 200, "denoise"),
    "Set5": Benchmark("Set5", 5, "sr"),
    "Set14": Benchmark("Set14", 14, "sr"),
    "BSD100": Benchmark("BSDS500/val", 100, "sr"),
    "Urban100": Benchmark("Urban100", 100, "sr"),
}


def benchmark_images(
    name: str, data_dir: str | os.PathLike, max_images: int | None = None
) -> list[Path]:
    """The image files of a benchmark, sorted by name.

    The position in this list is the index by which the noise of an image is drawn.

    Args:
      name: one of `BENCHMARKS`.
      data_dir: the folder of the data sets.
      max_images: only the first ones; the set need not be complete then.

    Raises:
      NLRNError: unknown name, or the folder is missing, empty or does not hold the number of
        images that the set has.
    """
    if name not in BENCHMARKS:
        raise NLRNError(f"data set '{name}' is unknown; choose one of {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    folder = Path(data_dir) / benchmark.folder
    remedy = (
        f"`python data_tools/prepare_datasets.py --data_dir={data_dir} "
        f"--sets={benchmark.folder}` gets it "
        "(--from=FOLDER takes it from a local folder)"
    )
    try:
        paths = find_images(folder)
    except NLRNError as error:
        raise NLRNError(f"{error}; this is where {name} is expected: {remedy}") from error
    if max_images is not None:
        return paths[:max_images]
    if len(paths) != benchmark.count:
        raise NLRNError(
            f"{folder}: holds {len(paths)} images, but {name} has {benchmark.count}; {remedy}, "
            f"or pass --max_images={len(paths)} for a partial score"
        )
    return paths


def check_names(prefix: str, names: Iterable[str], dataset: str, paths: Collection[Path]) -> None:
    """Checks that images are in a benchmark.

    Args:
      prefix: what the message begins with, before the names that are unknown.
      names: of the images, without suffix.
      dataset: the name of the benchmark.
      paths: its images, at least one.

    Raises:
      NLRNError: some are not.
    """
    known = [path.stem for path in paths]
    unknown = sorted(set(names).difference(known))
    if unknown:
        raise NLRNError(
            f"{prefix}{','.join(unknown)}: not in {dataset}, whose images are called like "
            f"{known[0]}"
        )


def denoising_pair(
    path: str | os.PathLike, index: int, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """A clean image and its noisy version (design brief, section 6).

    Args:
      path: of an image file; colour becomes grey.
      index: position in the sorted list of the set's files, the seed of the noise.
      sigma: standard deviation of the noise in grey levels of 0..255.

    Returns:
      clean: uint8 `[H, W]`.
      noisy: float32 `[H, W]`, [0, 1] plus noise, neither clipped nor rounded.

    Raises:
      NLRNError: the image cannot be read, or a negative `sigma`.
    """
    from nlrn_tf.imaging.resize import add_gaussian_noise

    clean = rgb_to_grey(read_image(path))
    return clean, add_gaussian_noise(clean, sigma, seed=index)


def sr_pair(
    path: str | os.PathLike, scale: int, *, quantize_lr: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The Y channel of an image and its bicubic approximation (design brief, section 6).

    Args:
      path: of an image file; a grey image is its own Y.
      scale: super-resolution factor, an integer of at least 1.
      quantize_lr: makes the low-resolution image between them as MATLAB does from 8 bits, rounded
        to 8 bits; by default it is not rounded.

    Returns:
      truth: uint8 `[H, W]`, Y cropped to a multiple of `scale`.
      bicubic: float32 `[H, W]` in [0, 1] (overshooting at edges), shrunk and enlarged again.

    Raises:
      NLRNError: the image cannot be read, or is smaller than `scale` in a direction.
    """
    from nlrn_tf.imaging.resize import crop_to_multiple, imresize

    image = crop_to_multiple(read_image(path), scale)
    if image.size == 0:
        raise NLRNError(f"{path}: has fewer than {scale} pixels in a direction, the scale")
    truth = rgb_to_y(image)
    low_resolution = imresize(truth if quantize_lr else unit_range(truth), 1 / scale)
    return truth, imresize(unit_range(low_resolution), scale)


def paper_figures(name: str, task: str, setting: float) -> tuple[int, dict[str, dict]] | None:
    """What the paper reports for a benchmark.

    Args:
      name: of the benchmark.
      task: "denoise" or "sr".
      setting: the noise sigma or the scale.

    Returns:
      The number of the table and `{method: {"psnr": dB, "ssim": 0..1 or None}}`, or None when
      the paper has no figure. Where two tables have one (Urban100 at sigma 50), Table 4.
    """
    for table in _paper_results()["tables"]:
        figures = table["results"].get(name, {}).get(f"{setting:g}")
        if table["task"] == task and figures:
            return table["table"], figures
    return None


@functools.cache
def _paper_results() -> dict:
    return json.loads((Path(__file__).parent / "paper_results.json").read_text())
