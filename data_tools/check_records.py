"""Validates TFRecord files against their manifest, and shows training examples.

python data_tools/check_records.py --records_dir=records/denoise --samples=samples.png
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlrn_tf import cli
from nlrn_tf.tasks.registry import task_names

FLAGS = flags.FLAGS
flags.DEFINE_string("records_dir", None, "Folder of the records.", required=True)
flags.DEFINE_string("samples", None, "Image file to write: pairs of degraded (left) and clean.")
flags.DEFINE_enum(
    "task", None, task_names(), "Of the samples. Default: the first for the channel of the records."
)
flags.DEFINE_integer("patch_size", 45, "Of the samples.", lower_bound=1)
flags.DEFINE_float("noise_sigma", 25.0, "Noise level of the samples, in 8-bit grey levels.")
flags.DEFINE_integer("seed", 0, "Of the samples.", lower_bound=0)


def main(_):
    cli.start_tensorflow()
    from nlrn_tf.data.record_check import check_records, write_samples

    records = check_records(FLAGS.records_dir)
    if FLAGS.samples:
        write_samples(
            FLAGS.samples,
            records,
            task=FLAGS.task,
            patch_size=FLAGS.patch_size,
            noise_sigma=FLAGS.noise_sigma,
            seed=FLAGS.seed,
        )


if __name__ == "__main__":
    cli.run(main)
