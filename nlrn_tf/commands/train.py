"""Trains an NLRN; the same command again goes on where it stopped.

nlrn-train --flagfile=flags/denoise_s25.cfg --data_dir=data --workdir=runs/denoise_s25
"""

import sys

from absl import flags

from nlrn_tf import cli
from nlrn_tf.config import NLRNConfig
from nlrn_tf.datasets import location
from nlrn_tf.errors import NLRNError, printable
from nlrn_tf.storage.flag_file import safe
from nlrn_tf.tasks.registry import task_named
from nlrn_tf.training.settings import NETWORK_FIELDS, TrainingConfig

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("data_dir", None, location.HELP)
    flags.DEFINE_string("workdir", None, "Folder of the run. Default: runs/<task and level>.")
    flags.DEFINE_string(
        "records_dir", None, "Folder of the TFRecords. Default: records in the workdir."
    )
    flags.DEFINE_string(
        "init_weights",
        None,
        "Packaged name or .keras file to start from; a narrower network is widened, a denoiser for "
        "another level scaled to this one (empty: random weights).",
    )
    cli.define_flags(TrainingConfig, skip=["network"])
    cli.define_flags(NLRNConfig, skip=_derived())


def main(_: list[str]) -> None:
    """Trains as the flags say."""
    config = _config()
    cli.start_tensorflow()
    from nlrn_tf.files import write_text
    from nlrn_tf.training.history import record_start
    from nlrn_tf.training.trainer import train

    workdir = FLAGS.workdir or f"runs/{_name(config)}"

    def on_start():
        write_text(f"{workdir}/flags.cfg", safe(FLAGS.flags_into_string()))
        record_start(workdir, sys.argv)

    weights = train(
        config,
        workdir=workdir,
        data_dir=location.data_dir(FLAGS.data_dir),
        records_dir=FLAGS.records_dir,
        init_weights=FLAGS.init_weights or None,
        on_start=on_start,
    )
    print(printable(str(weights)))


def run() -> None:
    """The program."""
    define_flags()
    cli.run(main, help=__doc__, command="nlrn-train")


def _config() -> TrainingConfig:
    values = cli.flag_values(TrainingConfig, skip=["network"])
    values |= cli.flag_values(NLRNConfig, skip=_derived())
    try:
        return TrainingConfig.of(**values)
    except NLRNError as error:
        raise flags.Error(str(error)) from error


def _derived() -> set[str]:
    """Fields of the network that follow from the settings of the training."""
    return {name for name in NLRNConfig.__dataclass_fields__ if name not in NETWORK_FIELDS}


def _name(config: TrainingConfig) -> str:
    """Such as "denoise_s25"."""
    task = task_named(config.task)
    value = getattr(config, task.setting, None) if task.setting else None
    label = task.label(value) if value is not None else ""
    return "_".join(filter(None, (task.name, label)))
