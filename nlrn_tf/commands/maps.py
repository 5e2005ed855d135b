"""Shows what pixels attend to in each recurrent state, as Figure 4 of the paper.

  nlrn-maps noisy.png -o maps --pixels=20:30,40:10

The image is taken as it is, in grey. The folder gets maps.png, a line for each pixel with its
window, that of --truth where it is given, and the weights of each state, and maps.npz with the
weights.
"""

from absl import flags

from nlrn_tf import cli
from nlrn_tf.errors import printable

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("output", None, "Folder.", required=True, short_name="o")
    flags.DEFINE_list("pixels", None, "Pixels as row:column, from 0:0.", required=True)
    flags.DEFINE_string("truth", None, "The image without its noise, shown beside it.")
    flags.DEFINE_string(
        "weights", "denoise_s25", "Name of packaged weights, or path of a .keras file."
    )


def main(arguments: list[str]) -> None:
    """Draws the maps as the flags say."""
    if len(arguments) != 1:
        raise flags.Error(f"{len(arguments)} images are given, one is expected")
    pixels = [_pixel(text) for text in FLAGS.pixels]
    cli.start_tensorflow()
    from nlrn_tf.imaging.colour import rgb_to_grey
    from nlrn_tf.imaging.files import read_image
    from nlrn_tf.imaging.samples import unit_range
    from nlrn_tf.studies.maps import correlation_maps, save_maps
    from nlrn_tf.weights.loading import load_model

    paths = [arguments[0], *([FLAGS.truth] if FLAGS.truth else [])]
    image, *truth = [unit_range(rgb_to_grey(read_image(path))) for path in paths]
    maps = correlation_maps(load_model(FLAGS.weights), image, pixels)
    for path in save_maps(maps, image, FLAGS.output, *truth):
        print(printable(str(path)))


def run() -> None:
    """The program."""
    define_flags()
    cli.run(main, help=__doc__, command="nlrn-maps", takes_arguments=True)


def _pixel(text: str) -> tuple[int, int]:
    row, _, column = text.partition(":")
    try:
        return int(row), int(column)
    except ValueError as error:
        raise flags.Error(f"--pixels={text}: must be row:column, such as 20:30") from error
