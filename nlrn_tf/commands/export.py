"""Exports a network for TensorFlow Serving, or as an ONNX or TensorFlow Lite file.

  nlrn-export --weights=denoise_s25 --export_dir=exported/denoise_s25
  nlrn-export --weights=denoise_s25 --export_dir=exported --format=onnx
  nlrn-export --weights=denoise_s25 --export_dir=exported --format=tflite --size=128x96

The SavedModel appears as a numbered version in the folder, complete or not at all, so a running
server may watch it. It serves image files and arrays of any size, grey and colour; docs/export.md
lists its signatures. An ONNX file holds the network alone, which restores a grey image in one
piece. A TensorFlow Lite file is the same for one size.
"""

import re

from absl import flags

from nlrn_tf import cli, precision
from nlrn_tf.errors import printable
from nlrn_tf.export.limits import MAX_PIXELS

FLAGS = flags.FLAGS

_OF_SAVED_MODELS = ("version", "max_pixels", "precision", "noise_sigma")


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string(
        "weights", "denoise_s25", "Name of packaged weights, or path of a .keras file."
    )
    flags.DEFINE_string(
        "export_dir",
        None,
        "Folder of the versions (the base path of the server), or of the .onnx or .tflite file.",
        required=True,
    )
    flags.DEFINE_enum(
        "format",
        "saved_model",
        ["saved_model", "onnx", "tflite"],
        "saved_model needs the extra export, onnx the extra onnx.",
    )
    flags.DEFINE_integer(
        "version",
        None,
        "Number of the version. Default: one more than the highest in the folder.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "max_pixels",
        MAX_PIXELS,
        "Refuse images that have more pixels than this when restored. Default: 2048 x 2048.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        precision.CHOICES,
        f"{precision.HELP} Choose for the machine that will serve; auto looks at this one.",
    )
    flags.DEFINE_float(
        "noise_sigma",
        None,
        "Noise level that a denoiser is exported for, in grey levels of 0..255. Default: that of "
        "the weights.",
    )
    flags.DEFINE_string(
        "size", None, "Height x width in pixels of the images of --format=tflite, such as 128x96."
    )
    flags.DEFINE_integer(
        "scale",
        None,
        "Factor of an .onnx or .tflite file of a network that works on the small image. Default: "
        "the first that it was trained for.",
    )
    flags.register_validator(
        "size",
        lambda size: size is None or re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", size),
        "must be height x width, such as 128x96",
    )


def main(_: list[str]) -> None:
    """Exports as the flags say."""
    weights, folder, kind = FLAGS.weights, FLAGS.export_dir, FLAGS.format
    _check_flags(kind)
    cli.start_tensorflow()
    from nlrn_tf.export import portable, saved_model

    if kind == "onnx":
        path = portable.export_onnx(weights, folder, FLAGS.scale)
    elif kind == "tflite":
        height, width = map(int, FLAGS.size.split("x"))
        path = portable.export_tflite(weights, folder, (height, width), FLAGS.scale)
    else:
        path = saved_model.export_saved_model(
            weights,
            folder,
            version=FLAGS.version,
            max_pixels=FLAGS.max_pixels,
            precision=FLAGS.precision,
            noise_sigma=FLAGS.noise_sigma,
        )
    print(printable(f"Exported to {path}"))


def run() -> None:
    """The program."""
    define_flags()
    cli.run(main, help=__doc__, command="nlrn-export")


def _check_flags(kind: str) -> None:
    if (kind == "tflite") != (FLAGS.size is not None):
        raise flags.ValidationError("--format=tflite and --size need each other")
    for name in _OF_SAVED_MODELS:
        if kind != "saved_model" and FLAGS[name].present:
            raise flags.ValidationError(f"--{name} is for --format=saved_model")
    if kind == "saved_model" and FLAGS.scale is not None:
        raise flags.ValidationError(
            "--scale is for onnx and tflite; a saved_model takes all scales"
        )
