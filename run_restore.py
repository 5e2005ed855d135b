"""Restores images: removes noise, or enlarges them (super-resolution). It adds no noise.

  python run_restore.py noisy.png -o clean.png
  python run_restore.py photos -o restored --noise_sigma=auto
  python run_restore.py small.png -o large.png --task=sr --scale=3

The inputs are grey or colour image files of 8 or 16 bits, and folders, of which all images below
are taken. Bits, alpha and colour profile are kept, other metadata are not.
The output is a file for one input file, else a folder. There the images keep their names and
subfolders (of several inputs, a folder also keeps its own name), and are written as .png, which
loses nothing, unless --suffix says otherwise. An input is never overwritten.
"""

import math

from absl import flags

from nlrn_tf import cli, precision

_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "Name of packaged weights, or path of a .keras file. Default: denoise_s25, for noise of about "
    "25 grey levels; sr with --task=sr.",
)
_NOISE_SIGMA = flags.DEFINE_string(
    "noise_sigma",
    None,
    "Noise of the images, in grey levels of 0..255: takes the packaged weights for the nearest "
    "level. auto estimates it for each image.",
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
_SCALE = flags.DEFINE_float(
    "scale",
    None,
    "Factor of super-resolution, a number from 1.5 to the largest that the weights were trained "
    "for. Default: the first of these.",
    lower_bound=1.5,
)
_SELF_ENSEMBLE = flags.DEFINE_bool(
    "self_ensemble",
    False,
    "Average over the 8 flips and rotations: slightly better, 8 times slower.",
)
_TILE_SIZE = flags.DEFINE_integer(
    "tile_size",
    None,
    "Restore larger images than this (squared, in pixels) in tiles. Memory is about 5.5 KB a pixel "
    "of a tile in bfloat16, twice as much in float32. Default: 704 in bfloat16, 512 in float32, "
    "which take 3 GiB.",
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
_PRECISION = flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)


def main(inputs: list[str]) -> None:
    from nlrn_tf.restoration.files import restore_files

    noise_sigma = _noise_sigma()
    weights = _WEIGHTS.value or ("sr" if _TASK.value == "sr" else "denoise_s25")
    count = restore_files(
        weights if noise_sigma is None else None,
        inputs,
        _OUTPUT.value,
        noise_sigma=noise_sigma,
        task=_TASK.value,
        scale=_SCALE.value,
        self_ensemble=_SELF_ENSEMBLE.value,
        tile_size=_TILE_SIZE.value,
        suffix=_SUFFIX.value,
        overwrite=_OVERWRITE.value,
        skip_existing=_SKIP_EXISTING.value,
        precision=_PRECISION.value,
        before_loading=cli.start_tensorflow,
    )
    print(f"{count} image{'' if count == 1 else 's'} restored: {_OUTPUT.value}")


def _noise_sigma() -> float | str | None:
    """The value of --noise_sigma, None without it."""
    text = _NOISE_SIGMA.value
    if text is None:
        return None
    others = {"--weights": _WEIGHTS.value, "--scale": _SCALE.value}
    contradicting = [flag for flag, value in others.items() if value is not None]
    if _TASK.value == "sr":
        contradicting.append("--task=sr")
    if contradicting:
        raise flags.Error(
            f"--noise_sigma={text} chooses a packaged denoiser; leave out {contradicting[0]}"
        )
    if text == "auto":
        return text
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not 0 < level < math.inf:
        raise flags.Error(f"--noise_sigma={text}: must be a number above 0 (grey levels), or auto")
    return level


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
