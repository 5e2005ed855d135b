"""Requests that TensorFlow Serving runs when it loads the model, before it reports it available.

The first call of a signature is slow: its graph is optimised, and kernels are made for grey, for
colour and for each file format. The graph serves all sizes, so small images are enough. The
signatures that take a level are left out: loading would take twice as long.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from nlrn_tf.errors import NLRNError
from nlrn_tf.export.signatures import BYTES_SIGNATURE, FLOAT_SIGNATURE

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"  # the place that TensorFlow Serving fixes

_SIDE = 32  # pixels, of a restored image


def require_protos() -> None:
    """Checks that the requests can be written, before the work.

    Raises:
      NLRNError: tensorflow-serving-api is not installed.
    """
    try:
        import tensorflow_serving.apis  # noqa: F401
    except ImportError as error:
        raise NLRNError(
            "format=saved_model needs tensorflow-serving-api: "
            "`pip install tensorflow-serving-api` (the extra 'export' of nlrn-tf)"
        ) from error


def warmup_requests(scales: tuple[int, ...]) -> Iterator[tuple[str, dict[str, tf.Tensor]]]:
    """Yields the signature and the inputs of each request.

    Args:
      scales: of a super-resolution network; empty for a denoiser.
    """
    rng = np.random.default_rng(0)
    for scale in scales or (None,):
        extra = {} if scale is None else {"scale": tf.constant(scale, tf.int32)}
        for channels in (1, 3):
            side = _SIDE // (scale or 1)
            image = rng.integers(0, 256, (side, side, channels), np.uint8)
            values = tf.constant(image[None] / 255, tf.float32)
            yield FLOAT_SIGNATURE, {"inputs": values, **extra}
            files = [cv2.imencode(suffix, image)[1].tobytes() for suffix in (".png", ".jpg")]
            yield BYTES_SIGNATURE, {"image_bytes": tf.constant(files), **extra}


def write_warmup_requests(folder: Path, model_name: str, scales: tuple[int, ...]) -> None:
    """Writes the requests as a TFRecord file of PredictionLog protos into a SavedModel folder."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in warmup_requests(scales):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
