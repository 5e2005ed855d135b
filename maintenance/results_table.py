"""Writes the tables of results into the README, from the manifest of the packaged weights.

python maintenance/results_table.py --readme=README.md
python maintenance/results_table.py --readme=README.md --check
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maintenance.results import update_readme
from nlrn_tf import cli
from nlrn_tf.weights.manifest import WEIGHTS_DIR

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "readme", "README.md", "Markdown file; its part from <!-- results --> to <!-- /results -->."
)
flags.DEFINE_string("manifest", str(WEIGHTS_DIR / "manifest.json"), "Of the packaged weights.")
flags.DEFINE_bool("check", False, "Write nothing; exit with 1 if the results are out of date.")


def main(_):
    changed = update_readme(FLAGS.readme, manifest=FLAGS.manifest, check=FLAGS.check)
    print(f"{FLAGS.readme}: {'updated' if changed else 'up to date'}")


if __name__ == "__main__":
    cli.run(main)
