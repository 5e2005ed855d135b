"""A small network, images and a C API process for the tests of the export."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from nlrn_tf import NLRN, NLRNConfig
from nlrn_tf.export.saved_model import export_saved_model
from nlrn_tf.weights.loading import load_model, save_model

SMALL = {"filters": 4, "embedding_size": 4, "num_states": 2, "window_size": 7}
SIZES = [(1, 1), (17, 31), (256, 256), (481, 321)]


class Export(NamedTuple):
    """A network and the SavedModel that was made of it."""

    model: NLRN
    folder: Path


def export_small_network(folder: Path, **config) -> Export:
    """Exports `write_small_network`, for images of at most a million pixels, as version 1."""
    weights = write_small_network(folder / "small.keras", **config)
    exported = export_saved_model(weights, folder / "exported", max_pixels=10**6)
    return Export(load_model(weights), exported)


def write_small_network(path: Path, **config) -> Path:
    """Random weights that change an image by some ten grey levels."""
    model = NLRN(NLRNConfig(**{**SMALL, **config}))
    rng = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(weight + rng.normal(0, 0.05, weight.shape))
    model.norm_in.moving_mean.assign([[120.0]])
    model.norm_in.moving_variance.assign([[3000.0]])
    for weight in model.conv_out.weights:
        if weight.name == "kernel":
            weight.assign(20 * weight)
    save_model(model, path)
    return path


def photograph(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with noise: uint8 `[H, W]` or RGB `[H, W, 3]`."""
    rng = np.random.default_rng([height, width, seed])
    small = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3)).astype(np.uint8)
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    noisy = np.clip(image + rng.normal(0, 15, image.shape), 0, 255).astype(np.uint8)
    return noisy if channels == 3 else noisy[..., 0]


def to_file(image: np.ndarray, suffix: str = ".png", options: tuple[int, ...] = ()) -> bytes:
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(suffix, bgr, options)[1].tobytes()


def from_file(content: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def to_batch(image: np.ndarray) -> np.ndarray:
    """uint8 `[H, W]` or `[H, W, 3]` to float32 `[1, H, W, C]` in [0, 1]."""
    return (image.astype(np.float32) / np.float32(255)).reshape(1, *image.shape[:2], -1)


def meta_graph(saved_model: Path) -> meta_graph_pb2.MetaGraphDef:
    content = (saved_model / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


def tensor_names(saved_model: Path, signature: str) -> tuple[dict[str, str], dict[str, str]]:
    """The names of the tensors of a signature's inputs and outputs."""
    definition = meta_graph(saved_model).signature_def[signature]
    return tuple(
        {key: info.name for key, info in infos.items()}
        for infos in (definition.inputs, definition.outputs)
    )


def run_by_c_api(saved_model: Path, requests: list[tuple[str, dict]]) -> dict:
    """What `c_api_client.py` answers to requests of a signature and its inputs."""
    names = {}
    tasks = []
    for signature, inputs in requests:
        if signature not in names:
            names[signature] = tensor_names(saved_model, signature)
        tensors, fetches = names[signature]
        feeds = {tensors[key]: value for key, value in inputs.items()}
        tasks.append({"feeds": feeds, "fetches": fetches})
    task = {
        "library": str(Path(tf.__file__).parent),
        "saved_model": str(saved_model),
        "requests": tasks,
    }
    process = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "c_api_client.py")],
        input=pickle.dumps(task),
        stdout=subprocess.PIPE,
        check=True,
    )
    return pickle.loads(process.stdout)


def warmup_requests_of(folder: Path) -> Iterator[tuple[str, dict]]:
    """The signature and the inputs of each record, read by the protos of TensorFlow Serving."""
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        yield (
            request.model_spec.signature_name,
            {key: list(value) if value.dtype == object else value for key, value in inputs.items()},
        )
