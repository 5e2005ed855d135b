"""Runs an experiment of the paper: trains the networks that it compares, and compares them.

  nlrn-study --study=table2 --smoke
  nlrn-study --study=table1 --flagfile=flags/studies/reduced.cfg --minutes_per_run=10
  nlrn-study --study=figure6 --steps=20000 --only=states_3

All members are trained on the same images with the same seed, schedule and budget, and scored on
Set12 and on images held out of the training. The same command goes on where it was interrupted, and
members that are done are skipped. Members may be trained on different machines, one at a time with
--only: copy their folders into one work folder and run the study there to join them. By default the
network is that of the paper, which is for a GPU; flags/studies/reduced.cfg is for a CPU.
"""

from absl import flags

from nlrn_tf import cli
from nlrn_tf.config import NLRNConfig
from nlrn_tf.datasets import location
from nlrn_tf.errors import NLRNError
from nlrn_tf.studies.settings import OF_NETWORK, OF_TRAINING, StudySettings
from nlrn_tf.training.settings import TrainingConfig

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("data_dir", None, location.HELP)
    flags.DEFINE_string(
        "workdir",
        None,
        "Folder of the study. Default: runs/<study>, of a trial runs/smoke_<study>.",
    )
    cli.define_flags(StudySettings, skip=["training"])
    flags.mark_flag_as_required("study")
    cli.define_flags(TrainingConfig, only=OF_TRAINING)
    cli.define_flags(NLRNConfig, only=OF_NETWORK)


def main(_: list[str]) -> None:
    """Runs the study as the flags say."""
    training = cli.flag_values(TrainingConfig, only=OF_TRAINING)
    training |= cli.flag_values(NLRNConfig, only=OF_NETWORK)
    values = cli.flag_values(StudySettings, skip=["training"])
    try:
        settings = StudySettings(**values, training=training)
    except NLRNError as error:
        raise flags.Error(str(error)) from error

    from rich.console import Console

    cli.start_tensorflow()
    from nlrn_tf.studies.run import run_study  # loads TensorFlow

    run_study(
        settings,
        workdir=FLAGS.workdir or f"runs/{'smoke_' * settings.smoke}{settings.study}",
        data_dir=location.data_dir(FLAGS.data_dir),
        console=Console(highlight=False, soft_wrap=True, markup=False),
    )


def run() -> None:
    """The program."""
    define_flags()
    cli.run(main, help=__doc__, command="nlrn-study")
