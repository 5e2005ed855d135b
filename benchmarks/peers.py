"""Compares our network with other denoisers on the same noisy images: PSNR, SSIM, seconds.

  python benchmarks/peers.py --weights=denoise_s25,denoise_lite_s25
  python benchmarks/peers.py --dataset=BSD68 --noise_sigma=50 --json=peers.json

The noise and the scores are those of run_eval.py. All methods know the level of the noise. OpenCV's
non-local means get the image rounded and clipped to 8 bits, all others as it is; of several filter
strengths the one with the best mean PSNR on these images is taken. BM3D is measured when the
package `bm3d` is installed. "seconds" is the mean of an image, after a first small image on which
each method loads what it needs and our network is compiled. Published figures of networks stand
beside them without seconds; they are of the whole set, and of noise that was drawn differently.
"""

import dataclasses
import importlib.metadata
import sys
from pathlib import Path

import numpy as np
from absl import flags
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from nlrn_tf import cli, precision
from nlrn_tf.datasets import location
from nlrn_tf.datasets.benchmarks import BENCHMARKS, paper_figures, published_figures
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import EvaluationSettings

flags.DEFINE_enum("dataset", "Set12", list(BENCHMARKS), "Benchmark to score on.")
flags.DEFINE_float("noise_sigma", 25.0, "Noise of denoising, in grey levels of 0..255.")
_WEIGHTS = flags.DEFINE_list(
    "weights", [], "Names or paths of denoisers. Default: denoise_s<noise_sigma>."
)
flags.DEFINE_integer("max_images", None, "Only the first images of the data set.")
flags.DEFINE_list("images", [], "Only these images: names without their suffix.")
flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)
_DATA_DIR = flags.DEFINE_string("data_dir", None, location.HELP)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")

_SETTINGS = ("dataset", "noise_sigma", "max_images", "images", "precision")
SMALL = 66  # side in pixels
_COLUMNS = ("method", "PSNR", "SSIM", "seconds")


def main(_: list[str]) -> None:
    try:
        values = {name: flags.FLAGS[name].value for name in _SETTINGS}
        networks = [
            EvaluationSettings(weights=weights, **values) for weights in _WEIGHTS.value or [None]
        ]
    except NLRNError as error:
        raise flags.Error(str(error)) from error
    cli.start_tensorflow()
    from benchmarks import peer_methods as peers
    from nlrn_tf.evaluation.evaluate import check_purpose
    from nlrn_tf.weights.loading import load_model

    models = [load_model(network.weights, precision=network.precision) for network in networks]
    for model, network in zip(models, networks, strict=True):
        check_purpose(model.config, network)
    settings = networks[0]
    sigma = settings.noise_sigma
    results = {
        strength: _scored("OpenCV", peers.as_model(peers.opencv_means(sigma, strength)), settings)
        for strength in peers.OPENCV_STRENGTHS
    }
    strength = max(results, key=lambda strength: results[strength]["psnr"])
    others = {
        "scikit-image wavelets": peers.skimage_wavelets,
        "scikit-image non-local means": peers.skimage_means,
    }
    if peers.has_bm3d():
        others["BM3D"] = peers.bm3d
    scores = {"OpenCV non-local means": results[strength]}
    for name, method in others.items():
        scores[name] = _scored(name, peers.as_model(method(sigma)), settings)
    for model, network in zip(models, networks, strict=True):
        ours = f"NLRN {Path(network.weights).stem}"
        scores[ours] = _scored(ours, model, network)
    common.report(
        f"Denoising of {settings.dataset} at sigma {sigma:g}",
        _described(networks, models, len(scores[ours]["images"]), strength, peers.has_bm3d()),
        _rows(scores) + _published(settings),
        _JSON.value,
    )


def _scored(name: str, model, settings: EvaluationSettings) -> dict:
    """What `nlrn_tf.evaluation.evaluate.evaluate` returns for a model, once it is warm."""
    from nlrn_tf.evaluation.evaluate import evaluate
    from nlrn_tf.restoration.planes import predict

    with Console(stderr=True).status(name):
        small = np.random.default_rng(0).normal(0.5, 0.1, (SMALL, SMALL)).astype(np.float32)
        predict(model, small)
        named = dataclasses.replace(settings, weights=name)
        return evaluate(named, data_dir=_DATA_DIR.value, model=model)


def _rows(scores: dict[str, dict]) -> list[dict]:
    """The table: the noisy images, which are the same in all results, and each method."""
    first = next(iter(scores.values()))
    rows = [("noisy images", first["input_psnr"], first["input_ssim"], 0.0)]
    rows += [
        (name, result["psnr"], result["ssim"], result["seconds_per_image"])
        for name, result in scores.items()
    ]
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def _published(settings: EvaluationSettings) -> list[dict]:
    """The figures of the paper and of others, for the whole set."""
    paper = paper_figures(settings.dataset, settings.of_task.name, settings.setting)
    sources = {
        "paper": paper[1] if paper else {},
        "published": published_figures(settings.dataset, settings.setting),
    }
    count = BENCHMARKS[settings.dataset].count
    rows = [
        (f"{name} ({source}, all {count})", figure["psnr"], figure["ssim"], None)
        for source, figures in sources.items()
        for name, figure in figures.items()
    ]
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def _described(
    networks: list[EvaluationSettings], models: list, count: int, strength: float, with_bm3d: bool
) -> dict:
    import cv2

    version = importlib.metadata.version
    kind = precision.resolved(networks[0].precision)
    channels = [(model.config.embedding_size, model.config.filters) for model in models]
    return {
        "images": count,
        "weights": ", ".join(network.weights for network in networks),
        "precision": kind,
        "attention": ", ".join(dict.fromkeys(common.attention_by(kind, c) for c in channels)),
        "OpenCV": f"{cv2.__version__} (h {strength:g} sigma, {cv2.getNumThreads()} threads)",
        "scikit-image": version("scikit-image"),
        "BM3D": version("bm3d") if with_bm3d else "not installed",
    }


if __name__ == "__main__":
    cli.run(main)
