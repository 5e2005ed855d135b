import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, read_photo, write_image
from nlrn_tf.imaging.photo_files import write_photo
from nlrn_tf.model import NLRN
from nlrn_tf.restoration import files
from nlrn_tf.restoration.choice import check_task
from nlrn_tf.restoration.plan import plan
from nlrn_tf.restoration.settings import RestorationSettings
from nlrn_tf.weights.loading import save_model
from tests.support.restoration import restore_files


def negative(images):
    return 1 - images


def image(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def photos(tmp_path):
    """A folder with grey and colour images, subfolders and other files."""
    folder = tmp_path / "photos"
    write_image(folder / "grey.png", image(20, 30))
    write_image(folder / "trip" / "day 1" / "colour.BMP", image(12, 9, 3))
    write_image(folder / "trip" / "b.tif", image(8, 8))
    write_image(folder / ".thumbnails" / "grey.png", image(4, 4))
    (folder / "notes.txt").write_text("no image")
    return folder


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_file_to_file(tmp_path, photos):
    target = tmp_path / "new" / "result.tiff"
    assert restore_files(negative, [photos / "grey.png"], target) == 1
    np.testing.assert_array_equal(read_image(target), 255 - image(20, 30))


@pytest.mark.parametrize("existing", [True, False])
def test_file_to_folder(tmp_path, photos, existing):
    if existing:
        (tmp_path / "out").mkdir()
    restore_files(negative, [photos / "grey.png"], f"{tmp_path}/out" + "/" * (not existing))
    assert files_below(tmp_path / "out") == ["grey.png"]


def test_folder_to_folder_keeps_the_structure(tmp_path, photos):
    out = tmp_path / "out"
    assert restore_files(negative, [photos], out) == 3
    assert files_below(out) == ["grey.png", "trip/b.png", "trip/day 1/colour.png"]
    restored = read_image(out / "trip" / "day 1" / "colour.png")
    np.testing.assert_array_equal(restored, 255 - image(12, 9, 3))


def test_several_inputs_keep_the_names_of_folders(tmp_path, photos):
    write_image(tmp_path / "single.png", image(5, 5))
    out = tmp_path / "out"
    restore_files(negative, [photos / "trip", tmp_path / "single.png"], out, suffix=".bmp")
    assert files_below(out) == ["single.bmp", "trip/b.bmp", "trip/day 1/colour.bmp"]


def test_output_folder_inside_the_input_is_not_an_input(photos):
    restore_files(negative, [photos], photos / "out")
    assert restore_files(negative, [photos], photos / "out", overwrite=True) == 3
    assert not (photos / "out" / "out").exists()


def identity_for(**config):
    def model(images):
        return images

    model.config = SimpleNamespace(**config)
    return model


def test_super_resolution(tmp_path, photos):
    model = identity_for(task="sr", scales=(2, 3))
    restore_files(model, [photos / "grey.png"], tmp_path / "x.png", scale=3)
    assert read_image(tmp_path / "x.png").shape == (60, 90)
    with pytest.raises(NLRNError, match="task"):
        check_task(model, "denoise")
    with pytest.raises(NLRNError, match="scale"):
        restore_files(model, [photos], tmp_path / "out", scale=5)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def of_unknown_task(tmp_path):
    tiny = NLRNConfig(filters=4, embedding_size=2, num_states=1, window_size=5)
    save_model(NLRN(tiny), tmp_path / "unknown.keras")
    return str(tmp_path / "unknown.keras")


@pytest.mark.parametrize(("task", "scale"), [("sr", None), ("denoise", 2)])
def test_task_and_scale_that_contradict_each_other(tmp_path, photos, of_unknown_task, task, scale):
    settings = RestorationSettings(weights=of_unknown_task, task=task, scale=scale)
    with pytest.raises(NLRNError, match="scale"):
        files.restore_files(settings, [photos], tmp_path / "out")


@pytest.mark.parametrize(("scale", "shape"), [(1.5, (30, 45)), (2.25, (45, 68))])
def test_scales_that_are_not_whole(tmp_path, photos, scale, shape):
    model = identity_for(task="sr", scales=(2, 3))
    restore_files(model, [photos / "grey.png"], tmp_path / "x.png", scale=scale)
    assert read_image(tmp_path / "x.png").shape == shape


def test_16_bits_and_alpha_are_kept(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 65536, (9, 12, 4), np.uint16)
    write_image(tmp_path / "in.png", pixels)
    restore_files(negative, [tmp_path / "in.png"], tmp_path / "out.tif")
    found = read_photo(tmp_path / "out.tif").pixels
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 3], pixels[..., 3])
    np.testing.assert_array_equal(found[..., :3], 65535 - pixels[..., :3])


def test_the_colour_profile_is_kept(tmp_path):
    cms = pytest.importorskip("PIL.ImageCms")
    profile = cms.ImageCmsProfile(cms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / "in.png", image(8, 9, 3), profile)
    restore_files(negative, [tmp_path / "in.png"], tmp_path / "out.jpg")
    assert read_photo(tmp_path / "out.jpg").icc_profile == profile


def test_a_format_that_cannot_hold_an_image_is_told_before_its_work(tmp_path, photos, capsys):
    def model(images):
        assert images.shape[1:3] != (7, 7), "work began"
        return images

    write_image(photos / "deep.png", np.zeros((7, 7), np.uint16))
    write_image(photos / "seen_through.png", image(7, 7, 4))
    with pytest.raises(NLRNError, match="2 of 5"):
        restore_files(model, [photos], tmp_path / "out", suffix=".jpg")
    assert len(files_below(tmp_path / "out")) == 3
    complaints = capsys.readouterr().err
    assert "deep.jpg: .jpg cannot hold 16 bits" in complaints
    assert "seen_through.jpg: .jpg cannot hold alpha" in complaints


def test_an_image_too_large_for_its_format_is_told_before_its_work(tmp_path):
    def model(images):
        raise AssertionError("work began")

    model.config = SimpleNamespace(task="sr", scales=(2,))
    write_image(tmp_path / "wide.png", np.zeros((1, 8192), np.uint8))
    with pytest.raises(NLRNError, match="16384 pixels a side"):
        restore_files(model, [tmp_path / "wide.png"], tmp_path / "out.webp", scale=2)


def test_a_broken_link_is_no_image(tmp_path, photos):
    (photos / "broken.png").symlink_to(tmp_path / "missing.png")
    assert restore_files(negative, [photos], tmp_path / "out") == 3


def test_a_damaged_image_does_not_stop_the_others(tmp_path, photos, capsys):
    content = (photos / "grey.png").read_bytes()
    (photos / "broken.png").write_bytes(content[: len(content) // 2])
    write_image(photos / "zebra.png", image(6, 6))
    out = tmp_path / "out"
    with pytest.raises(NLRNError, match="1 of 5"):
        restore_files(negative, [photos], out)
    assert len(files_below(out)) == 4
    lines = [line for line in capsys.readouterr().err.splitlines() if "broken.png" in line]
    assert len(lines) == 1


def test_a_single_damaged_image_is_named(tmp_path, photos):
    (photos / "grey.png").write_bytes(b"")
    with pytest.raises(NLRNError, match=r"grey\.png"):
        restore_files(negative, [photos / "grey.png"], tmp_path / "x.png")


def test_an_image_that_the_model_cannot_restore_is_named(tmp_path, photos):
    with pytest.raises(NLRNError, match=r"grey\.png: .*finite"):
        restore_files(lambda images: images * np.nan, [photos / "grey.png"], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_a_full_disk_stops_and_keeps_what_is_done(tmp_path, photos, monkeypatch):
    real, calls = os.fsync, []

    def fsync(file):
        calls.append(file)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    out = tmp_path / "out"
    with pytest.raises(NLRNError, match="No space left"):
        restore_files(negative, [photos], out)
    assert files_below(out) == ["grey.png"]
    assert len(calls) == 3  # the image that was ready then is tried as well


@pytest.mark.parametrize("error", [NLRNError("grey.png: cannot be written"), RuntimeError("a bug")])
def test_a_result_that_cannot_be_written_does_not_cost_the_others(
    tmp_path, photos, monkeypatch, capsys, error
):
    def write(path, photo):
        if path.name == "grey.png":
            raise error
        write_photo(path, photo)

    monkeypatch.setattr("nlrn_tf.restoration.one_file.write_photo", write)
    out = tmp_path / "out"
    with pytest.raises(NLRNError, match="1 of 3"):
        restore_files(negative, [photos], out)
    assert files_below(out) == ["trip/b.png", "trip/day 1/colour.png"]
    line = capsys.readouterr().err
    assert "grey.png: cannot be written" in line
    assert str(error) in line


def test_existing_outputs_are_kept_unless_told(tmp_path, photos):
    out = tmp_path / "out"
    write_image(out / "grey.png", image(3, 3))
    with pytest.raises(NLRNError, match="exists"):
        restore_files(negative, [photos], out)
    assert files_below(out) == ["grey.png"]
    assert restore_files(negative, [photos], out, skip_existing=True) == 2
    assert read_image(out / "grey.png").shape == (3, 3)
    assert restore_files(negative, [photos], out, overwrite=True) == 3
    assert read_image(out / "grey.png").shape == (20, 30)
    assert restore_files(negative, [photos], out, skip_existing=True) == 0


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_an_input_is_never_overwritten(tmp_path, photos, link):
    getattr(tmp_path / "link.png", link)(photos / "grey.png")
    before = (photos / "grey.png").read_bytes()
    for source, target in [
        (photos / "grey.png", photos / "grey.png"),
        (photos, photos),
        (photos / "grey.png", photos / "trip" / ".." / "grey.png"),
        (photos / "grey.png", tmp_path / "link.png"),
    ]:
        with pytest.raises(NLRNError, match="overwrite the input"):
            restore_files(negative, [source], target, overwrite=True)
    assert (photos / "grey.png").read_bytes() == before


def test_two_inputs_for_one_output_are_refused(tmp_path, photos):
    write_image(photos / "grey.jpg", image(5, 5))
    with pytest.raises(NLRNError, match=r"grey\.jpg and .*grey\.png would both become"):
        restore_files(negative, [photos], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_input_given_twice_is_restored_once(tmp_path, photos):
    assert plan([photos / "grey.png", photos / "grey.png"], tmp_path / "out") == {
        tmp_path / "out" / "grey.png": photos / "grey.png"
    }


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        ([], "out", "no input"),
        (["missing.png"], "x.png", "missing.png: no such file"),
        (["photos", "missing"], "out", "missing: no such file"),
        (["photos/notes.txt"], "x.png", "notes.txt: '.txt' is no image format"),
        (["empty"], "out", "empty: holds no image"),
        (["photos/grey.png"], "x.gif", "x.gif: .gif files are read, not written; use .png"),
        (["photos/grey.png"], "x.xyz", "x.xyz: '.xyz' is no image format"),
        (["photos/grey.png"], "out", "end it with /"),
        (["photos"], "out.png", "out.png: names one image"),
        (["photos"], "photos/notes.txt", "notes.txt: is a file"),
        (["photos/grey.png"], "photos/notes.txt/x.png", "cannot be written"),
        (["photos/grey.png"], "folder.png/y/../", None),
    ],
)
def test_wrong_paths_are_reported_before_work(
    tmp_path, photos, monkeypatch, inputs, output, message
):
    def model(images):
        raise AssertionError("work began")

    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    before = files_below(tmp_path)
    if message is None:
        assert list(plan(inputs, output)) == [Path(output) / "grey.png"]
    else:
        with pytest.raises(NLRNError, match=message):
            restore_files(model, inputs, output)
    assert files_below(tmp_path) == before


def test_wrong_paths_are_reported_before_weights_are_loaded(tmp_path):
    settings = RestorationSettings(weights="no such weights")
    with pytest.raises(NLRNError, match="no such file or folder"):
        files.restore_files(settings, [tmp_path / "missing.png"], tmp_path / "x.png")


def test_image_in_the_place_of_a_folder(tmp_path, photos):
    (tmp_path / "out" / "grey.png").mkdir(parents=True)
    with pytest.raises(NLRNError, match=r"grey\.png: is a folder"):
        restore_files(negative, [photos], tmp_path / "out", overwrite=True)
