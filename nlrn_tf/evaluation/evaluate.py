"""Scoring on the benchmarks of the paper, by the fixed protocols.

`H, W` pixels. A score is taken on the rounded, clipped uint8 image: the whole of it in denoising,
the Y channel without a border of `scale` pixels in super-resolution.
"""

import contextlib
import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from nlrn_tf.config import NLRNConfig
from nlrn_tf.datasets import location
from nlrn_tf.datasets.own import set_named
from nlrn_tf.errors import NLRNError, printable
from nlrn_tf.evaluation.forecast import forecast
from nlrn_tf.evaluation.images import chosen_images, degraded_pair
from nlrn_tf.evaluation.report import print_overview, print_scores
from nlrn_tf.evaluation.scores import Scores, resume, write_scores
from nlrn_tf.evaluation.settings import NETWORK, EvaluationSettings
from nlrn_tf.imaging.files import write_image
from nlrn_tf.imaging.montage import comparison
from nlrn_tf.imaging.quality import psnr, ssim
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.precision import propagates_exactly
from nlrn_tf.progress import image_progress
from nlrn_tf.restoration.duration import Expected
from nlrn_tf.restoration.inference import Model
from nlrn_tf.restoration.planes import PlaneFunction
from nlrn_tf.restoration.restorer import OnProgress, Restorer
from nlrn_tf.storage.locks import lock_file
from nlrn_tf.weights.loading import load_model
from nlrn_tf.weights.manifest import find_weights, sha256, training_sources

StrPath = str | os.PathLike


def evaluate(settings: EvaluationSettings, **options) -> dict:
    """Scores a method on a benchmark.

    Args:
      settings: what is scored, and how.
      **options: of `evaluate_all`.

    Returns:
      {"dataset", "task", "method", "protocol", "noise_sigma" or "scale", "weights",
      "images": [{"name", "psnr", "ssim", "seconds", "input_psnr", "input_ssim"}], "psnr", "ssim",
      "seconds_per_image", "input_psnr", "input_ssim", "settings"}: means over the images; dB, and
      seconds of the restoration alone (the first image's include the compilation of the network).
      "input" is the input of the network, the noisy or the bicubic image; "settings" is what else
      the scores depend on.

    Raises:
      NLRNError: as for `evaluate_all`.
    """
    return evaluate_all([settings], **options)[0]


def evaluate_all(
    all_settings: Sequence[EvaluationSettings],
    *,
    data_dir: StrPath | None = None,
    model: Model | None = None,
    output_dir: StrPath | None = None,
    json_path: StrPath | None = None,
    console: Console | None = None,
) -> list[dict]:
    """Scores at several noise levels or scales.

    Args:
      all_settings: of the evaluations.
      data_dir: the folder of the data sets; by default `$NLRN_DATA_DIR`, else `data/`.
      model: used for method "nlrn" instead of loading the weights of the settings, which only
        name it then: a callable on float32 `[B, H, W, 1]` in [0, 1] that returns the same shape.
      output_dir: gets `<name>.png`, the image as it was scored, and `<name>_comparison.png`,
        degraded, restored and true image side by side; of several evaluations in folders `x2`,
        `x3` or `s15`, `s25`, below one for each data set where there are several.
      json_path: gets the result, or the list of several; written again after each image. Scores
        that it holds of the same evaluation are taken over. An infinite PSNR (equal images) is
        null there.
      console: gets the tables. None prints nothing, and shows no progress.

    Returns:
      The results in the order of the settings, see `evaluate`.

    Raises:
      NLRNError: the data set is missing or incomplete, the weights do not exist or are for
        something else, `json_path` holds other scores or another process writes it, an image
        cannot be read or an output not written.
    """
    data_dir = location.data_dir(data_dir)
    load = functools.cache(lambda weights, options: load_model(weights, **dict(options)))
    chosen = [chosen_images(settings, data_dir) for settings in all_settings]
    evaluations = [
        Scores(settings, None if model else _weights_sha256(settings)) for settings in all_settings
    ]
    with _resumed(json_path, evaluations, chosen):
        folders = [_output_folder(output_dir, each, all_settings) for each in all_settings]
        all_missing = [
            {k: path for k, path in paths.items() if not _is_done(scores, path, folder)}
            for scores, paths, folder in zip(evaluations, chosen, folders, strict=True)
        ]
        restorers = [
            _restorer(settings, model or _load(settings, load)) if missing else None
            for settings, missing in zip(all_settings, all_missing, strict=True)
        ]
        costs: Sequence[Expected | None] = [None] * len(all_settings)
        if console is not None:
            for told in dict.fromkeys(set_named(each.dataset).skipped for each in all_settings):
                if told:
                    console.print(printable(told), markup=False, soft_wrap=True)
            costs = forecast(all_settings, restorers, all_missing, console)
        for scores, restorer, missing, paths, folder, cost in zip(
            evaluations, restorers, all_missing, chosen, folders, costs, strict=True
        ):
            if missing:
                for image in _score_images(
                    scores.settings, restorer, missing, len(paths), folder, cost
                ):
                    scores.images[image["name"]] = image
                    if json_path is not None:
                        write_scores(json_path, evaluations)
            if console is not None:
                print_scores(scores.result(), scores.settings, console)
    results = [scores.result() for scores in evaluations]
    if console is not None and len(results) > 1:
        for _, group in itertools.groupby(
            zip(results, all_settings, strict=True), lambda pair: (pair[1].dataset, pair[1].task)
        ):
            of_one_set, its_settings = zip(*group, strict=True)
            print_overview(of_one_set, its_settings, console)
    return results


@contextlib.contextmanager
def _resumed(json_path, evaluations, chosen) -> Iterator[None]:
    """Takes over the scores in a file, which is ours in the block."""
    if json_path is None:
        yield
        return
    with lock_file(json_path):
        resume(json_path, evaluations, [[path.name for path in paths.values()] for paths in chosen])
        yield


def _output_folder(
    output_dir: StrPath | None,
    settings: EvaluationSettings,
    all_settings: Sequence[EvaluationSettings],
) -> Path | None:
    if output_dir is None:
        return None
    folder = Path(output_dir)
    if len({other.dataset for other in all_settings}) > 1:
        folder /= settings.dataset
    return folder / settings.of_task.label(settings.setting) if len(all_settings) > 1 else folder


def _is_done(scores: Scores, path: Path, folder: Path | None) -> bool:
    return path.name in scores.images and (
        folder is None or os.path.exists(folder / f"{path.stem}_comparison.png")
    )


def _score_images(
    settings: EvaluationSettings,
    restorer: Restorer | None,
    missing: dict[int, Path],
    total: int,
    folder: Path | None,
    cost: Expected | None,
) -> Iterator[dict]:
    """Scores the images that are missing of a total; shows progress and time left with a cost."""
    with image_progress(cost is not None) as progress:
        before = total - len(missing)
        bar = progress.add_task("", total=total, completed=before)
        if cost is not None:
            progress.expect([0.0] * before + cost.costs, in_seconds=cost.in_seconds)
        restore = _restore_function(settings, restorer, lambda part: progress.advance(bar, part))
        for done, (index, path) in enumerate(missing.items(), start=before):
            progress.update(bar, completed=done, description=escape(path.name))
            yield _score(settings, restore, path, index, folder)
        progress.update(bar, completed=total, description="")


def _weights_sha256(settings: EvaluationSettings) -> str | None:
    if settings.method != NETWORK:
        return None
    return sha256(find_weights(settings.network))


def _load(settings: EvaluationSettings, load: Callable) -> Model | None:
    if settings.method != NETWORK:
        return None
    exact = propagates_exactly(settings.precision, settings.exact)
    options = {"precision": settings.precision, "exact_propagation": exact}
    if settings.window_border is not None:
        options["window_border"] = settings.window_border
    model = load(settings.network, tuple(options.items()))
    check_purpose(model.config, settings)
    return model


def check_purpose(config: NLRNConfig, settings: EvaluationSettings) -> None:
    """Checks that weights are for the task at hand.

    Another noise level than that of the training is worth a warning only, on standard error.

    Raises:
      NLRNError: they are for the other task, or for other scales, or have been trained with the
        images.
    """
    weights = settings.network
    benchmark = set_named(settings.dataset)
    folders = [folder for folder in (benchmark.folder, benchmark.part_of) if folder]
    seen = training_sources(weights, config)
    if any(f"{folder}/".startswith(f"{source}/") for folder in folders for source in seen):
        raise NLRNError(
            f"weights '{weights}' were trained with the images of {settings.dataset}, which cannot "
            f"show how good they are; give others, trained by flags/{benchmark.recipe}"
        )
    if config.task not in (None, settings.task):
        raise NLRNError(
            f"weights '{weights}' are for task {config.task}, not {settings.task}; "
            f"choose other weights, or task={config.task}"
        )
    warning = settings.of_task.check_weights(config, weights, **settings.degradation)
    if warning:
        print(printable(f"warning: {warning}"), file=sys.stderr)


def _restorer(settings: EvaluationSettings, model: Model | None) -> Restorer | None:
    if model is None:
        return None
    fields = ("self_ensemble", "protocol", "patch_size", "stride", "colour")
    options = {name: getattr(settings, name) for name in fields}
    config = getattr(model, "config", None)
    options |= settings.of_task.restoring(config, **settings.degradation)
    return Restorer(model, **options)


def _restore_function(
    settings: EvaluationSettings, restorer: Restorer | None, on_progress: OnProgress
) -> PlaneFunction:
    """The function from the degraded to the restored image, float32 `[H, W]` or `[H, W, 3]`."""
    if restorer is None:
        return lambda image: settings.of_task.input_image(image, **settings.degradation)

    def restore(image: np.ndarray) -> np.ndarray:
        if image.ndim == 3:
            return restorer.values(image, on_progress)
        return restorer.plane(image, on_progress)

    return restore


def _score(
    settings: EvaluationSettings,
    restore: PlaneFunction,
    path: Path,
    index: int,
    folder: Path | None,
) -> dict:
    """Restores and scores one image, and saves it when asked for."""
    truth, degraded = degraded_pair(settings, path, index)
    try:
        start = time.perf_counter()
        restored = to_uint8(restore(degraded))
        seconds = time.perf_counter() - start
        scores = {**_measure(settings, truth, restored), "seconds": seconds}
        degraded = to_uint8(settings.of_task.input_image(degraded, **settings.degradation))
        before = _measure(settings, truth, degraded)
    except NLRNError as error:
        raise NLRNError(f"{path}: {error}") from error
    if folder is not None:
        panels = {
            f"{settings.of_task.input_name} {before['psnr']:.2f} dB": degraded,
            f"{settings.method} {scores['psnr']:.2f} dB": restored,
            "truth": truth,
        }
        write_image(folder / f"{path.stem}.png", restored)
        write_image(folder / f"{path.stem}_comparison.png", comparison(panels))
    return {"name": path.name, **scores, **{f"input_{key}": v for key, v in before.items()}}


def _measure(settings: EvaluationSettings, truth: np.ndarray, image: np.ndarray) -> dict:
    return {
        "psnr": psnr(truth, image, settings.border),
        "ssim": ssim(truth, image, settings.border),
    }
