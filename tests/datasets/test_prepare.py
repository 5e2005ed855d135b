"""Getting data sets, from a local web server and from local files."""

import functools
import hashlib
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.datasets.prepare import prepare, report
from nlrn_tf.datasets.sources import ImageSet, check_set, choose_sets, pixel_checksum, public_sets
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, write_image

SCRIPT = Path(__file__).parents[2] / "data_tools" / "prepare_datasets.py"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def published(tmp_path):
    """Files as published: three JPEG photos, and two drawings as .bmp."""
    random = np.random.default_rng(0)
    folder = tmp_path / "published"
    for name in "abc":
        write_image(folder / f"{name}.jpg", random.integers(0, 256, (20, 30, 3), np.uint8))
    write_image(folder / "d.bmp", random.integers(0, 256, (9, 8, 3), np.uint8))
    write_image(folder / "e.bmp", random.integers(0, 256, (9, 8), np.uint8))
    return folder


@pytest.fixture
def sets(published):
    """The sets "photos/train" (checksums of files) and "drawings" (of pixels) on a web server."""
    handler = functools.partial(QuietHandler, directory=str(published))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        files = {
            name: hashlib.sha256((published / f"{name}.jpg").read_bytes()).hexdigest()
            for name in "abc"
        }
        pixels = {name: pixel_checksum(published / f"{name}.bmp") for name in "de"}
        yield [
            ImageSet("photos/train", "https://photos", (f"{url}/{{name}}.jpg",), "file", files),
            ImageSet(
                "drawings",
                "https://drawings",
                (f"{url}/{{name}}.png", f"{url}/{{name}}.bmp"),
                "pixels",
                pixels,
            ),
        ]
        server.shutdown()


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def run(data_dir, sets, from_folder=None):
    report(data_dir, sets, *prepare(data_dir, sets, from_folder))


ALL = ["drawings/d.bmp", "drawings/e.bmp", *(f"photos/train/{name}.jpg" for name in "abc")]


def test_downloads_verifies_and_repeats_nothing(sets, published, tmp_path):
    data = tmp_path / "data"
    run(data, sets)
    assert names(data) == ALL
    for path in data.rglob("*.*"):
        assert path.read_bytes() == (published / path.name).read_bytes()
    for path in published.iterdir():
        path.unlink()  # nothing is asked of the server again
    run(data, sets)


def test_a_second_run_gets_only_what_is_missing(sets, tmp_path):
    data = tmp_path / "data"
    run(data, sets)
    (data / "photos/train/b.jpg").unlink()
    kept = (data / "photos/train/a.jpg").stat().st_mtime_ns
    run(data, sets)
    assert names(data) == ALL
    assert (data / "photos/train/a.jpg").stat().st_mtime_ns == kept


def test_what_cannot_be_downloaded_is_named_and_the_rest_is_kept(sets, published, tmp_path, capsys):
    (published / "b.jpg").unlink()
    (published / "e.bmp").write_bytes((published / "d.bmp").read_bytes())
    data = tmp_path / "data"
    with pytest.raises(NLRNError) as error:
        run(data, sets)
    message = str(error.value)
    assert "photos/train lacks 1 of 3 images (b)" in message
    assert "/b.jpg: HTTP status 404: get them from https://photos and use `" in message
    assert "/e.bmp: is not the published image" in message
    assert "\n" not in message
    assert names(data) == ["drawings/d.bmp", "photos/train/a.jpg", "photos/train/c.jpg"]
    assert "photos/train" in capsys.readouterr().out  # the table


def test_an_unreachable_server_ends_at_once(sets, tmp_path):
    closed = [ImageSet("x", "https://x", ("http://127.0.0.1:9/{name}.png",), "file", {"a": "0"})]
    with pytest.raises(NLRNError, match=r"127\.0\.0\.1:9/a\.png: cannot be reached .*--from"):
        prepare(tmp_path / "data", closed)
    assert names(tmp_path / "data") == []


def test_takes_local_files_by_content_whatever_their_names(sets, published, tmp_path):
    mine = tmp_path / "mine"
    for name, new in {"a": "x/one.jpg", "b": "x/y/two.JPG", "c": "a.jpg"}.items():
        (mine / new).parent.mkdir(parents=True, exist_ok=True)
        (mine / new).write_bytes((published / f"{name}.jpg").read_bytes())
    write_image(mine / "drawing_GT.png", read_image(published / "d.bmp"))
    (mine / "broken.png").write_bytes(b"no image")
    (mine / "text.txt").write_text("no image")
    data = tmp_path / "data"
    with pytest.raises(NLRNError, match=r"drawings lacks 1 of 2 images \(e\)"):
        run(data, sets, mine)
    assert names(data) == ["drawings/d.png", *ALL[2:]]
    assert (data / "photos/train/a.jpg").read_bytes() == (published / "a.jpg").read_bytes()
    write_image(mine / "late.webp", np.repeat(read_image(published / "e.bmp")[..., None], 3, 2))
    with pytest.raises(NLRNError, match="drawings lacks 1"):  # colour is not the same as grey
        run(data, sets, mine)
    write_image(mine / "late.tif", read_image(published / "e.bmp"))
    run(data, sets, mine)
    assert names(data) == ["drawings/d.png", "drawings/e.tif", *ALL[2:]]
    with pytest.raises(NLRNError, match="nowhere: no such folder"):
        prepare(tmp_path / "other", sets, tmp_path / "nowhere")


def test_wrong_files_are_named_and_left_alone(sets, published, tmp_path):
    data = tmp_path / "data"
    run(data, sets)
    wrong = data / "drawings" / "d.bmp"
    write_image(wrong, np.zeros((9, 8, 3), np.uint8))
    content = wrong.read_bytes()
    with pytest.raises(NLRNError, match=r"drawings/d\.bmp differs from the published"):
        run(data, sets)
    assert wrong.read_bytes() == content


def test_choosing_sets():
    sets = public_sets()
    assert [one.folder for one in choose_sets(["BSDS500", "Set5"], sets)] == [
        "BSDS500/train",
        "BSDS500/val",
        "BSDS500/test",
        "Set5",
    ]
    with pytest.raises(NLRNError, match=r"data set 'Set' is unknown; .*Set12"):
        choose_sets(["Set"], sets)


def test_the_public_sets_have_their_published_sizes():
    sizes = {name: len(one.checksums) for name, one in public_sets().items()}
    assert sizes == {
        "BSDS500/train": 200,
        "BSDS500/val": 100,
        "BSDS500/test": 200,
        "T91": 91,
        "Set12": 12,
        "BSD68": 68,
        "Set5": 5,
        "Set14": 14,
        "Urban100": 100,
    }
    for one in public_sets().values():
        # T91 has one image twice.
        assert len(set(one.checksums.values())) == len(one.checksums) - (one.folder == "T91")
        assert all(len(checksum) == 64 for checksum in one.checksums.values())
        assert all(url.startswith("https://") and "{name}" in url for url in one.urls)


@pytest.mark.parametrize("name", ["BSDS500/val", "T91", "Set12", "BSD68", "Set5", "Set14"])
def test_the_checksums_are_those_of_the_real_sets(name, data_dir):
    state = check_set(data_dir, public_sets()[name])
    assert (state.missing, state.wrong) == ([], [])


def test_the_script(data_dir, tmp_path):
    def script(*flags):
        command = [sys.executable, str(SCRIPT), f"--data_dir={tmp_path}", *flags]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    done = script("--sets=Set5", f"--from={data_dir / 'Set5'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path) == names_of_set5()
    lacking = script("--sets=Set5,Set12", f"--from={data_dir / 'Set5'}")
    assert lacking.returncode == 1
    assert lacking.stderr.count("\n") == 1
    assert "Set12 lacks 12 of 12 images (01, 02, ...): get them from https://" in lacking.stderr
    assert script("--sets=Set5").returncode == 0
    assert script("--sets=Set6").returncode == 1
    assert script("--set=Set5").returncode == 2
    assert script("Set5").returncode == 2


def names_of_set5():
    return [f"Set5/{name}_GT.png" for name in ("baby", "bird", "butterfly", "head", "woman")]
