"""Writes the results into docs/results.md and the README, from the manifest of the weights.

python maintenance/results_table.py
python maintenance/results_table.py --check

They stand from <!-- results --> to <!-- /results -->: all tables in one,
whole sets in the other.
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maintenance.results import read_manifest, summary, tables, update
from nlrn_tf import cli
from nlrn_tf.weights.manifest import WEIGHTS_DIR

FLAGS = flags.FLAGS
flags.DEFINE_string("output", "docs/results.md", "Markdown file for all tables.")
flags.DEFINE_string("readme", "README.md", "Markdown file for the results of whole sets.")
flags.DEFINE_string("manifest", str(WEIGHTS_DIR / "manifest.json"), "Of the packaged weights.")
flags.DEFINE_bool("check", False, "Write nothing; exit with 1 if the results are out of date.")


def main(_):
    manifest = read_manifest(FLAGS.manifest)
    for path, results in ((FLAGS.output, tables(manifest)), (FLAGS.readme, summary(manifest))):
        changed = update(path, results, check=FLAGS.check)
        print(f"{path}: {'updated' if changed else 'up to date'}")


if __name__ == "__main__":
    cli.run(main)
