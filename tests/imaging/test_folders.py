"""What a folder holds: each of its entries is taken or told."""

import os

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging import folders
from nlrn_tf.imaging.files import write_image
from nlrn_tf.imaging.folders import Skipped, images_below


@pytest.fixture
def folder(tmp_path):
    """Three images, and an entry of each kind that is none."""
    here = tmp_path / "photos"
    for name in ("a.png", "day/deep/b.TIFF", "day/c.jpg", ".hidden.png", ".cache/d.png"):
        write_image(here / name, np.zeros((3, 3), np.uint8))
    write_image(tmp_path / "elsewhere" / "e.png", np.zeros((3, 3), np.uint8))
    (here / "notes.txt").write_text("no image")
    (here / "day" / "linked").symlink_to(tmp_path / "elsewhere")
    (here / "day" / "circle").symlink_to(here)
    (here / "gone.png").symlink_to(tmp_path / "missing.png")
    (here / "link.png").symlink_to(tmp_path / "elsewhere" / "e.png")
    os.mkfifo(here / "pipe.png")
    return here


def names(paths):
    return sorted(path.name for path in paths)


def test_every_entry_is_taken_or_told(folder):
    skipped = Skipped()
    found = images_below(folder, skipped)
    assert names(found) == ["a.png", "b.TIFF", "c.jpg", "link.png"]
    expected = {
        folders.HIDDEN: [".cache", ".hidden.png"],
        folders.LINK_TO_FOLDER: ["circle", "linked"],
        folders.BROKEN_LINK: ["gone.png"],
        folders.NO_FILE: ["pipe.png"],
        folders.NO_IMAGE: ["notes.txt"],
    }
    assert {reason: names(skipped.of(reason)) for reason in expected} == expected
    line = skipped.told()
    assert line.startswith("skipped 7: ")
    for reason, which in expected.items():
        assert f"{len(which)} ({reason}: " in line
        assert all(name in line for name in which)


def test_a_folder_that_cannot_be_read_is_told(folder, monkeypatch):
    def scandir(path, real=os.scandir):
        if os.path.basename(path) == "deep":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    skipped = Skipped()
    assert "b.TIFF" not in names(images_below(folder, skipped))
    assert skipped.of(folders.UNREADABLE) == [folder / "day" / "deep"]
    with pytest.raises(NLRNError, match=r"deep: cannot be read \(Permission denied\)"):
        images_below(folder / "day" / "deep", skipped)


def test_the_output_is_not_looked_into(folder):
    skipped = Skipped()
    found = images_below(folder, skipped, output=folder / "day")
    assert names(found) == ["a.png", "link.png"]
    assert "day" not in skipped.told()


def test_nothing_skipped_is_nothing_told(tmp_path):
    skipped = Skipped()
    assert images_below(tmp_path, skipped) == []
    assert skipped.told() is None
    with pytest.raises(NLRNError, match="missing: no such folder"):
        images_below(tmp_path / "missing", skipped)
