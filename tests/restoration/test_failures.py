"""What goes wrong with one image of several."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from nlrn_tf import machine
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.restoration import files
from nlrn_tf.restoration.memory import check_memory, memory_to_restore
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.restoration.settings import InputSettings
from tests.support.damaged import closed_half

ROOT = Path(__file__).resolve().parents[2]


def picture(*shape):
    return np.random.default_rng(4).integers(0, 256, shape, np.uint8)


@pytest.fixture
def three(tmp_path):
    """A folder whose second image has other numbers of pixels than the others."""
    for name, shape in (("a.png", (8, 8)), ("b.png", (9, 9)), ("c.png", (8, 8))):
        write_image(tmp_path / "in" / name, picture(*shape))
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "error", [TypeError("unhashable"), cv2.error("assertion failed"), MemoryError(), KeyError(7)]
)
def test_any_error_with_one_image_is_its_own(three, capsys, error):
    def model(images):
        if images.shape[1] == 9:
            raise error
        return images

    with pytest.raises(NLRNError, match="1 of 3"):
        files.restore_files(Restorer(model), [three / "in"], three / "out")
    assert names(three / "out") == ["a.png", "c.png"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(str(three / "in" / "b.png"))
    if not isinstance(error, MemoryError):
        assert f"({type(error).__name__}: " in line


def test_an_interrupt_is_no_failure_of_an_image(three):
    def model(images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.restore_files(Restorer(model), [three / "in"], three / "out")


def test_damaged_images_are_restored_when_accepted(three, capsys):
    large = np.tile(picture(4, 4, 3), (32, 32, 1))
    sound = cv2.imencode(".jpg", large)[1].tobytes()
    (three / "in" / "half.jpg").write_bytes(closed_half(sound))
    said = []
    count = files.restore_files(
        *(Restorer(lambda images: images), [three / "in"], three / "out"),
        reading=InputSettings(accept_damaged=True),
        say=said.append,
    )
    assert count == 4
    (line,) = said
    assert line.startswith(f"{three / 'in' / 'half.jpg'}: restored as far as it is there: Corrupt")
    whole = cv2.imdecode(np.frombuffer(sound, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_image(three / "out" / "half.png")[:40], whole[:40])
    assert capsys.readouterr().err == ""


def test_images_of_too_many_pixels_are_refused(three, capsys):
    with pytest.raises(NLRNError, match="1 of 3"):
        files.restore_files(
            *(Restorer(lambda images: images), [three / "in"], three / "out"),
            reading=InputSettings(max_pixels=80),
        )
    assert "b.png: claims 9 x 9 pixels, more than max_pixels=80" in capsys.readouterr().err
    with pytest.raises(NLRNError, match="max_pixels=0"):
        InputSettings(max_pixels=0)


def test_a_name_that_the_system_refuses_is_told_before_the_work(three, capsys):
    def model(images):
        assert images.shape[1] != 7, "work began"
        return images

    name = "n" * 251
    write_image(three / "in" / f"{name}.png", picture(7, 7))
    outputs = files.OutputSettings(suffix=".webp")
    with pytest.raises(NLRNError, match="1 of 4"):
        files.restore_files(Restorer(model), [three / "in"], three / "out", outputs)
    assert len(names(three / "out")) == 3
    assert f"{name}.webp: cannot be written (File name too long)" in capsys.readouterr().err


@pytest.mark.parametrize("length", [256, 5000])
def test_arguments_that_the_system_refuses(three, length):
    long = "n" * length
    for inputs, output in (
        ([three / f"{long}.png"], three / "x.png"),
        ([three / "in" / "a.png"], three / f"{long}.png"),
        ([three / "in" / "a.png"], three / long / "x.png"),
    ):
        with pytest.raises(NLRNError, match=r"(n|n\.png|x\.png): "):
            files.restore_files(Restorer(lambda images: images), inputs, output)


def test_memory_is_judged_before_the_work(three, monkeypatch, capsys):
    def model(images):
        assert images.shape[1] != 9, "work began"
        return images

    free = memory_to_restore(picture(8, 8))
    monkeypatch.setattr(machine, "available_memory", lambda: free)
    with pytest.raises(NLRNError, match="1 of 3"):
        files.restore_files(Restorer(model), [three / "in"], three / "out")
    assert "b.png: restoring 9 x 9 pixels takes about 0.0 GiB" in capsys.readouterr().err
    monkeypatch.setattr(machine, "available_memory", lambda: None)
    check_memory(np.broadcast_to(np.uint8(0), (10**6, 10**6, 3)))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_estimate_of_memory_is_what_numpy_takes(channels):
    def model(images):
        return images

    model.config = SimpleNamespace(task="denoise", noise_sigma=25.0)
    image = picture(500, 500, channels)
    restorer = Restorer(model, tile_size=128)
    tracemalloc.start()
    restorer(image)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.6 < taken / memory_to_restore(image) < 1.1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_names_that_a_terminal_cannot_print_lose_nothing(tmp_path, encoding):
    for name in ("ü.png", "写真/a.png", "\x1b[31m.png"):
        write_image(tmp_path / "in" / name, picture(8, 8))
    (tmp_path / "in" / "絵.png").write_bytes(b"")
    program = (
        "import sys\n"
        "from nlrn_tf import cli\n"
        "from nlrn_tf.restoration import files\n"
        "class Identity:\n"
        "    scale = None\n"
        "    def __call__(self, pixels, on_progress):\n"
        "        return pixels\n"
        "def main(arguments):\n"
        "    print(arguments[1])\n"
        "    files.restore_files(Identity(), arguments[:1], arguments[1])\n"
        "cli.run(main, takes_arguments=True)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "in", tmp_path / "写真"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    shown = "絵" if encoding == "utf-8" else r"\u7d75"
    assert f"{shown}.png: not an image" in result.stderr.decode(encoding)
    assert b"\x1b" not in result.stderr + result.stdout
    written = {
        str(path.relative_to(tmp_path / "写真")) for path in (tmp_path / "写真").rglob("*.*")
    }
    assert written == {"ü.png", "写真/a.png", "\x1b[31m.png"}
