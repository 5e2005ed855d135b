"""Draws crops of a benchmark image before and after restoration, beside the truth.

python maintenance/compare_crops.py --dataset=Set12 --image=08 --noise_sigma=25 \
    --crop=40,60,96 --crop=300,200,96 --output=crops.png
python maintenance/compare_crops.py --dataset=Urban100 --scale=3 --weights=sr \
    --image=img_012,img_033 --crop=100,200,80 --crop=50,60,80 --output=crops.png
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlrn_tf import cli
from nlrn_tf.datasets import location
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.settings import EvaluationSettings

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "image", None, "Name without suffix, one for all crops or one for each.", required=True
)
flags.DEFINE_multi_string(
    "crop", None, "y,x,size in pixels: upper left corner and side. Each is a row.", required=True
)
flags.DEFINE_string("output", None, "Image file to write.", required=True)
flags.DEFINE_string("data_dir", None, location.HELP)

_SETTINGS = (
    *("dataset", "task", "noise_sigma", "scale"),
    *("method", "weights", "self_ensemble", "precision"),
)
cli.define_flags(EvaluationSettings, only=_SETTINGS)
flags.mark_flag_as_required("dataset")


def main(_):
    try:
        settings = EvaluationSettings(**cli.flag_values(EvaluationSettings, only=_SETTINGS))
    except NLRNError as error:
        raise flags.Error(str(error)) from error
    names, corners = FLAGS.image, [_numbers(text) for text in FLAGS.crop]
    names = names * len(corners) if len(names) == 1 else names
    if len(names) != len(corners):
        raise flags.Error(f"--image: give one name or {len(corners)}, one for each --crop")
    cli.start_tensorflow()
    from maintenance.crops import Crop, compare_crops

    crops = [Crop(name, *numbers) for name, numbers in zip(names, corners, strict=True)]
    compare_crops(settings, crops, FLAGS.output, data_dir=FLAGS.data_dir)
    print(f"see {FLAGS.output}")


def _numbers(text: str) -> list[int]:
    try:
        y, x, size = map(int, text.split(","))
    except ValueError as error:
        raise flags.Error(f"--crop={text}: must be y,x,size in pixels") from error
    return [y, x, size]


if __name__ == "__main__":
    cli.run(main)
