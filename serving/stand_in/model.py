"""A SavedModel that answers PredictRequests as TensorFlow Serving does."""

import threading
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2, prediction_log_pb2


class ServingError(Exception):
    """An answer with a gRPC status other than OK."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Servable:
    """A SavedModel in a Session, which answers PredictRequests.

    Args:
      name: of the model.
      folder: of the SavedModel.
      labels: version labels; they all mean version 1.
      concurrent_runs: requests that run at a time (num_batch_threads).
      max_waiting: requests that may wait (max_enqueued_batches); others get UNAVAILABLE.
    """

    def __init__(self, name, folder, labels=("stable",), concurrent_runs=2, max_waiting=64):
        self.name, self.labels = name, labels
        self.fail_next: list[ServingError] = []  # raised by the next requests, one each
        self.requests = 0
        self._running = threading.Semaphore(concurrent_runs)
        self._places = threading.Semaphore(concurrent_runs + max_waiting)
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            loaded = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], str(folder))
        self.signatures = loaded.signature_def
        self._warm_up(Path(folder))

    def _warm_up(self, folder):
        path = folder / "assets.extra" / "tf_serving_warmup_requests"
        if path.exists():
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                log = prediction_log_pb2.PredictionLog.FromString(record)
                request = log.predict_log.request
                request.model_spec.name = self.name
                self.predict(request)

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        self.requests += 1
        if self.fail_next:
            raise self.fail_next.pop(0)
        signature = self.signature(request.model_spec)
        feed = _feed(signature, request.inputs)
        fetches = {name: info.name for name, info in signature.outputs.items()}
        if not self._places.acquire(blocking=False):
            raise ServingError("UNAVAILABLE", "The batch scheduling queue is full")
        try:
            with self._running:
                outputs = self._session.run(fetches, feed)
        except tf.errors.OpError as error:
            code = grpc_code(error.error_code).name
            raise ServingError(code, error.message) from error
        finally:
            self._places.release()
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(_as_proto(value, signature.outputs[name].dtype))
        return response

    def status(self) -> dict:
        """A GetModelStatusResponse, as JSON."""
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=1, state="AVAILABLE")
        return json_format.MessageToDict(response, preserving_proto_field_name=True)

    def signature(self, spec):
        version = spec.version.value if spec.HasField("version") else 1
        if spec.name != self.name or version != 1:
            raise ServingError("NOT_FOUND", f"Servable not found for request: {spec.name}")
        if spec.version_label and spec.version_label not in self.labels:
            raise ServingError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}"
            )
        name = spec.signature_name or "serving_default"
        if name not in self.signatures:
            raise ServingError("INVALID_ARGUMENT", f'Serving signature key "{name}" not found.')
        return self.signatures[name]


def grpc_code(number: int) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == number)


def _feed(signature, inputs):
    """Checks the inputs as predict_util.cc and Session::Run do, and converts them."""
    if set(inputs) != set(signature.inputs):
        expected = ", ".join(sorted(signature.inputs))
        raise ServingError("INVALID_ARGUMENT", f"input keys must be {expected}")
    feed = {}
    for name, info in signature.inputs.items():
        if inputs[name].dtype != info.dtype:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Expects {name} to be {tf.as_dtype(info.dtype).name} but "
                f"{tf.as_dtype(inputs[name].dtype).name} is provided",
            )
        try:
            feed[info.name] = tf.make_ndarray(inputs[name])
        except (ValueError, TypeError) as error:
            raise ServingError("INVALID_ARGUMENT", f"tensor parsing error: {name}") from error
        if not tf.TensorShape(info.tensor_shape).is_compatible_with(feed[info.name].shape):
            raise ServingError(
                "INVALID_ARGUMENT", f"{name} has the wrong shape {feed[info.name].shape}"
            )
    return feed


def _as_proto(value, dtype):
    if dtype != tf.string:
        return tf.make_tensor_proto(value)
    # make_tensor_proto loses zero bytes at the end of NumPy strings.
    return tf.make_tensor_proto(np.asarray(value, object).tolist(), tf.string, np.shape(value))
