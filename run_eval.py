"""Scores a method on a benchmark of the paper, next to the paper's figures.

  python run_eval.py --dataset=Urban100
  python run_eval.py --dataset=Set12 --task=denoise --noise_sigma=25 --weights=denoise_s25
  python run_eval.py --dataset=Set5 --task=sr --scale=3 --method=bicubic --json=set5_x3.json
  python run_eval.py --dataset=Set14 --scale=all --weights=sr --json=set14.json

Denoising: grey images; noise of the given sigma, seeded by the position of the image in the sorted
list of files. Super-resolution: the Y channel, degraded by MATLAB's bicubic and not rounded.
PSNR and SSIM are those of the result as 8 bits. With --json the same command again completes an
interrupted evaluation.
"""

import dataclasses

from absl import flags

from nlrn_tf import cli, precision
from nlrn_tf.config import BORDERS, TASKS
from nlrn_tf.datasets.benchmarks import BENCHMARKS
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import METHODS, PROTOCOLS, EvaluationSettings, settings_for

flags.DEFINE_enum("dataset", None, list(BENCHMARKS), "Benchmark to score on.", required=True)
flags.DEFINE_enum(
    "task",
    None,
    TASKS,
    "Denoising or super-resolution. Default: what --noise_sigma or --scale belongs to, else what "
    "the paper mostly uses the data set for.",
)
flags.DEFINE_string(
    "noise_sigma",
    None,
    "Noise of denoising, in grey levels of 0..255, or all: 15, 25 and 50. Default: 25.",
)
flags.DEFINE_string("scale", None, "Factor of super-resolution, or all: 2, 3 and 4. Default: 2.")
flags.DEFINE_bool(
    "quantize_lr",
    False,
    "Round the low-resolution image to 8 bits, as in a file; the paper's is not rounded.",
)
flags.DEFINE_enum(
    "method",
    "nlrn",
    METHODS,
    "nlrn: the network. identity: its input, the noisy or bicubic image. bicubic: the same, for "
    "super-resolution only.",
)
flags.DEFINE_string(
    "weights",
    None,
    "Name of packaged weights, or path of a .keras file. Default: denoise_s<noise_sigma>, or sr.",
)
flags.DEFINE_enum(
    "protocol",
    "full",
    PROTOCOLS,
    "full: whole images. patches: overlapping patches, averaged, as the original release does.",
)
flags.DEFINE_integer("stride", 7, "Pixels between the patches.")
flags.DEFINE_integer("patch_size", 45, "Side of the patches in pixels.")
flags.DEFINE_bool(
    "self_ensemble",
    False,
    "Average over the 8 flips and rotations (the paper's MV): 8 times slower.",
)
flags.DEFINE_enum(
    "window_border",
    None,
    BORDERS,
    "What attention windows do at the border of the image. Default: what the weights say.",
)
flags.DEFINE_integer("max_images", None, "Score only the first images of the data set.")
flags.DEFINE_list(
    "images",
    [],
    "Score only these images, such as img_001,img_011. Their noise is that of the whole set.",
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "Folder for the restored images, and for comparisons side by side (degraded, restored, true).",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of the data sets, one folder each. Default: $NLRN_DATA_DIR, else data/ here.",
)
_JSON = flags.DEFINE_string(
    "json",
    None,
    "File for the scores, written after each image: one result, or the list of them for all. "
    "Scores that it holds already are not made again.",
)

flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)


def main(_: list[str]) -> None:
    fields = dataclasses.fields(EvaluationSettings)
    try:
        all_settings = settings_for(
            **{field.name: flags.FLAGS[field.name].value for field in fields}
        )
    except NLRNError as error:
        raise flags.Error(f"--{error}") from error

    from rich.console import Console

    cli.start_tensorflow()
    from nlrn_tf.evaluation.evaluate import evaluate_all  # loads TensorFlow

    evaluate_all(
        all_settings,
        data_dir=_DATA_DIR.value,
        output_dir=_OUTPUT_DIR.value,
        json_path=_JSON.value,
        console=Console(highlight=False),
    )


if __name__ == "__main__":
    cli.run(main)
