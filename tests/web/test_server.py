import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import write_image
from nlrn_tf.web import server

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_free_port(monkeypatch):
    with server.listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(NLRNError, match=f"host=127.0.0.1 port={port}: cannot be listened on"):
            server.listening("127.0.0.1", port)
        monkeypatch.setattr(server, "FIRST_PORT", port)
        monkeypatch.setattr(server, "LAST_PORT", port + 20)
        with server.listening("127.0.0.1", None) as other:
            assert port < other.getsockname()[1] <= port + 20
        monkeypatch.setattr(server, "LAST_PORT", port)
        with pytest.raises(NLRNError, match=f"port={port}: cannot be listened on"):
            server.listening("127.0.0.1", None)


def test_a_host_that_is_not_ours():
    with pytest.raises(NLRNError, match=r"^host=192\.0\.2\.1 port=0: "):
        server.listening("192.0.2.1", 0)


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_an_address_of_version_6():
    try:
        listener = server.listening("::1", 0)
    except NLRNError:
        pytest.skip("this machine has no address ::1")
    with listener:
        assert listener.family == socket.AF_INET6


def test_the_folder_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with server.working_folder() as folder:
        (folder / "photograph.png").touch()
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert folder.stat().st_mode & 0o077 == 0  # of no use to other users
    assert not list(tmp_path.iterdir())
    assert "GRADIO_TEMP_DIR" not in os.environ


_WITHOUT_GRADIO = """
import sys
sys.modules["gradio"] = None
sys.argv = ["run_web.py"]
from nlrn_tf.commands import web
web.run()
"""


def test_without_gradio_one_line_names_the_extra():
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_GRADIO],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "pip install 'nlrn-tf[web]'" in line


@pytest.mark.parametrize(
    ("flag", "code", "complaint"),
    [
        ("--port=99999", 2, "--port=99999 is not allowed: give a number from 0 to 65535"),
        ("--weights=missing.keras", 1, "missing.keras: no such weights file"),
        ("--host=192.0.2.1", 1, "--host=192.0.2.1 --port=7959: cannot be listened on"),
    ],
)
def test_what_is_wrong_is_said_before_the_page_is_served(flag, code, complaint):
    pytest.importorskip("gradio", reason="Gradio is not installed: no page is served")
    command = [sys.executable, ROOT / "run_web.py", flag]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    [line] = done.stderr.splitlines()
    assert complaint in line


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(ending, tmp_path):
    with started(tmp_path) as (page, _):
        assert len(list(tmp_path.glob(".page*"))) == 1
        page.send_signal(ending)
        rest, complaints = page.communicate(timeout=120)
    assert (page.returncode, rest, complaints) == (0, "", "")
    assert not list(tmp_path.glob(".page*"))


@pytest.mark.slow
def test_it_ends_while_an_image_is_restored(tmp_path):
    from gradio_client import Client, handle_file
    from gradio_client.utils import Status

    write_image(tmp_path / "large.png", np.zeros((2000, 2000), np.uint8))
    with started(tmp_path) as (page, address):
        client = Client(address, verbose=False, analytics_enabled=False)
        controls = ("Remove noise", 2, "Best", "Set it", 25, 100, False, False)
        file = handle_file(str(tmp_path / "large.png"))
        job = client.submit(file, *controls, api_name="/restore")
        while job.status().code != Status.PROGRESS:
            time.sleep(0.05)
        page.send_signal(signal.SIGINT)
        rest, complaints = page.communicate(timeout=120)
    assert (page.returncode, rest, complaints) == (0, "", "")
    assert not list(tmp_path.glob(".page*"))


@contextlib.contextmanager
def started(tmp_path):
    """The process of a page whose files are in a folder, and its address."""
    command = [sys.executable, ROOT / "run_web.py", "--port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, **pipes) as page:
        try:
            yield page, re.search(r"http://127\.0\.0\.1:\d+", page.stdout.readline())[0]
        finally:
            page.kill()
