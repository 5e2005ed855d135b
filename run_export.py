"""Exports a network for TensorFlow Serving, or as an ONNX or TensorFlow Lite file.

  python run_export.py --weights=denoise_s25 --export_dir=exported/denoise_s25
  python run_export.py --weights=denoise_s25 --export_dir=exported --format=onnx
  python run_export.py --weights=denoise_s25 --export_dir=exported --format=tflite --size=128x96

The SavedModel appears as a numbered version in the folder, complete or not at all, so a running
server may watch it. It serves image files and arrays of any size, grey and colour; the README lists
its signatures. An ONNX file holds the network alone, which restores a grey image in one piece. A
TensorFlow Lite file is the same for one size.
"""

import re

from absl import flags

from nlrn_tf import cli, precision

_WEIGHTS = flags.DEFINE_string(
    "weights", "denoise_s25", "Name of packaged weights, or path of a .keras file."
)
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir",
    None,
    "Folder of the versions (the base path of the server), or of the .onnx or .tflite file.",
    required=True,
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "onnx", "tflite"],
    "onnx needs the extra of that name.",
)
_VERSION = flags.DEFINE_integer(
    "version",
    None,
    "Number of the version. Default: one more than the highest in the folder.",
    lower_bound=1,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    1 << 22,
    "Refuse images that have more pixels than this when restored. Default: 2048 x 2048.",
    lower_bound=1,
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    precision.CHOICES,
    f"{precision.HELP} Choose for the machine that will serve; auto looks at this one.",
)
_SIZE = flags.DEFINE_string(
    "size", None, "Height x width in pixels of the images of --format=tflite, such as 128x96."
)
flags.register_validator(
    "size",
    lambda size: size is None or re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", size),
    "must be height x width, such as 128x96",
)


def main(_: list[str]) -> None:
    weights, folder, kind = _WEIGHTS.value, _EXPORT_DIR.value, _FORMAT.value
    _check_flags(kind)
    cli.start_tensorflow()
    from nlrn_tf.export import portable, saved_model

    if kind == "onnx":
        path = portable.export_onnx(weights, folder)
    elif kind == "tflite":
        height, width = map(int, _SIZE.value.split("x"))
        path = portable.export_tflite(weights, folder, (height, width))
    else:
        path = saved_model.export_saved_model(
            weights,
            folder,
            version=_VERSION.value,
            max_pixels=_MAX_PIXELS.value,
            precision=_PRECISION.value,
        )
    print(f"Exported to {path}")


def _check_flags(kind: str) -> None:
    if (kind == "tflite") != (_SIZE.value is not None):
        raise flags.ValidationError("--format=tflite and --size need each other")
    for flag in (_VERSION, _MAX_PIXELS, _PRECISION):
        if kind != "saved_model" and flag.present:
            raise flags.ValidationError(f"--{flag.name} is for --format=saved_model")


if __name__ == "__main__":
    cli.run(main)
