"""Gets the public image sets for training and evaluation, and verifies them.

python data_tools/prepare_datasets.py --data_dir=data                 downloads what is missing
python data_tools/prepare_datasets.py --data_dir=data --from=FOLDER   takes it from your own files

Each image is verified by its checksum; the same command again goes on where it stopped. The exit
code is 0 only when every image of the sets asked for is there. The sets are for research use,
under the terms of their authors.
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlrn_tf import cli
from nlrn_tf.datasets import location
from nlrn_tf.datasets.sources import choose_sets, public_sets

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, location.HELP)
flags.DEFINE_list("sets", list(public_sets()), "Sets to get; BSDS500 stands for its three parts.")
flags.DEFINE_string(
    "from",
    None,
    "Take the images from the files anywhere below this folder, whatever their names and "
    "(for the sets that are not JPEG) their lossless format, instead of downloading them.",
)


def main(_):
    from nlrn_tf.datasets.prepare import prepare, report

    data_dir = location.data_dir(FLAGS.data_dir)
    sets = choose_sets(FLAGS.sets, public_sets())
    report(data_dir, sets, *prepare(data_dir, sets, FLAGS["from"].value))


if __name__ == "__main__":
    cli.run(main)
