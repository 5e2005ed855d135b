"""The network alone as an ONNX or TensorFlow Lite file, for programs without TensorFlow.

Both take `inputs`, float32 `[B, H, W, 1]` in [0, 1], and return `output`, the same shape, clipped
to [0, 1]: one plane of an image, in one piece. Tiles, channels and files are the program's matter,
and for super-resolution the bicubic enlargement (`nlrn_tf.imresize`) of the plane; a network with
`upsample` "after" does that itself, for one scale. In ONNX B, H and W are free. A TensorFlow Lite
file is for one H and W, with B = 1.
"""

import os
from pathlib import Path

import tensorflow as tf

from nlrn_tf import backend
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_bytes
from nlrn_tf.model import NLRN
from nlrn_tf.weights.loading import load_model
from nlrn_tf.weights.manifest import find_weights

_OPSET = 17  # of ONNX 1.12 (2022)
_SIDES = ("batch", "height", "width")  # what the free dimensions are called


def export_onnx(
    weights: str | os.PathLike, export_dir: str | os.PathLike, scale: int | None = None
) -> Path:
    """Writes `export_dir/NAME.onnx`, or `NAME_x2.onnx` for a scale. Needs the extra `onnx`.

    Args:
      weights: a packaged name, or the path of a `.keras` file; its name is the NAME.
      export_dir: made if missing.
      scale: of a network with `upsample` "after", by default its first.

    Returns:
      The file.

    Raises:
      NLRNError: no such weights, a scale that is not theirs, tf2onnx is not installed, the file
        exists already or cannot be written, or another backend than TensorFlow.
    """
    backend.require_tensorflow("export")
    model = load_model(weights, attention="blocks")
    scale = _checked_scale(model, scale, weights)
    path = _free(Path(export_dir) / f"{_name(weights, scale)}.onnx")
    try:
        import tf2onnx
    except ImportError as error:
        raise NLRNError(
            "format=onnx needs tf2onnx: `pip install onnx tf2onnx` (the extra 'onnx' of nlrn-tf)"
        ) from error
    plane = _Plane(model, [None, None, None, 1], scale)
    proto, _ = tf2onnx.convert.from_function(
        plane.restore, plane.restore.input_signature, opset=_OPSET
    )
    for tensor, times in ((proto.graph.input[0], 1), (proto.graph.output[0], scale or 1)):
        for side, name in zip(tensor.type.tensor_type.shape.dim, _SIDES, strict=False):
            side.dim_param = name if times == 1 or name == "batch" else f"{times} * {name}"
    write_bytes(path, proto.SerializeToString())
    return path


def export_tflite(
    weights: str | os.PathLike,
    export_dir: str | os.PathLike,
    size: tuple[int, int],
    scale: int | None = None,
) -> Path:
    """Writes `export_dir/NAME_HxW.tflite`, or `NAME_x2_HxW.tflite` for a scale.

    Args:
      weights, export_dir, scale: as for `export_onnx`.
      size: H and W of the images.

    Returns:
      The file.

    Raises:
      NLRNError: as for `export_onnx`.
    """
    backend.require_tensorflow("export")
    height, width = size
    model = load_model(weights, attention="blocks")
    scale = _checked_scale(model, scale, weights)
    path = _free(Path(export_dir) / f"{_name(weights, scale)}_{height}x{width}.tflite")
    plane = _Plane(model, [1, height, width, 1], scale)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [plane.restore.get_concrete_function()], plane
    )
    write_bytes(path, converter.convert())
    return path


class _Plane(tf.Module):
    """The network with the interface of the head of this module."""

    def __init__(self, model: NLRN, shape: list[int | None], scale: int | None):
        super().__init__()
        self._weights = [weight.value for weight in model.weights]

        @tf.function(
            input_signature=[tf.TensorSpec(shape, tf.float32, name="inputs")], autograph=False
        )
        def restore(inputs):
            return {"output": tf.clip_by_value(model(inputs, scale=scale), 0, 1)}

        self.restore = restore


def _checked_scale(model: NLRN, scale: int | None, weights: str | os.PathLike) -> int | None:
    """The scale that a network enlarges by; None for one that does not."""
    scales = model.config.own_scales
    if not scales:
        if scale is not None:
            raise NLRNError(
                f"scale {scale}: the network of '{weights}' gets images of the size that it gives; "
                "leave it out"
            )
        return None
    if scale is not None and scale not in scales:
        allowed = ", ".join(map(str, scales))
        raise NLRNError(f"scale {scale}: must be one of {allowed} for the weights '{weights}'")
    return scale or scales[0]


def _name(weights: str | os.PathLike, scale: int | None) -> str:
    return find_weights(weights).stem + ("" if scale is None else f"_x{scale}")


def _free(path: Path) -> Path:
    if os.path.exists(path):
        raise NLRNError(f"{path}: exists already; remove it or choose another folder")
    return path
