"""Restores images: removes noise, or enlarges them (super-resolution). It adds no noise.

  nlrn-restore noisy.png -o clean.png
  nlrn-restore photos -o restored
  nlrn-restore small.png -o large.png --task=sr --scale=3

The inputs are grey or colour image files, and folders, of which all images below are taken; what is
skipped is told. Bits, alpha, colour profile, resolution and gamma are kept, EXIF with
--keep_metadata. All pages of a TIFF file are restored, into a TIFF file; animations are refused.
The output is a file for one input file, else a folder. There the images keep their names and
subfolders (of several inputs, a folder also keeps its own name), and are written as .png, which
loses nothing, unless --suffix says otherwise. An input is never overwritten.
"""

from absl import flags

from nlrn_tf import cli
from nlrn_tf.errors import NLRNError, printable
from nlrn_tf.restoration.settings import InputSettings, OutputSettings, RestorationSettings

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string(
        "output",
        None,
        "Where the result goes: an image file, of one input file, or a folder.",
        required=True,
        short_name="o",
    )
    cli.define_flags(RestorationSettings)
    cli.define_flags(InputSettings)
    cli.define_flags(OutputSettings)


def main(inputs: list[str]) -> None:
    """Restores as the flags say."""
    try:
        settings = RestorationSettings(**cli.flag_values(RestorationSettings))
        reading = InputSettings(**cli.flag_values(InputSettings))
        outputs = OutputSettings(**cli.flag_values(OutputSettings))
    except NLRNError as error:
        raise flags.Error(str(error)) from error
    from nlrn_tf.restoration.files import restore_files

    count = restore_files(
        *(settings, inputs, FLAGS.output, outputs),
        reading=reading,
        before_loading=cli.start_tensorflow,
        worded=cli.with_flags,
    )
    print(printable(f"{count} image{'' if count == 1 else 's'} restored: {FLAGS.output}"))


def run() -> None:
    """The program."""
    define_flags()
    cli.run(
        main,
        help=__doc__,
        command="nlrn-restore",
        takes_arguments=True,
        first=("output", "noise_sigma", "weights", "task", "scale"),
    )
