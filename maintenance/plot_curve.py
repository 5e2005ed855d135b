"""Draws training curves: validation PSNR and learning rate against steps and hours.

python maintenance/plot_curve.py --curve=nlrn_tf/weights/denoise_s25_curve.csv --output=curve.png
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maintenance.curves import plot_curves
from nlrn_tf import cli

FLAGS = flags.FLAGS
flags.DEFINE_list("curve", None, "Files: curve.csv of runs or packaged ones.", required=True)
flags.DEFINE_string("output", None, "Image file to write, such as .png or .svg.", required=True)


def main(_):
    plot_curves(FLAGS.curve, FLAGS.output)
    print(f"see {FLAGS.output}")


if __name__ == "__main__":
    cli.run(main)
