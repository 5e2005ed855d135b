"""People's own images: all of them are trained on, and no others than they are now."""

import os
import shutil

import cv2
import numpy as np
import pytest

from nlrn_tf.data import record_sources
from nlrn_tf.data.record_manifest import load_records
from nlrn_tf.data.record_reading import read_examples
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import write_image
from tests.support.records import build, write_images


def own_images(folder):
    """Five images at three levels, of the kinds that cameras and editors write."""
    grey = np.random.default_rng(0).integers(0, 256, (9, 8), np.uint8)
    colour = np.random.default_rng(1).integers(0, 256, (9, 8, 3), np.uint8)
    opaque = np.dstack([colour, np.full((9, 8), 255, np.uint8)])
    camera = grey.astype(np.uint16) * 16 + 7  # of 12 bits
    camera[0, 0] = 4095
    images = {
        "own/beside.png": grey,
        "own/day/opaque.png": opaque,
        "own/day/deep.png": grey.astype(np.uint16) * 257,
        "own/day/late/camera.tif": camera,
        "own/day/late/colour.bmp": colour,
    }
    for name, image in images.items():
        write_image(folder / name, image)
    return images


def test_all_kinds_at_all_levels_are_data(tmp_path):
    images = own_images(tmp_path / "data")
    records = build(tmp_path / "data", sources=["own"])
    assert records.sources == {"own": 5}
    stored = {
        example["name"].decode(): example["image"][..., 0]
        for example in read_examples(records).as_numpy_iterator()
    }
    assert sorted(stored) == sorted(name.rpartition(".")[0] for name in images)
    grey = images["own/beside.png"]
    np.testing.assert_array_equal(stored["own/beside"], grey)
    np.testing.assert_array_equal(stored["own/day/deep"], grey)
    camera = np.rint(images["own/day/late/camera.tif"] * (255 / 4095))
    np.testing.assert_array_equal(stored["own/day/late/camera"], camera)
    np.testing.assert_array_equal(stored["own/day/opaque"], stored["own/day/late/colour"])
    assert stored["own/day/opaque"].std() > 20


def test_transparent_images_are_refused_by_name(tmp_path):
    write_image(tmp_path / "data" / "own" / "logo.png", np.zeros((9, 8, 4), np.uint8))
    with pytest.raises(NLRNError, match=r"logo\.png: has transparent pixels; flatten it"):
        build(tmp_path / "data", sources=["own"])


@pytest.mark.parametrize(
    ("source", "is_public"), [("BSDS500/train", True), ("BSDS500", True), ("photos", False)]
)
def test_only_a_public_set_that_is_missing_is_offered(tmp_path, source, is_public):
    with pytest.raises(NLRNError, match=f"{source}: no such folder; ") as raised:
        build(tmp_path / "data", sources=[source])
    assert ("prepare_datasets.py" in str(raised.value)) == is_public
    assert is_public or f"folders of images below data_dir={tmp_path}" in str(raised.value)


def test_what_is_skipped_is_told(tmp_path, capsys):
    own_images(tmp_path / "data")
    (tmp_path / "data" / "own" / "notes.txt").write_text("")
    skipped = record_sources.Skipped()
    record_sources.source_images(tmp_path / "data", "own", skipped)
    record_sources.tell_skipped(skipped)
    assert capsys.readouterr().err == "skipped 1: 1 (no image by its name: notes.txt)\n"
    (tmp_path / "data" / "text").mkdir()
    (tmp_path / "data" / "text" / "a.txt").write_text("")
    with pytest.raises(NLRNError, match=r"holds no image .*; skipped 1: .*a\.txt"):
        build(tmp_path / "data", sources=["text"])


@pytest.fixture
def data(tmp_path):
    write_images(tmp_path / "data")
    build(tmp_path / "data")
    return tmp_path / "data"


def replace(path):
    """Another image of the same size in bytes and the same time of change."""
    times = os.stat(path)
    image = 255 - cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), image)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("is_of_before", [False, True], ids=["with list", "records of before"])
def test_images_that_were_replaced_are_not_trained_on_in_silence(data, is_of_before):
    if is_of_before:
        (data.parent / "records" / record_sources.SOURCES).unlink()
    build(data)
    replace(data / "grey" / "part" / "g0.bmp")
    replace(data / "colour" / "c3.png")
    with pytest.raises(NLRNError) as raised:
        build(data)
    assert str(raised.value) == (
        f"{data.parent}/records: was made from other images: 2 have been replaced or renamed since "
        "(c3.png, g0.bmp); use another records folder, or delete this one"
    )
    (data / "colour" / "c3.png").rename(data / "colour" / "new.png")
    with pytest.raises(NLRNError, match=r"\(new\.png, g0\.bmp\)"):
        build(data)


def test_images_that_were_only_touched_or_copied_are_the_same(data, monkeypatch):
    before = load_records(data.parent / "records")
    os.utime(data / "colour" / "c1.png")
    shutil.copytree(data, data.parent / "copy")
    shutil.rmtree(data)
    (data.parent / "copy").rename(data)
    assert build(data) == before

    def read(path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(record_sources.pooch, "file_hash", read)
    assert build(data) == before


def test_a_data_set_that_is_gone_needs_no_comparison(data):
    before = load_records(data.parent / "records")
    shutil.rmtree(data)
    assert build(data) == before
