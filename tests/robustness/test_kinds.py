"""A folder with one file of every kind: what is said at the end is the whole truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import write_image
from nlrn_tf.restoration import files
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.restoration.settings import OutputSettings
from tests.support.image_files import by_opencv, files_of, jpeg_of_camera
from tests.support.restoration import identity

ROOT = Path(__file__).resolve().parents[2]
FAILED = {"empty.png": "it begins as no PNG", "cut.png": "its end is missing"}
SKIPPED = {
    "hidden": [".hidden.png", ".thumbnails"],
    "link to a folder, give it as an input itself": ["linked"],
    "link that leads nowhere": ["gone.jpg"],
    "neither file nor folder": ["pipe.png"],
    "no image by its name": ["movie.mp4", "notes.txt"],
}


@pytest.fixture
def folder(tmp_path):
    """The folder, and the names of what can be restored."""
    here = tmp_path / "in"
    (here / "deeper" / "still").mkdir(parents=True)
    (here / ".thumbnails").mkdir()
    sound = {"photo.jpg": jpeg_of_camera(), "photo.png": by_opencv(".png", 3)}
    for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp"):
        for number, content in enumerate(files_of(suffix)):
            sound[f"deeper/{suffix[1:]}{number}{suffix}"] = content
    sound["deeper/still/UPPER.PNG"] = by_opencv(".png", 1)
    for name, content in sound.items():
        (here / name).write_bytes(content)
    (here / "empty.png").write_bytes(b"")
    (here / "cut.png").write_bytes(by_opencv(".png", 3)[:300])
    (here / ".hidden.png").write_bytes(by_opencv(".png", 3))
    for name in ("notes.txt", "movie.mp4"):
        (here / "deeper" / name).write_text("no image")
    (here / "linked").symlink_to(tmp_path)
    (here / "link.png").symlink_to(here / "photo.png")
    (here / "gone.jpg").symlink_to(tmp_path / "gone.jpg")
    os.mkfifo(here / "deeper" / "pipe.png")
    return tmp_path, [*sound, "link.png"]


def check_skipped(line):
    number = sum(map(len, SKIPPED.values()))
    told = dict(re.findall(r"\d+ \((.*?): (.*?)\)", line))
    assert line.startswith(f"skipped {number}: ")
    assert {reason: sorted(names.split(", ")) for reason, names in told.items()} == SKIPPED


def check_written(out, names):
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert written == sorted(f"{name}.png" for name in names)


def test_the_closing_lines_tell_the_whole_truth(folder, capsys):
    folder, names = folder
    lines = []

    def restore():
        outputs = OutputSettings(keep_suffix=True, skip_existing=True)
        return files.restore_files(
            Restorer(identity), [folder / "in"], folder / "out", outputs, say=lines.append
        )

    with pytest.raises(NLRNError) as raised:
        restore()
    assert str(raised.value) == (
        f"2 of {len(names) + 2} images could not be restored (named above); "
        f"the other {len(names)} are done"
    )
    errors = capsys.readouterr().err
    for name, words in FAILED.items():
        assert re.search(f"in/{name}: .*{words}", errors)
    check_skipped(lines[-1])
    check_written(folder / "out", names)

    for name in FAILED:
        write_image(folder / "in" / name, np.zeros((5, 6), np.uint8))
    assert restore() == 2
    assert f"{len(names)} (its output exists: " in lines[-1]
    check_written(folder / "out", [*names, *FAILED])


@pytest.mark.slow
def test_the_command_ends_with_its_exit_code(folder):
    folder, names = folder
    command = [sys.executable, ROOT / "run_restore.py", folder / "in", "-o", folder / "out"]
    options = ["--keep_suffix", "--keep_metadata", "--weights=denoise_lite"]
    done = subprocess.run(
        [*map(str, command), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"run_restore.py: 2 of {len(names) + 2} images could not be restored")
    check_skipped(done.stdout.splitlines()[-1])
    check_written(folder / "out", names)
    with PIL.Image.open(folder / "out" / "photo.jpg.png") as image:
        assert image.getexif()[0x10F] == "A camera"
