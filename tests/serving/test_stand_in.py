"""What a server does with the exported network: floats and files, good requests and bad ones."""

import base64
import json
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from nlrn_tf.restoration.restorer import restore
from tests.support.export import from_file, photograph, to_file
from tests.support.serving import ROOT, address

MALFORMED_REQUESTS = 200


@pytest.fixture(scope="module")
def by_grpc(ports):
    """Sends inputs to a signature; returns the outputs or raises grpc.RpcError."""
    channel = grpc.insecure_channel(address(ports, "grpc"))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call(signature, **inputs):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "denoise_s25"
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        outputs = stub.Predict(request, timeout=60).outputs
        return {name: tf.make_ndarray(value) for name, value in outputs.items()}

    with channel:
        yield call


@pytest.fixture(scope="module")
def by_rest(ports):
    """Posts a body; returns the HTTP status and the answer."""

    def call(body, path="/v1/models/denoise_s25:predict"):
        data = body if isinstance(body, bytes) else json.dumps(body)
        url = f"http://{address(ports, 'rest')}{path}"
        response = requests.post(url, data=data, timeout=60)
        return response.status_code, response.json()

    return call


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def expected(denoiser, images):
    """float32 in [0, 1], by `nlrn_tf.restore`."""
    return np.stack([restore(denoiser[0], image) for image in images])


@pytest.mark.parametrize("shape", [(1, 24, 31, 1), (2, 13, 13, 3)])
def test_floats(by_grpc, by_rest, denoiser, shape):
    images = np.random.default_rng(1).random(shape, np.float32)
    output = by_grpc("serving_default", inputs=images)["output"]
    np.testing.assert_allclose(output, expected(denoiser, images), atol=1e-5)
    for body, key in (
        ({"instances": images.tolist()}, "predictions"),
        ({"inputs": images.tolist()}, "outputs"),
        ({"inputs": {"inputs": images.tolist()}, "signature_name": "serving_default"}, "outputs"),
    ):
        status, answer = by_rest(body)
        assert status == 200, answer
        np.testing.assert_allclose(answer[key], output, atol=1e-6)


def test_files_of_mixed_sizes(by_grpc, by_rest, denoiser):
    images = [photograph(20, 31, 3), photograph(9, 9, 1), photograph(33, 12, 3)]
    files = [to_file(image) for image in images]
    restored = by_grpc("restore_bytes", image_bytes=files)["restored_bytes"]
    for content, image in zip(restored, images, strict=True):
        assert np.abs(from_file(content).astype(int) - restore(denoiser[0], image)).max() <= 1
    rows = [b64(content) for content in files]
    for body, key in (
        ({"instances": rows}, "predictions"),
        ({"instances": [{"image_bytes": row} for row in rows]}, "predictions"),
        ({"inputs": {"image_bytes": rows}}, "outputs"),
    ):
        status, answer = by_rest({"signature_name": "restore_bytes", **body})
        assert status == 200, answer
        assert answer[key] == [b64(content) for content in restored]


def test_curl_line_of_the_readme(ports, tmp_path, denoiser):
    """Runs the block with curl, jq and base64 of serving/README.md, where these programs are."""
    text = (ROOT / "serving" / "README.md").read_text()
    block = next(part for part in text.split("```") if "base64 -d" in part)
    command = block.removeprefix("sh\n").replace("localhost:8501", address(ports, "rest"))
    if missing := [name for name in ("curl", "base64", "python3") if not shutil.which(name)]:
        pytest.skip(f"no {missing[0]}")
    image = photograph(20, 31, 3)
    (tmp_path / "noisy.png").write_bytes(to_file(image))
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, check=True, capture_output=True)
    restored = from_file((tmp_path / "clean.png").read_bytes()).astype(int)
    assert np.abs(restored - restore(denoiser[0], image)).max() <= 1


def header_bomb():
    """A PNG of a few bytes whose header promises 16384 x 16384 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 16384, 16384, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return to_file(photograph(5, 5, 3))[:8] + chunk + to_file(photograph(5, 5, 3))[33:]


def malformed_files():
    png, jpeg = to_file(photograph(30, 30, 3)), to_file(photograph(30, 30, 3), ".jpg")
    return {
        "truncated PNG": png[: len(png) // 2],
        "truncated header": png[:20],
        "JPEG with garbage": jpeg[:100] + b"\x00\xff\xd9" * 40,
        "no bytes": b"",
        "text": b"Hello, world",
        "header bomb": header_bomb(),
    }


def malformed_floats():
    image = np.zeros((1, 8, 8, 1), np.float32)
    return {
        "wrong type": image.astype(np.int32),
        "wrong rank": image[0],
        "two channels": np.zeros((1, 8, 8, 2), np.float32),
        "empty": image[:, :0],
        "NaN": image * np.nan,
        "0..255": image + 255,
    }


def grpc_code(call, *arguments, **inputs):
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments, **inputs)
    return raised.value.code()


@pytest.mark.parametrize("name", malformed_files())
def test_a_malformed_file_is_refused(by_grpc, by_rest, name):
    content = malformed_files()[name]
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert grpc_code(by_grpc, "restore_bytes", image_bytes=[content]) == invalid
    body = {"signature_name": "restore_bytes", "instances": [b64(content)]}
    status, answer = by_rest(body)
    assert status == 400
    assert answer.keys() == {"error"}


@pytest.mark.parametrize("name", malformed_floats())
def test_malformed_floats_are_refused(by_grpc, name):
    value = malformed_floats()[name]
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert grpc_code(by_grpc, "serving_default", inputs=value) == invalid


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        (b"{", "/v1/models/denoise_s25:predict", 400),
        ([], "/v1/models/denoise_s25:predict", 400),
        ({}, "/v1/models/denoise_s25:predict", 400),
        ({"instances": []}, "/v1/models/denoise_s25:predict", 400),
        ({"instances": [["a"]]}, "/v1/models/denoise_s25:predict", 400),
        ({"instances": [1], "signature_name": "x"}, "/v1/models/denoise_s25:predict", 400),
        ({"inputs": {"image": [1]}}, "/v1/models/denoise_s25:predict", 400),
        ({"instances": [1]}, "/v1/models/other:predict", 404),
        ({"instances": [1]}, "/elsewhere", 400),
    ],
)
def test_malformed_rest_requests(by_rest, body, path, status):
    answered, answer = by_rest(body, path)
    assert answered == status
    assert answer.keys() == {"error"}


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_the_server_survives_malformed_requests(by_grpc, by_rest):
    """Each gets an error, the next good one its result, and memory does not grow."""
    files, floats = list(malformed_files().values()), list(malformed_floats().values())
    good = to_file(photograph(16, 16, 3))
    restored = by_grpc("restore_bytes", image_bytes=[good])["restored_bytes"][0]
    memory = []
    for number in range(MALFORMED_REQUESTS):
        content = files[number % len(files)]
        if number % 3 == 0:
            status, _ = by_rest({"signature_name": "restore_bytes", "instances": [b64(content)]})
            assert status == 400
        elif number % 3 == 1:
            assert grpc_code(by_grpc, "restore_bytes", image_bytes=[good, content])
        else:
            assert grpc_code(by_grpc, "serving_default", inputs=floats[number % len(floats)])
        if number % 50 == 49:
            assert by_grpc("restore_bytes", image_bytes=[good])["restored_bytes"][0] == restored
            memory.append(resident_bytes())
    assert memory[-1] - memory[0] < 32 * 2**20
