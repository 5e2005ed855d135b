"""The calls of the client against TensorFlow Serving's APIs in front of a real SavedModel."""

import http.server
import threading
import time

import numpy as np
import pytest

from nlrn_tf.restoration.restorer import restore
from serving.stand_in.endpoint import serving
from serving.stand_in.model import Servable, ServingError
from tests.support.export import export_small_network, from_file, photograph, to_file
from tests.support.serving import Stub, address, calls, unused_port

CALLS = {"rest": calls.rest_call, "grpc": calls.grpc_call}
UNAVAILABLE = ServingError("UNAVAILABLE", "The batch scheduling queue is full")

both = pytest.mark.parametrize("transport", ["rest", "grpc"])


@pytest.fixture
def servable(denoiser):
    denoiser[1].requests, denoiser[1].fail_next = 0, []
    return denoiser[1]


@pytest.fixture
def waits(monkeypatch):
    """Seconds waited between attempts, which the test does not wait."""
    waits = []
    monkeypatch.setattr(calls.time, "sleep", waits.append)
    return waits


@both
@pytest.mark.parametrize(
    "image",
    [photograph(40, 31, 3), photograph(17, 52, 1), photograph(1, 1, 3)],
    ids=["colour", "grey", "one pixel"],
)
def test_result_is_that_of_restore(denoiser, ports, transport, image):
    call = CALLS[transport](address(ports, transport), "denoise_s25")
    expected = restore(denoiser[0], image)
    assert np.abs(from_file(call(to_file(image))).astype(int) - expected).max() <= 1
    assert image.size < 10 or (expected != image).any()


@both
def test_jpeg(ports, denoiser, transport):
    content = to_file(photograph(40, 31, 3), ".jpg")
    call = CALLS[transport](address(ports, transport), "denoise_s25", label="stable")
    restored = from_file(call(content)).astype(int)
    assert np.abs(restored - restore(denoiser[0], from_file(content))).max() <= 3  # other decoder


def test_super_resolution_passes_the_scale(tmp_path):
    version = export_small_network(tmp_path, task="sr", scales=(3,)).folder
    content = to_file(photograph(20, 15, 3))
    with serving(Servable("sr", version)) as ports:
        for transport, make in CALLS.items():
            server = address(ports, transport)
            assert from_file(make(server, "sr", scale=3)(content)).shape == (60, 45, 3)
            with pytest.raises(calls.ImageError, match="scale must be one of 3"):
                make(server, "sr", scale=5)(content)
            with pytest.raises(calls.ImageError, match="scale"):
                make(server, "sr")(content)


@both
def test_repeats_while_unavailable(servable, ports, waits, transport):
    servable.fail_next = [UNAVAILABLE, UNAVAILABLE]
    call = calls.with_retries(CALLS[transport](address(ports, transport), "denoise_s25"))
    assert from_file(call(to_file(photograph(9, 9, 3)))).shape == (9, 9, 3)
    assert servable.requests == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1  # longer each time


@both
def test_gives_up(servable, ports, waits, transport):
    servable.fail_next = [UNAVAILABLE] * 9
    call = calls.with_retries(CALLS[transport](address(ports, transport), "denoise_s25"), 3)
    with pytest.raises(calls.UnavailableError, match="queue is full"):
        call(to_file(photograph(9, 9, 3)))
    assert servable.requests == 4
    assert len(waits) == 3


@both
def test_a_refused_image_is_not_repeated(servable, ports, waits, transport):
    call = calls.with_retries(CALLS[transport](address(ports, transport), "denoise_s25"))
    with pytest.raises(calls.ImageError, match="refused"):
        call(to_file(photograph(9, 9, 3))[:60])
    assert servable.requests == 1
    assert waits == []


@both
def test_a_server_that_comes_late(denoiser, transport, monkeypatch):
    """Connections are refused at first."""
    port, started = unused_port(), threading.Event()
    call = CALLS[transport](f"localhost:{port}", "denoise_s25")
    with pytest.raises(calls.UnavailableError, match=r"[Rr]efused"):
        call(b"")
    real_sleep = time.sleep
    stop = threading.Event()

    def serve():
        with serving(denoiser[1], ports={transport: port}):
            started.set()
            stop.wait(60)

    thread = threading.Thread(target=serve)

    def sleep(seconds):
        if not thread.ident:
            thread.start()
            started.wait(30)
        real_sleep(seconds)

    monkeypatch.setattr(calls.time, "sleep", sleep)
    try:
        assert from_file(calls.with_retries(call, 8)(to_file(photograph(9, 9, 3)))).shape == (
            9,
            9,
            3,
        )
    finally:
        stop.set()
        thread.join()


@both
def test_messages_beyond_the_limit_of_grpc(transport):
    content = to_file(np.random.default_rng(0).integers(0, 256, (1300, 1300, 3), np.uint8))
    assert len(content) > 5e6
    with serving(Stub()) as ports:
        assert CALLS[transport](address(ports, transport), "any")(content) == content


@both
def test_timeout(transport):
    with serving(Stub(seconds=1.5)) as ports:
        call = CALLS[transport](address(ports, transport), "any", timeout=0.3)
        with pytest.raises(calls.ImageError, match=r"no answer within 0\.3 seconds"):
            call(to_file(photograph(9, 9, 3)))


@both
@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ({"model": "other"}, calls.ClientError, "Servable not found.*--model"),
        ({"version": 7}, calls.ClientError, "not found"),
        ({"label": "beta"}, calls.ImageError, "label: beta"),
    ],
)
def test_a_model_that_is_not_served(ports, transport, choice, error, message):
    call = CALLS[transport](address(ports, transport), **{"model": "denoise_s25", **choice})
    with pytest.raises(error, match=message) as raised:
        call(to_file(photograph(9, 9, 3)))
    assert type(raised.value) is error


def test_another_http_server():
    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(calls.ClientError, match="no answer of TensorFlow Serving"):
            calls.rest_call(f"http://localhost:{server.server_port}", "denoise_s25")(b"")
    finally:
        server.shutdown()
        server.server_close()
