"""Writes the training images as TFRecord files; run_train.py does the same by itself.

python data_tools/make_records.py --records_dir=records/denoise
python data_tools/make_records.py --records_dir=records/sr --sources=T91,BSDS500/train --channel=y

The same command again keeps what is finished. Complete records are left as they are.
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlrn_tf import cli
from nlrn_tf.datasets import location
from nlrn_tf.errors import printable
from nlrn_tf.imaging.colour import CHANNELS
from nlrn_tf.tasks.registry import all_tasks
from nlrn_tf.training.settings import TrainingConfig

FLAGS = flags.FLAGS
flags.DEFINE_string("records_dir", None, "Folder of the records.", required=True)
flags.DEFINE_string("data_dir", None, location.HELP)
cli.define_flags(TrainingConfig, only=["sources"])
flags.DEFINE_enum(
    "channel",
    "grey",
    list(CHANNELS),
    "What to store: " + ", ".join(f"{t.channel} for {t.title.lower()}" for t in all_tasks()) + ".",
)
flags.DEFINE_integer(
    "num_shards",
    None,
    "Record files to write. Default: one for each 128 MiB of image files, at least 4.",
    lower_bound=1,
)


def main(_):
    cli.start_tensorflow()
    from nlrn_tf.data.records import ensure_records

    records = ensure_records(
        FLAGS.records_dir,
        location.data_dir(FLAGS.data_dir),
        sources=FLAGS.sources,
        channel=FLAGS.channel,
        num_shards=FLAGS.num_shards,
    )
    print(
        printable(
            f"{records.directory}: {len(records.images)} images in {len(records.shards)} files"
        )
    )


if __name__ == "__main__":
    cli.run(main)
