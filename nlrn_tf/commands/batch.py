"""Restores many images with Apache Beam, on this machine or on a cluster.

  nlrn-batch --input='photos/**/*.png' --output=restored --direct_num_workers=2
  nlrn-batch --input=gs://bucket/photos --output=gs://bucket/restored --runner=DataflowRunner -- \
      --project=my-project --region=europe-west1 --temp_location=gs://bucket/temporary

Each image is restored as nlrn-restore does. Needs the extra `batch`; what follows `--` are options
of Beam. The input is a folder, of which all images below are taken, or a pattern: * stands for any
part of a name, ** also for folders. Results keep their places below the folder before the first *.
The same command again completes an interrupted run: finished results are left as they are. Images
that cannot be restored are listed in OUTPUT/failures.jsonl with the reason, and the exit code is 1.
"""

from absl import flags

from nlrn_tf import cli
from nlrn_tf.batch.settings import BatchSettings
from nlrn_tf.errors import NLRNError, printable
from nlrn_tf.restoration.settings import InputSettings, OutputSettings, RestorationSettings

FLAGS = flags.FLAGS

# Finished results are always left, unless they are to be replaced.
_OF_OUTPUT = ("suffix", "keep_suffix", "keep_metadata", "overwrite")


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("input", None, "Pattern of image files, or a folder.", required=True)
    flags.DEFINE_string("output", None, "Folder of the results.", required=True, short_name="o")
    cli.define_flags(BatchSettings)
    cli.define_flags(RestorationSettings)
    cli.define_flags(InputSettings)
    cli.define_flags(OutputSettings, only=_OF_OUTPUT)


def main(beam_options: list[str]) -> None:
    """Restores as the flags say."""
    for option in beam_options:
        if not option.startswith("--"):
            raise flags.Error(f"unexpected argument {option}")
    try:
        restoration = RestorationSettings(**cli.flag_values(RestorationSettings))
        batch = BatchSettings(**cli.flag_values(BatchSettings))
        reading = InputSettings(**cli.flag_values(InputSettings))
        outputs = OutputSettings(**cli.flag_values(OutputSettings, only=_OF_OUTPUT))
    except NLRNError as error:
        raise flags.Error(str(error)) from error
    from nlrn_tf.batch.run import run_batch

    outcome = run_batch(
        *(FLAGS.input, FLAGS.output, restoration, batch),
        reading=reading,
        outputs=outputs,
        beam_options=beam_options,
    )
    finished = f", {outcome.skipped} finished before" if outcome.skipped else ""
    print(
        printable(
            f"{outcome.images} image{'' if outcome.images == 1 else 's'} restored "
            f"({outcome.pixels / 1e6:.1f} megapixels in {outcome.seconds:.0f} seconds){finished}: "
            f"{FLAGS.output}"
        )
    )
    if outcome.failures:
        raise NLRNError(
            f"{outcome.failures} of {outcome.failures + outcome.images + outcome.skipped} images "
            f"could not be restored; {outcome.listed} lists them with the reasons"
        )


def run() -> None:
    """The program."""
    define_flags()
    cli.run(main, help=__doc__, command="nlrn-batch", takes_arguments=True)
