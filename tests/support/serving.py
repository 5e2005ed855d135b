"""What the tests of serving share."""

import functools
import importlib
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from nlrn_tf.model import NLRN
from nlrn_tf.weights.loading import load_model
from serving.stand_in.model import Servable
from tests.support.export import export_small_network

ROOT = Path(__file__).resolve().parents[2]
SERVING = ROOT / "serving"

sys.path.append(str(SERVING))  # scripts, not a package
calls = importlib.import_module("calls")

_FOLDER = tempfile.TemporaryDirectory(prefix="nlrn-serving-")  # removed at the end


@functools.cache  # the test modules share it
def small_denoiser_export() -> tuple[Path, Path]:
    """The weights of a small random denoiser, and a SavedModel of it."""
    folder = Path(_FOLDER.name)
    saved_model = export_small_network(folder, task="denoise", noise_sigma=25).folder
    return folder / "small.keras", saved_model


@functools.cache
def small_denoiser() -> tuple[NLRN, Servable]:
    """A denoiser, and the same served under the name "denoise_s25"."""
    weights, saved_model = small_denoiser_export()
    return load_model(weights), Servable("denoise_s25", saved_model)


class Stub:
    """Stands for a `Servable`: returns the files it gets, after some seconds."""

    def __init__(self, seconds: float = 0):
        self.seconds = seconds
        self.asked = threading.Event()

    def signature(self, spec):
        signature = meta_graph_pb2.SignatureDef()
        signature.inputs["image_bytes"].dtype = types_pb2.DT_STRING
        return signature

    def predict(self, request):
        self.asked.set()
        time.sleep(self.seconds)
        response = predict_pb2.PredictResponse()
        response.outputs["restored_bytes"].CopyFrom(request.inputs["image_bytes"])
        return response


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def address(ports: dict[str, int], transport: str) -> str:
    return f"localhost:{ports[transport]}"
