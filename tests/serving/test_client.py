"""The client as a program, against TensorFlow Serving's APIs in front of a real SavedModel."""

import os
import shlex
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from nlrn_tf.restoration.restorer import restore
from serving.stand_in.endpoint import serving
from tests.support.export import from_file, photograph, to_file
from tests.support.serving import ROOT, SERVING, Stub, address, unused_port

both = pytest.mark.parametrize("transport", ["rest", "grpc"])


def run(*arguments, script=SERVING / "client.py", **options):
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def complaint(result, code):
    """The one line of a failed run."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("client.py: ")]
    assert len(lines) == 1
    return lines[0]


def test_folder(tmp_path, ports, denoiser):
    images = {
        "a.png": photograph(20, 21, 3),
        "b/c.png": photograph(11, 8, 1),
        "b/d.PNG": photograph(12, 30, 3),
    }
    for name, image in images.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(to_file(image))
    (tmp_path / "in" / ".hidden.png").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_bytes(b"")
    output = tmp_path / "in" / "restored"  # inside the input, and not taken as input
    arguments = [tmp_path / "in", "-o", output, f"--server={address(ports, 'rest')}"]
    for more in (["--concurrency=3"], ["--overwrite"], ["--skip_existing"]):
        result = run(*arguments, *more)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
    assert "0 images restored" in result.stdout
    written = {str(path.relative_to(output)): path for path in output.rglob("*") if path.is_file()}
    assert sorted(written) == ["a.png", "b/c.png", "b/d.png"]
    for name, image in images.items():
        result = from_file(written[name.replace(".PNG", ".png")].read_bytes())
        assert np.abs(result.astype(int) - restore(denoiser[0], image)).max() <= 1
    assert "exists; give --overwrite" in complaint(run(*arguments), 1)


@both
def test_half_of_a_folder_is_damaged(tmp_path, ports, transport):
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c", "d\x1b[2J", "e", "f"):
        content = to_file(photograph(20, 21, 3))
        (tmp_path / "in" / f"{name}.png").write_bytes(content[: 80 if name[0] in "bdf" else None])
    result = run(
        *(tmp_path / "in", "-o", tmp_path / "out", f"--transport={transport}"),
        *(f"--server={address(ports, transport)}", "--concurrency=2"),
    )
    assert "3 of 6 images could not be restored" in complaint(result, 1)
    assert "\x1b" not in result.stderr + result.stdout
    for name in ("b", r"d\x1b[2J", "f"):
        assert sum(f"{name}.png: refused" in line for line in result.stderr.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png", "e.png"]


@both
def test_a_server_that_never_comes(tmp_path, transport):
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(to_file(photograph(9, 9, 3)))
    server = f"localhost:{unused_port()}"
    arguments = [tmp_path, "-o", tmp_path / "out", f"--transport={transport}", "--retries=1"]
    result = run(*arguments, f"--server={server}", timeout=60)
    assert f"{server}: not available after 2 attempts" in complaint(result, 1)
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(tmp_path, ports):
    (tmp_path / "in.png").write_bytes(to_file(photograph(9, 9, 3)))
    (tmp_path / "file").write_bytes(b"")
    server = f"--server={address(ports, 'rest')}"
    result = run(tmp_path / "in.png", "-o", tmp_path / "file" / "out.png", server)
    assert "out.png: cannot be written" in complaint(result, 1)


def test_ctrl_c_does_not_wait_for_the_server(tmp_path):
    (tmp_path / "in.png").write_bytes(to_file(photograph(9, 9, 3)))
    stub = Stub(seconds=30)
    with serving(stub) as ports:
        command = [sys.executable, SERVING / "client.py", tmp_path / "in.png"]
        command += ["-o", tmp_path / "out.png", f"--server={address(ports, 'rest')}"]
        # Programs inherit an ignored SIGINT, which the tests have in the background of a shell.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        finally:
            signal.signal(signal.SIGINT, before)
        assert stub.asked.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
        assert process.stderr.read() == "client.py: interrupted\n"
        process.stderr.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.png", "-o", "x.png"], 1, "missing.png: no such file"),
        (["in.bmp", "-o", "x.png"], 1, "in.bmp: the server takes PNG and JPEG"),
        (["in.png", "-o", "x.jpg"], 1, "x.jpg: the result is a PNG file"),
        (["in.png", "-o", "in.png", "--overwrite"], 1, "would overwrite an input"),
        (["twins", "-o", "out"], 1, "would both become"),
        (["twins", "-o", "out.png"], 1, "a folder of images needs a folder"),
        (["empty", "-o", "out"], 1, "holds no image"),
        (["in.png"], 2, "--output"),
        ([], 2, "--output"),
        (["in.png", "in.bmp", "-o", "x.png"], 2, "one file or folder"),
        (["in.png", "-o", "x.png", "--label=a", "--version=1"], 2, "label"),
        (["in.png", "-o", "x.png", "--overwrite", "--skip_existing"], 2, "skip_existing"),
        (["in.png", "-o", "x.png", "--transport=carrier_pigeon"], 2, "transport"),
        (["in.png", "-o", "x.png", "--scale=1"], 2, "scale"),
        (["in.png", "-o", "x.png", "--nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, code, message):
    (tmp_path / "twins").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("in.png", "in.bmp", "twins/a.png", "twins/a.jpg"):
        cv2.imwrite(str(tmp_path / name), photograph(9, 9, 3))
    before = sorted(tmp_path.rglob("*"))
    assert message in complaint(run(*arguments, cwd=tmp_path), code)
    assert sorted(tmp_path.rglob("*")) == before


def test_works_without_the_project_and_tensorflow(tmp_path, ports):
    """REST does, on a machine that has only the two files; gRPC says what is missing."""
    for name in ("client.py", "calls.py"):
        shutil.copy(SERVING / name, tmp_path)
    (tmp_path / "in.png").write_bytes(to_file(photograph(9, 9, 3)))
    (tmp_path / "alone.py").write_text(
        "import sys, runpy\n"
        "for name in ('tensorflow', 'tensorflow_serving', 'grpc', 'nlrn_tf', 'numpy', 'cv2'):\n"
        "    sys.modules[name] = None  # importing it raises ImportError\n"
        "sys.argv[0] = 'client.py'\n"
        "runpy.run_path('client.py', run_name='__main__')\n"
    )
    common = {"script": tmp_path / "alone.py", "cwd": tmp_path}
    server = f"--server={address(ports, 'rest')}"
    result = run("in.png", "-o", "out.png", server, **common)
    assert result.returncode == 0, result.stderr
    assert from_file((tmp_path / "out.png").read_bytes()).shape == (9, 9, 3)
    result = run("in.png", "-o", "other.png", "--transport=grpc", **common)
    assert "pip install tensorflow-serving-api" in complaint(result, 1)


def test_help_lists_every_flag():
    result = run("--help", cwd=ROOT)
    assert result.returncode == 0, result.stderr
    for name in (
        *("-o,--output", "--transport", "--server", "--model", "--label", "--version", "--scale"),
        *("--concurrency", "--timeout", "--retries", "overwrite", "skip_existing"),
    ):
        assert name in result.stdout


def test_output_that_nobody_reads_loses_nothing(tmp_path, ports):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "写真.png").write_bytes(to_file(photograph(9, 9, 3)))
    arguments = [tmp_path / "in", "-o", tmp_path / "写", f"--server={address(ports, 'rest')}"]
    command = shlex.join([sys.executable, *map(str, (SERVING / "client.py", *arguments))])
    for redirection, shown in [("| true", ""), ("| cat", r"restored: ")]:
        done = subprocess.run(
            ["bash", "-c", f"{command} --overwrite {redirection}; exit ${{PIPESTATUS[0]}}"],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert shown in done.stdout
        assert (tmp_path / "写" / "写真.png").exists()
    assert done.stdout.rstrip().endswith(r"\u5199")
