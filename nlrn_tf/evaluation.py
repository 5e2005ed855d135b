"""Scoring on the benchmarks of the paper, by the fixed protocols.

`H, W` pixels. A score is taken on the rounded, clipped uint8 image: the whole of it in denoising,
the Y channel without a border of `scale` pixels in super-resolution.
"""

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from nlrn_tf.cli import default_data_dir
from nlrn_tf.config import NLRNConfig
from nlrn_tf.data.benchmarks import benchmark_images, denoising_pair, sr_pair
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation_report import comparison, print_scores
from nlrn_tf.evaluation_settings import EvaluationSettings
from nlrn_tf.files import write_text
from nlrn_tf.images import to_uint8, write_image
from nlrn_tf.inference import Model
from nlrn_tf.metrics import psnr, ssim
from nlrn_tf.packaged import load_model, packaged_names
from nlrn_tf.progress import image_progress
from nlrn_tf.restoration import predict, predict_patches, self_ensemble

Restore = Callable[[np.ndarray], np.ndarray]


def evaluate(
    settings: EvaluationSettings,
    *,
    data_dir: str | os.PathLike | None = None,
    model: Model | None = None,
    output_dir: str | os.PathLike | None = None,
    json_path: str | os.PathLike | None = None,
    console: Console | None = None,
) -> dict:
    """Scores a method on a benchmark.

    Args:
      settings: what is scored, and how.
      data_dir: the folder of the data sets; by default `$NLRN_DATA_DIR`, else `data/`.
      model: used for method "nlrn" instead of loading `settings.weights`: a callable on float32
        `[B, H, W, 1]` in [0, 1] that returns the same shape.
      output_dir: gets `<name>.png`, the image as it was scored, and `<name>_comparison.png`,
        degraded, restored and true image side by side.
      json_path: gets the result; written anew after each image, so that an interrupted run
        leaves what it has scored. An infinite PSNR (equal images) is null there.
      console: gets the table. None prints nothing, and shows no progress.

    Returns:
      {"dataset", "task", "method", "protocol", "noise_sigma" or "scale", "weights",
      "images": [{"name", "psnr", "ssim", "seconds"}], "psnr", "ssim", "seconds_per_image"}:
      means over the images; dB, and seconds of the restoration alone (the first image's include
      the compilation of the network).

    Raises:
      NLRNError: the data set is missing or incomplete, the weights do not exist or are for
        something else, an image cannot be read or an output not written.
    """
    paths = benchmark_images(settings.dataset, data_dir or default_data_dir(), settings.max_images)
    if settings.method == "nlrn" and model is None:
        model = _load(settings)
    result = {}
    images = []
    with image_progress(visible=console is not None) as progress:
        bar = progress.add_task("", total=len(paths))
        restore = _restorer(settings, model, lambda part: progress.advance(bar, part))
        for index, path in enumerate(paths):
            progress.update(bar, completed=index, description=escape(path.name))
            images.append(_score(settings, restore, path, index, output_dir))
            result = _summary(settings, images)
            if json_path is not None:
                write_text(json_path, _to_json(result))
        progress.update(bar, completed=len(paths), description="")
    if console is not None:
        print_scores(result, settings, console)
    return result


def _load(settings: EvaluationSettings) -> Model:
    _check_packaged(settings)
    border = settings.window_border
    model = load_model(settings.weights, **({} if border is None else {"window_border": border}))
    check_purpose(model.config, settings)
    return model


def _check_packaged(settings: EvaluationSettings) -> None:
    """Says what to do when the weights that the task wants by default are not packaged."""
    name = settings.weights
    if name != settings.default_weights or name in packaged_names() or Path(name).exists():
        return
    alternative = "bicubic" if settings.task == "sr" else "identity"
    raise NLRNError(
        f"weights '{name}': no such packaged weights (there are: "
        f"{', '.join(packaged_names()) or 'none'}); train some (`python run_train.py "
        f"--flagfile=flags/{'sr' if settings.task == 'sr' else 'denoise_s25'}.cfg`) and pass "
        f"--weights=PATH, or score the input of the network with --method={alternative}"
    )


def check_purpose(config: NLRNConfig, settings: EvaluationSettings) -> None:
    """Checks that weights are for the task at hand.

    Another noise level than that of the training is worth a warning only, on standard error.

    Raises:
      NLRNError: they are for the other task, or for other scales.
    """
    weights = settings.weights
    if config.task not in (None, settings.task):
        raise NLRNError(
            f"weights '{weights}' are for task {config.task}, not {settings.task}; "
            f"choose others with --weights, or --task={config.task}"
        )
    if settings.task == "sr" and config.scales and settings.scale not in config.scales:
        raise NLRNError(
            f"weights '{weights}' are for scale {', '.join(map(str, config.scales))}, "
            f"not {settings.scale}; choose others with --weights, or another --scale"
        )
    if settings.task == "denoise" and config.noise_sigma not in (None, settings.noise_sigma):
        print(
            f"warning: weights '{weights}' were trained for sigma {config.noise_sigma:g}, "
            f"the images have {settings.noise_sigma:g}",
            file=sys.stderr,
        )


def _restorer(
    settings: EvaluationSettings, model: Model | None, on_progress: Callable[[float], None]
) -> Restore:
    """The function from the degraded to the restored image, both float32 `[H, W]`."""
    if settings.method != "nlrn":
        return lambda image: image
    views = 8 if settings.self_ensemble else 1

    def restore_view(image: np.ndarray) -> np.ndarray:
        if settings.protocol == "patches":
            return predict_patches(model, image, settings.patch_size, settings.stride)
        return predict(model, image, on_progress=lambda part: on_progress(part / views))

    if settings.self_ensemble:
        return lambda image: self_ensemble(restore_view, image)
    return restore_view


def _score(
    settings: EvaluationSettings,
    restore: Restore,
    path: Path,
    index: int,
    output_dir: str | os.PathLike | None,
) -> dict:
    """Restores and scores one image, and saves it when asked for."""
    if settings.task == "denoise":
        truth, degraded = denoising_pair(path, index, settings.noise_sigma)
    else:
        truth, degraded = sr_pair(path, settings.scale)
    try:
        start = time.perf_counter()
        restored = to_uint8(restore(degraded))
        seconds = time.perf_counter() - start
        scores = {
            "psnr": psnr(truth, restored, settings.border),
            "ssim": ssim(truth, restored, settings.border),
        }
    except NLRNError as error:
        raise NLRNError(f"{path}: {error}") from error
    if output_dir is not None:
        degraded = to_uint8(degraded)
        before = psnr(truth, degraded, settings.border)
        panels = {
            f"{'noisy' if settings.task == 'denoise' else 'bicubic'} {before:.2f} dB": degraded,
            f"{settings.method} {scores['psnr']:.2f} dB": restored,
            "truth": truth,
        }
        write_image(Path(output_dir) / f"{path.stem}.png", restored)
        write_image(Path(output_dir) / f"{path.stem}_comparison.png", comparison(panels))
    return {"name": path.name, **scores, "seconds": seconds}


def _summary(settings: EvaluationSettings, images: list[dict]) -> dict:
    return {
        "dataset": settings.dataset,
        "task": settings.task,
        "method": settings.method,
        "protocol": settings.protocol,
        "noise_sigma" if settings.task == "denoise" else "scale": settings.setting,
        "weights": settings.weights,
        "images": list(images),
        "psnr": statistics.fmean(image["psnr"] for image in images),
        "ssim": statistics.fmean(image["ssim"] for image in images),
        "seconds_per_image": statistics.fmean(image["seconds"] for image in images),
    }


def _to_json(result: dict) -> str:
    """JSON has no infinity: the PSNR of equal images becomes null."""

    def finite(scores: dict) -> dict:
        return {**scores, "psnr": scores["psnr"] if math.isfinite(scores["psnr"]) else None}

    images = [finite(image) for image in result["images"]]
    return json.dumps({**finite(result), "images": images}, indent=2) + "\n"
