"""Restores images: removes noise, or enlarges them (super-resolution). It adds no noise.

  python run_restore.py noisy.png -o clean.png
  python run_restore.py photos -o restored
  python run_restore.py small.png -o large.png --weights=my_sr.keras --scale=3

The inputs are 8-bit grey or colour image files, and folders, of which all images below are taken.
The output is a file for one input file, else a folder. There the images keep their names and
subfolders (of several inputs, a folder also keeps its own name), and are written as .png, which
loses nothing, unless --suffix says otherwise. An input is never overwritten.
"""

from absl import flags

from nlrn_tf import cli

_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "Name of packaged weights, or path of a .keras file. Default: denoise_s25, for noise of about "
    "25 grey levels; sr with --task=sr.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Image file (one input file) or folder.", required=True, short_name="o"
)
_TASK = flags.DEFINE_enum(
    "task",
    None,
    ["denoise", "sr"],
    "Chooses the default weights, and refuses weights for the other task. Default: what the "
    "weights are for.",
)
_SCALE = flags.DEFINE_integer(
    "scale",
    None,
    "Factor of super-resolution. Default: the first that the weights were trained for.",
    lower_bound=2,
)
_SELF_ENSEMBLE = flags.DEFINE_bool(
    "self_ensemble",
    False,
    "Average over the 8 flips and rotations: slightly better, 8 times slower.",
)
_TILE_SIZE = flags.DEFINE_integer(
    "tile_size",
    512,
    "Restore larger images than this (squared, in pixels) in tiles. Memory is about 16 KB a "
    "pixel of a tile.",
    lower_bound=64,
)
_SUFFIX = flags.DEFINE_enum(
    "suffix",
    ".png",
    [".png", ".jpg", ".bmp", ".tif", ".webp"],
    "Format of the files in an output folder.",
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.")
_SKIP_EXISTING = flags.DEFINE_bool(
    "skip_existing",
    False,
    "Leave outputs that exist and do the rest: completes an interrupted run.",
)
flags.mark_bool_flags_as_mutual_exclusive(["overwrite", "skip_existing"])
flags.DEFINE_enum("precision", "float32", cli.PRECISIONS, cli.PRECISION_HELP)


def main(inputs: list[str]) -> None:
    from nlrn_tf.restore_files import restore_files

    count = restore_files(
        _WEIGHTS.value or ("sr" if _TASK.value == "sr" else "denoise_s25"),
        inputs,
        _OUTPUT.value,
        task=_TASK.value,
        scale=_SCALE.value,
        self_ensemble=_SELF_ENSEMBLE.value,
        tile_size=_TILE_SIZE.value,
        suffix=_SUFFIX.value,
        overwrite=_OVERWRITE.value,
        skip_existing=_SKIP_EXISTING.value,
        before_loading=lambda: cli.start_tensorflow(flags.FLAGS.precision),
    )
    print(f"{count} image{'' if count == 1 else 's'} restored: {_OUTPUT.value}")


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
