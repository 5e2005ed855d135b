"""The exported model gives what `nlrn_tf.restore` gives: in the C API and in a TF 1 session."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.export.saved_model import METADATA_FILE, export_saved_model
from nlrn_tf.export.signatures import ServedModel
from nlrn_tf.layers import compiled
from nlrn_tf.layers.attention import kernel
from nlrn_tf.weights.loading import save_model
from nlrn_tf.weights.manifest import sha256
from tests.support.export import (
    SIZES,
    SMALL,
    Export,
    export_small_network,
    from_file,
    meta_graph,
    photograph,
    run_by_c_api,
    to_batch,
    to_file,
    warmup_requests_of,
)

INVALID_ARGUMENT = "3: "  # the codes of TensorFlow's C API


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory) -> Export:
    return export_small_network(tmp_path_factory.mktemp("dn"), task="denoise", noise_sigma=25)


def test_without_its_extra_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.delitem(sys.modules, "tensorflow_serving.apis", raising=False)
    with pytest.raises(NLRNError, match="`pip install tensorflow-serving-api`"):
        export_saved_model("denoise_lite_s25", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.fixture(scope="module")
def enlarger(tmp_path_factory) -> Export:
    return export_small_network(tmp_path_factory.mktemp("sr"), task="sr", scales=(2, 3, 4))


@pytest.fixture(scope="module")
def small_enlarger(tmp_path_factory) -> Export:
    """The same of a network that works on the small image."""
    config = {"task": "sr", "scales": (2, 3, 4), "upsample": "after"}
    return export_small_network(tmp_path_factory.mktemp("small"), **config)


def _check_against_restore(export: Export, images: list[np.ndarray], scale: int | None = None):
    """Floats and, in one batch, files, in a fresh process without Keras and nlrn_tf."""
    extra = {} if scale is None else {"scale": np.int32(scale)}
    requests = [("serving_default", {"inputs": to_batch(image), **extra}) for image in images]
    files = [to_file(image) for image in images]
    requests.append(("restore_bytes", {"image_bytes": files, **extra}))
    answer = run_by_c_api(export.folder, requests)
    assert not {"tensorflow", "keras", "nlrn_tf"} & set(answer["modules"])
    *floats, restored = answer["results"]
    for image, output, content in zip(images, floats, restored["restored_bytes"], strict=True):
        expected = nlrn_tf.restore(export.model, to_batch(image)[0], scale=scale)
        np.testing.assert_allclose(output["output"][0], expected, atol=1e-5)
        expected = nlrn_tf.restore(export.model, image, scale=scale)
        # One grey level where the rounding of floats decides, in one value of ten thousand.
        difference = np.abs(from_file(content).astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-4


def test_the_kernel_of_this_machine_is_no_part_of_the_graph(monkeypatch, tmp_path):
    """A graph that calls it back could run in this process only."""
    sizes = {"filters": 32, "embedding_size": 32, "num_states": 1, "window_size": 5}
    save_model(nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**sizes)), tmp_path / "wide.keras")
    monkeypatch.setattr(compiled, "variants", lambda: ["amx"])
    used = []
    monkeypatch.setattr(kernel, "attention", lambda *_, **__: used.append(1))
    folder = export_saved_model(tmp_path / "wide.keras", tmp_path, precision="bfloat16")
    assert not used
    assert json.loads((folder / METADATA_FILE).read_text())["precision"] == "bfloat16"
    functions = meta_graph(folder).graph_def.library.function
    operations = {node.op for function in functions for node in function.node_def}
    assert not {"PyFunc", "EagerPyFunc", "PyFuncStateless"} & operations


def test_denoiser_equals_restore(denoiser):
    images = [photograph(*size, channels) for size in SIZES for channels in (1, 3)]
    in_tiles = photograph(600, 500, 1)
    _check_against_restore(denoiser, [*images, in_tiles])
    change = nlrn_tf.restore(denoiser.model, in_tiles) - in_tiles.astype(np.float32)
    assert np.std(change) > 3  # the comparison means something


@pytest.mark.parametrize("level", [5.0, 37.0, 75.0])
def test_any_level_equals_restore(denoiser, level):
    images = [photograph(17, 31, channels) for channels in (1, 3)]
    images.append(np.repeat(images[0][..., None], 3, axis=-1))  # grey stored as colour
    extra = {"noise_sigma": np.float32(level)}
    requests = [("restore_at_level", {"inputs": to_batch(image), **extra}) for image in images]
    files = [to_file(image) for image in images]
    requests.append(("restore_bytes_at_level", {"image_bytes": files, **extra}))
    *floats, restored = run_by_c_api(denoiser.folder, requests)["results"]
    for image, output, content in zip(images, floats, restored["restored_bytes"], strict=True):
        expected = nlrn_tf.restore(denoiser.model, to_batch(image)[0], noise_sigma=level)
        np.testing.assert_allclose(output["output"][0], expected, atol=2e-5)
        expected = nlrn_tf.restore(denoiser.model, image, noise_sigma=level)
        assert np.abs(from_file(content).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("level", [0.0, -1.0, 151.0, np.nan, np.inf])
def test_a_wrong_level_is_refused(denoiser, level):
    inputs = {"inputs": to_batch(photograph(9, 9, 1)), "noise_sigma": np.float32(level)}
    (answer,) = run_by_c_api(denoiser.folder, [("restore_at_level", inputs)])["results"]
    assert "noise_sigma must be above 0 and at most 150" in answer


@pytest.mark.parametrize(("scale", "large"), [(2, (15, 20)), (3, (15, 20)), (4, (170, 110))])
def test_super_resolution_equals_restore(enlarger, scale, large):
    images = [photograph(*size, channels) for size in [(1, 1), (17, 31)] for channels in (1, 3)]
    _check_against_restore(enlarger, [*images, photograph(*large, 1)], scale)


@pytest.mark.parametrize(("scale", "large"), [(2, (600, 410)), (3, (15, 20)), (4, (15, 20))])
def test_enlarging_the_result_equals_restore(small_enlarger, scale, large):
    images = [photograph(*size, channels) for size in [(1, 1), (17, 31)] for channels in (1, 3)]
    _check_against_restore(small_enlarger, [*images, photograph(*large, 1)], scale)


def test_batches_and_noise_beyond_the_range(denoiser):
    batch = np.stack([to_batch(photograph(20, 30, 3, seed))[0] for seed in range(5)])
    noisy = 1.5 * batch[:1] - 0.25
    requests = [("serving_default", {"inputs": images}) for images in (batch, noisy)]
    results = run_by_c_api(denoiser.folder, requests)["results"]
    for images, result in zip((batch, noisy), results, strict=True):
        expected = [nlrn_tf.restore(denoiser.model, image) for image in images]
        np.testing.assert_allclose(result["output"], expected, atol=1e-5)


def test_every_op_is_registered_in_the_library(denoiser, enlarger):
    ops = op_def_pb2.OpList.FromString(run_by_c_api(denoiser.folder, [])["ops"])
    for export in (denoiser, enlarger):
        graph = meta_graph(export.folder).graph_def
        functions = {function.signature.name for function in graph.library.function}
        used = {node.op for node in graph.node}
        used |= {node.op for function in graph.library.function for node in function.node_def}
        assert len(used) > 30
        assert used - functions <= {op.name for op in ops.op}
        assert not {"PyFunc", "EagerPyFunc", "PyFuncStateless"} & used


@pytest.mark.parametrize("size", [(43, 43), (61, 50)])
def test_programs_for_the_released_model_work(denoiser, size):
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.loader.load(
            session, [tf.compat.v1.saved_model.tag_constants.SERVING], str(denoiser.folder)
        )
        signature = loaded.signature_def["serving_default"]
        images = np.stack([to_batch(photograph(*size, 1, seed))[0] for seed in range(2)])
        output = session.run(
            signature.outputs["output"].name, {signature.inputs["inputs"].name: images}
        )
        with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
            session.run(
                signature.outputs["output"].name, {signature.inputs["inputs"].name: images * np.nan}
            )
    expected = [nlrn_tf.restore(denoiser.model, image) for image in images]
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_signatures_have_the_documented_names_and_shapes(denoiser, enlarger):
    for export, scale in ((denoiser, set()), (enlarger, {"scale"})):
        definitions = meta_graph(export.folder).signature_def
        floats, files = definitions["serving_default"], definitions["restore_bytes"]
        assert set(floats.inputs) == {"inputs"} | scale
        assert set(floats.outputs) == {"output"}
        assert set(files.inputs) == {"image_bytes"} | scale
        assert set(files.outputs) == {"restored_bytes"}
        assert floats.inputs["inputs"].dtype == floats.outputs["output"].dtype == 1  # DT_FLOAT
        assert [dim.size for dim in floats.inputs["inputs"].tensor_shape.dim] == [-1] * 4
        assert [dim.size for dim in files.inputs["image_bytes"].tensor_shape.dim] == [-1]
        assert floats.method_name == files.method_name == "tensorflow/serving/predict"
    info = floats.inputs["scale"]
    assert (info.dtype, len(info.tensor_shape.dim), info.tensor_shape.unknown_rank) == (3, 0, False)


def test_warmup_requests_run(denoiser, enlarger):
    for export, scales in ((denoiser, {None}), (enlarger, {2, 3, 4})):
        requests = list(warmup_requests_of(export.folder))
        results = run_by_c_api(export.folder, requests)["results"]
        assert not [result for result in results if isinstance(result, str)]
        floats = [inputs for signature, inputs in requests if signature == "serving_default"]
        files = [inputs for signature, inputs in requests if signature == "restore_bytes"]
        seen = {
            (inputs["inputs"].shape[-1], int(inputs["scale"]) if "scale" in inputs else None)
            for inputs in floats
        }
        assert seen == {(channels, scale) for channels in (1, 3) for scale in scales}
        starts = {content[:3] for inputs in files for content in inputs["image_bytes"]}
        assert starts == {b"\x89PN", b"\xff\xd8\xff"}


def test_metadata(denoiser):
    metadata = json.loads((denoiser.folder / "assets" / "metadata.json").read_text())
    assert metadata["weights_sha256"] == sha256(denoiser.folder.parents[1] / "small.keras")
    expected = {"name": "small", "task": "denoise", "noise_sigma": 25.0, "scales": []}
    expected |= {"max_pixels": 10**6, "nlrn_tf": nlrn_tf.__version__}
    assert expected.items() <= metadata.items()


def test_scale_is_checked(enlarger):
    inputs = to_batch(photograph(9, 8, 1))
    files = [to_file(photograph(600, 500, 1))]
    results = run_by_c_api(
        enlarger.folder,
        [
            ("serving_default", {"inputs": inputs, "scale": np.int32(5)}),
            ("serving_default", {"inputs": inputs, "scale": np.array([2, 2], np.int32)}),
            ("restore_bytes", {"image_bytes": files, "scale": np.int32(-2)}),
            ("restore_bytes", {"image_bytes": files, "scale": np.int32(2)}),
        ],
    )["results"]
    messages = ("one of 2, 3, 4", "must be a scalar", "one of 2, 3, 4", "500 x 600 pixels")
    for result, message in zip(results, messages, strict=True):
        assert result.startswith(INVALID_ARGUMENT)
        assert message in result


def test_a_network_of_unknown_task_is_served_as_a_denoiser():
    assert not ServedModel(nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**SMALL)), max_pixels=1).enlarges
