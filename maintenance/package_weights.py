"""Puts the weights of a training run into the package, or adds scores to packaged ones.

python run_eval.py --dataset=Set12 --task=denoise --noise_sigma=25 --json=set12.json \
    --weights=runs/denoise_s25/best.keras
python maintenance/package_weights.py --name=denoise_s25 --workdir=runs/denoise_s25 \
    --scores=set12.json
python run_eval.py --dataset=BSD68 --noise_sigma=25 --self_ensemble --json=bsd68.json
python maintenance/package_weights.py --name=denoise_s25 --scores=bsd68.json
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlrn_tf import cli

FLAGS = flags.FLAGS
flags.DEFINE_string("name", None, "Name of the packaged network, such as denoise_s25.")
flags.DEFINE_string(
    "workdir", None, "Folder of the training run. Left out, the packaged weights get more scores."
)
flags.DEFINE_list(
    "continues",
    [],
    "Names of packaged weights that the run and those before it started from, in order: its steps, "
    "minutes, starts and curve go on from theirs.",
)
flags.DEFINE_list("scores", [], "Files that run_eval.py --json wrote for its weights.")


def main(_):
    if FLAGS.name is None or not (FLAGS.workdir or FLAGS.scores):
        raise flags.Error("give --name, and --workdir or --scores")
    if FLAGS.continues and not FLAGS.workdir:
        raise flags.Error("--continues: give the --workdir of the run that went on")
    cli.start_tensorflow()
    from maintenance.packaged_weights import add_scores, package_weights

    if FLAGS.workdir:
        entry = package_weights(FLAGS.name, FLAGS.workdir, FLAGS.scores, continues=FLAGS.continues)
    else:
        entry = add_scores(FLAGS.name, FLAGS.scores)
    print(f"{FLAGS.name}: {entry['steps']} steps, {entry['minutes']} minutes, {entry['sha256']}")
    print(f"{len(entry['scores'])} scores")


if __name__ == "__main__":
    cli.run(main)
