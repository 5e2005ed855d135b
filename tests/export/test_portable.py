"""The ONNX and TensorFlow Lite files give the output of the network."""

import sys

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.export.portable import export_onnx, export_tflite
from nlrn_tf.weights.loading import load_model
from tests.support.export import photograph, to_batch, write_small_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_small_network(tmp_path_factory.mktemp("weights") / "small.keras", task="denoise")


def _check(output: np.ndarray, weights, images: np.ndarray):
    model = load_model(weights)
    expected = [nlrn_tf.restore(model, image) for image in images]
    np.testing.assert_allclose(output, expected, atol=1e-5)
    assert np.abs(output - images).max() > 0.02


def test_onnx_restores_images_of_all_sizes(weights, tmp_path):
    path = export_onnx(weights, tmp_path / "exported")
    assert path == tmp_path / "exported" / "small.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for tensor in (*session.get_inputs(), *session.get_outputs()):
        assert tensor.shape == ["batch", "height", "width", 1]
    for height, width in [(7, 5), (17, 31), (64, 50)]:
        images = np.concatenate([to_batch(photograph(height, width, 1, seed)) for seed in (0, 1)])
        [output] = session.run(["output"], {"inputs": images})
        _check(output, weights, images)
    with pytest.raises(NLRNError, match=r"small\.onnx: exists already"):
        export_onnx(weights, tmp_path / "exported")


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_onnx_and_tflite_enlarge_by_one_scale(tmp_path):
    config = {"task": "sr", "scales": (2, 3), "upsample": "after"}
    weights = write_small_network(tmp_path / "small.keras", **config)
    path = export_onnx(weights, tmp_path, scale=3)
    assert path == tmp_path / "small_x3.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [output] = session.get_outputs()
    assert output.shape == ["batch", "3 * height", "3 * width", 1]
    model = load_model(weights)
    for height, width in [(1, 5), (17, 31)]:
        image = to_batch(photograph(height, width, 1))
        expected = nlrn_tf.restore(model, image[0], scale=3)
        [output] = session.run(["output"], {"inputs": image})
        np.testing.assert_allclose(output[0], expected, atol=1e-5)
    path = export_tflite(weights, tmp_path, (17, 31))
    assert path == tmp_path / "small_x2_17x31.tflite"
    restore = tf.lite.Interpreter(str(path)).get_signature_runner()
    expected = nlrn_tf.restore(model, image[0], scale=2)
    np.testing.assert_allclose(restore(inputs=image)["output"][0], expected, atol=1e-5)
    with pytest.raises(NLRNError, match="scale 4: must be one of 2, 3"):
        export_onnx(weights, tmp_path, scale=4)


def test_a_scale_is_for_networks_that_enlarge(weights, tmp_path):
    with pytest.raises(NLRNError, match="gets images of the size that it gives"):
        export_onnx(weights, tmp_path, scale=2)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tflite_restores_images_of_its_size(weights, tmp_path):
    path = export_tflite(weights, tmp_path / "exported", (17, 31))
    assert path == tmp_path / "exported" / "small_17x31.tflite"
    restore = tf.lite.Interpreter(str(path)).get_signature_runner()
    images = to_batch(photograph(17, 31, 1))
    _check(restore(inputs=images)["output"], weights, images)
    with pytest.raises(NLRNError, match=r"small_17x31\.tflite: exists already"):
        export_tflite(weights, tmp_path / "exported", (17, 31))


def test_onnx_says_what_is_missing(weights, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(NLRNError, match="needs tf2onnx: `pip install onnx tf2onnx`"):
        export_onnx(weights, tmp_path)
