"""The page without a browser: through its programming interface, in this process."""

import concurrent.futures
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.settings import RestorationSettings
from tests.support.web import served

pytest.importorskip("gradio", reason="Gradio is not installed: the page is not tested")

CONTROLS = ("Remove noise", 2, "Best", "Measure it", 25, 100, False, False)


reached = None  # addresses, while they are noted


def note(event, arguments):
    if reached is not None and event in ("socket.connect", "socket.getaddrinfo"):
        reached.append(arguments[1] if event == "socket.connect" else arguments)


sys.addaudithook(note)  # it stays until the process ends


@pytest.fixture(scope="module")
def page(small_weights):
    global reached
    reached = []
    try:
        with served(weights=small_weights, max_megabytes=1, max_waiting=2) as address:
            yield address
        assert {place[0] for place in reached if isinstance(place, tuple)} == {"127.0.0.1"}
    finally:
        reached = None


@pytest.fixture
def visitor(page, tmp_path):
    return new_visitor(page, tmp_path / "downloads")


def new_visitor(page, folder):
    import gradio_client

    return gradio_client.Client(page, verbose=False, analytics_enabled=False, download_files=folder)


def restored(visitor, path, controls=CONTROLS):
    from gradio_client import handle_file

    return visitor.predict(handle_file(str(path)), *controls, api_name="/restore")


def path_of(shown):
    """Of a file that a client has downloaded."""
    return Path(shown["value"] if isinstance(shown, dict) else shown)


def get(address):
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, dict(answer.headers.items()), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers.items()), error.read()


def test_two_visitors_at_once(page, tmp_path, small_weights):
    names = ("grey", "größe")
    for number, name in enumerate(names):
        write_image(tmp_path / f"{name}.png", data.astronaut()[40:90, 180:220, number])
    visitors = [new_visitor(page, tmp_path / name) for name in names]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        paths = [tmp_path / f"{name}.png" for name in names]
        results = list(pool.map(restored, visitors, paths))
    settings = RestorationSettings(weights=small_weights, noise_sigma="auto")
    for name, (slider, told, download) in zip(names, results, strict=True):
        expected = tmp_path / "expected" / f"{name}.png"
        restore_files(settings, [tmp_path / f"{name}.png"], expected, say=lambda _: None)
        assert path_of(download).name == f"{name}.png"
        assert path_of(download).read_bytes() == expected.read_bytes()
        before, after = (read_image(path) for path in slider)
        np.testing.assert_array_equal(before, read_image(tmp_path / f"{name}.png"))
        np.testing.assert_array_equal(after, read_image(expected))
        assert "Noise level about" in told


def test_errors_are_sentences(visitor, tmp_path):
    from gradio_client.exceptions import AppError

    (tmp_path / "no <b>.png").write_bytes(b"not an image")
    with pytest.raises(AppError) as raised:
        restored(visitor, tmp_path / "no <b>.png")
    assert "not an image that can be decoded" in str(raised.value)
    assert "<b>" not in str(raised.value)
    assert "Traceback" not in str(raised.value)
    with pytest.raises(AppError, match="Drop a photograph first"):
        visitor.predict(None, *CONTROLS, api_name="/restore")


def test_only_so_many_wait(page, work, tmp_path):
    from gradio_client import handle_file
    from gradio_client.utils import QueueError, Status

    write_image(tmp_path / "a.png", data.camera()[:20, :20])
    arguments = (handle_file(str(tmp_path / "a.png")), *CONTROLS)
    visitors = [new_visitor(page, tmp_path / str(number)) for number in range(4)]
    jobs = [visitors[0].submit(*arguments, api_name="/restore")]
    work.at_work.acquire()  # its turn has come
    for visitor in visitors[1:3]:
        jobs.append(visitor.submit(*arguments, api_name="/restore"))
        while jobs[-1].status().code != Status.IN_QUEUE:
            time.sleep(0.02)
    with pytest.raises(QueueError, match="full"):
        visitors[3].predict(*arguments, api_name="/restore")
    work.released.set()
    assert [bool(job.result()) for job in jobs] == [True] * 3
    assert work.most == 1


def test_a_value_that_no_control_has(visitor, tmp_path):
    from gradio_client.exceptions import AppError

    write_image(tmp_path / "a.png", data.camera()[:20, :20])
    with pytest.raises(AppError):
        restored(visitor, tmp_path / "a.png", (*CONTROLS[:5], 400, False, False))


def test_large_files_are_refused(page):
    boundary = b"x" * 20
    content = os.urandom(1_100_000)
    head = b"Content-Disposition: form-data; name=files; filename=a.png"
    body = b"--%s\r\n%s\r\n\r\n%s\r\n--%s--\r\n" % (boundary, head, content, boundary)
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    request = urllib.request.Request(
        f"{page}/gradio_api/upload", data=body, headers={"Content-Type": kind}
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=60)
    with raised.value as error:
        assert error.code == 413


def test_the_page_fetches_nothing_from_elsewhere(page):
    status, headers, content = get(page)
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert b"fonts.googleapis.com" not in content
    assert b'"analytics_enabled":false' in content.replace(b" ", b"").replace(b"False", b"false")


def test_the_server_fetches_nothing_either(page):
    for asked in (
        "file=http://192.0.2.1/x.png",
        "file=https%3A//192.0.2.1/x.png",
        "proxy=http://x",
    ):
        assert get(f"{page}/gradio_api/{asked}")[0] == 404


def test_files_of_the_machine_are_not_served(page, tmp_path):
    (tmp_path / "diary.txt").write_text("a secret")
    for path in (tmp_path / "diary.txt", Path("/etc/passwd")):
        status, _, content = get(f"{page}/gradio_api/file={urllib.parse.quote(str(path))}")
        assert status in (403, 404)
        assert b"a secret" not in content
