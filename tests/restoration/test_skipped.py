"""What is not restored is told, and nothing is restored into the place of something else."""

import io
import os

import numpy as np
import PIL.Image
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.restoration import files
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.restoration.settings import OutputSettings
from tests.support.image_files import jpeg_of_camera
from tests.support.restoration import identity


def image(level):
    return np.full((6, 7), level, np.uint8)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for level, name in enumerate(["a.jpg", "a.png", "b/c.png", "b/c.bmp", "b/c.tif", "d.png"]):
        write_image(folder / name, image(20 * level))
    return folder


def restored(inputs, output, **outputs):
    lines = []
    restorer = Restorer(identity)
    count = files.restore_files(
        restorer, inputs, output, OutputSettings(**outputs), say=lines.append
    )
    return count, lines


def test_all_inputs_that_share_an_output_are_named_with_a_way_out(tmp_path, photos):
    out = tmp_path / "out"
    with pytest.raises(NLRNError) as raised:
        restored([photos], out)
    message = str(raised.value)
    assert f"{photos}/a.jpg and {photos}/a.png would both become {out}/a.png" in message
    three = ", ".join(f"{photos}/b/c{suffix}" for suffix in (".bmp", ".png", ".tif"))
    assert f"{three} would all become {out}/b/c.png" in message
    assert "give keep_suffix=True (a.jpg becomes a.jpg.png)" in message
    assert not out.exists()


def test_the_way_out(tmp_path, photos):
    out = tmp_path / "out"
    assert restored([photos], out, keep_suffix=True)[0] == 6
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    names = ["a.jpg", "a.png", "b/c.bmp", "b/c.png", "b/c.tif", "d.png"]
    assert written == [f"{name}.png" for name in names]
    for name in names:
        np.testing.assert_array_equal(read_image(out / f"{name}.png"), read_image(photos / name))


def test_a_way_out_that_is_none_is_not_offered(tmp_path, photos):
    for name in ("one", "two"):
        write_image(tmp_path / name / "x.png", image(3))
    with pytest.raises(NLRNError) as raised:
        restored([tmp_path / "one" / "x.png", tmp_path / "two" / "x.png"], tmp_path / "out")
    assert "keep_suffix" not in str(raised.value)


def test_what_was_skipped_is_the_last_line(tmp_path, photos):
    (photos / "notes.txt").write_text("")
    (photos / "linked").symlink_to(tmp_path)
    count, lines = restored([photos], tmp_path / "out", keep_suffix=True)
    assert count == 6
    assert lines == [
        "skipped 2: 1 (link to a folder, give it as an input itself: linked); "
        "1 (no image by its name: notes.txt)"
    ]
    count, lines = restored([photos], tmp_path / "out", keep_suffix=True, skip_existing=True)
    assert count == 0
    assert "6 (its output exists: a.jpg, a.png, c.bmp, ...)" in lines[-1]


def test_a_folder_that_cannot_be_read_fails_the_run_but_not_the_others(
    tmp_path, photos, monkeypatch
):
    def scandir(path, real=os.scandir):
        if os.path.basename(path) == "b":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    (photos / "a.jpg").write_bytes(b"")
    monkeypatch.setattr(os, "scandir", scandir)
    lines = []
    outputs = OutputSettings(keep_suffix=True)
    with pytest.raises(NLRNError) as raised:
        files.restore_files(
            Restorer(identity), [photos], tmp_path / "out", outputs, say=lines.append
        )
    assert str(raised.value) == (
        "1 of 3 images could not be restored (named above); the other 2 are done; "
        f"folders that cannot be read: {photos}/b"
    )
    assert "1 (folder that cannot be read: b)" in lines[-1]
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png.png", "d.png.png"]


@pytest.mark.parametrize("keep", [True, False])
def test_exif_only_where_it_is_wanted_resolution_always(tmp_path, keep):
    photo = tmp_path / "in" / "photo.jpg"
    photo.parent.mkdir()
    with PIL.Image.open(io.BytesIO(jpeg_of_camera())) as camera:
        camera.save(photo, exif=camera.getexif(), dpi=(200, 200))
    for suffix in (".png", ".bmp"):
        _, lines = restored([photo], tmp_path / f"out{suffix}", keep_metadata=keep)
        with PIL.Image.open(tmp_path / f"out{suffix}") as result:
            assert result.info["dpi"] == pytest.approx((200, 200), abs=0.013)
            assert result.getexif().get(0x10F) == (
                "A camera" if keep and suffix == ".png" else None
            )
        told = [f"{photo}: .bmp does not keep its EXIF"] if keep and suffix == ".bmp" else []
        assert lines == told
