"""Scores a method on a benchmark of the paper, next to the paper's figures.

  nlrn-eval --dataset=Urban100
  nlrn-eval --dataset=Set12 --task=denoise --noise_sigma=25 --weights=denoise_s25
  nlrn-eval --dataset=Set5 --task=sr --scale=3 --method=bicubic --json=set5_x3.json
  nlrn-eval --dataset=Set14 --scale=all --weights=sr --json=set14.json
  nlrn-eval --dataset=all --task=denoise --json=table4.json

Denoising: grey images; noise of the given sigma, seeded by the position of the image in the sorted
list of files. Super-resolution: the Y channel, degraded by MATLAB's bicubic and not rounded.
PSNR and SSIM are those of the result as 8 bits. With --json the same command again completes an
interrupted evaluation.
"""

from absl import flags

from nlrn_tf import cli
from nlrn_tf.datasets import location
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import EvaluationSettings, settings_for
from nlrn_tf.tasks.registry import all_tasks

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    cli.define_flags(EvaluationSettings, skip=_task_settings())
    flags.mark_flag_as_required("dataset")
    for field in _task_settings():  # numbers, or all
        text = EvaluationSettings.__dataclass_fields__[field].metadata["help"]
        flags.DEFINE_string(field, None, text)
    flags.DEFINE_string(
        "output_dir",
        None,
        "Folder for the restored images, and for comparisons side by side (degraded, restored, "
        "true).",
    )
    flags.DEFINE_string("data_dir", None, location.HELP)
    flags.DEFINE_string(
        "json",
        None,
        "File for the scores, written after each image: one result, or the list of them for all. "
        "Scores that it holds already are not made again.",
    )


def main(_: list[str]) -> None:
    """Evaluates as the flags say."""
    values = cli.flag_values(EvaluationSettings, skip=_task_settings())
    values |= {name: FLAGS[name].value for name in _task_settings()}
    try:
        all_settings = settings_for(**values)
    except NLRNError as error:
        raise flags.Error(str(error)) from error

    from rich.console import Console

    cli.start_tensorflow()
    from nlrn_tf.evaluation.evaluate import evaluate_all  # loads TensorFlow

    evaluate_all(
        all_settings,
        data_dir=FLAGS.data_dir,
        output_dir=FLAGS.output_dir,
        json_path=FLAGS.json,
        console=Console(highlight=False),
    )


def run() -> None:
    """The program."""
    define_flags()
    cli.run(main, help=__doc__, command="nlrn-eval")


def _task_settings() -> list[str]:
    fields = EvaluationSettings.__dataclass_fields__
    return [task.setting for task in all_tasks() if task.setting in fields]
