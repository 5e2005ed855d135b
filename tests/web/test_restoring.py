import threading

import numpy as np
import PIL.Image
import pytest
import tifffile
from skimage import data

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_photo, write_image
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.settings import RestorationSettings
from nlrn_tf.web.restoring import StoppedError, WatchedProgress, Wishes, restore_upload
from nlrn_tf.web.settings import WebSettings
from nlrn_tf.weights import loading

COLOUR = data.astronaut()[40:100, 180:250]


@pytest.fixture
def restored(tmp_path, small_weights):
    def restore(name, wishes=None, limits=None, progress=None):
        return restore_upload(
            tmp_path / name,
            wishes or Wishes(weights=small_weights),
            limits or WebSettings(),
            tmp_path / "results",
            progress,
        )

    (tmp_path / "results").mkdir()
    return restore


def by_command(tmp_path, name, target, **settings):
    """The bytes that `run_restore.py` writes."""
    path = tmp_path / "by_command" / target
    restore_files(RestorationSettings(**settings), [tmp_path / name], path, say=lambda _: None)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "image", "target"),
    [
        ("colour.jpg", COLOUR, "colour.png"),
        ("deep.TIF", COLOUR.astype(np.uint16) * 257, "deep.TIF"),
        ("alpha.png", np.dstack([COLOUR, COLOUR[..., :1]]), "alpha.png"),
    ],
)
def test_the_bytes_are_those_of_the_command(
    name, image, target, tmp_path, restored, small_weights, capsys
):
    write_image(tmp_path / name, image)
    outcome = restored(name)
    assert capsys.readouterr() == ("", "")
    assert outcome.result.name == target
    expected = by_command(tmp_path, name, target, weights=small_weights, noise_sigma="auto")
    assert outcome.result.read_bytes() == expected
    assert read_photo(outcome.result).pixels.dtype == image.dtype
    assert "Noise level about" in outcome.told
    assert outcome.told.endswith(f"70x60 pixels, {8 * image.itemsize} bits.")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_all_pages_are_in_the_download_and_the_first_is_shown(dtype, tmp_path, restored):
    grey = COLOUR[..., 1] / 255
    pages = np.stack([grey, grey[::-1]]) * (4095 if dtype == np.uint16 else 1)
    tifffile.imwrite(tmp_path / "pages.tif", pages.astype(dtype), photometric="minisblack")
    outcome = restored("pages.tif")
    assert outcome.told.endswith("All 2 pages are in the download; the first is shown.")
    assert tifffile.imread(outcome.result).shape == pages.shape
    assert tifffile.imread(outcome.result).dtype == dtype
    before = read_photo(outcome.before).pixels
    np.testing.assert_allclose(before, 255 * grey, atol=1)


def test_formats_that_are_only_read_become_png(tmp_path, restored):
    PIL.Image.fromarray(COLOUR).save(tmp_path / "image.gif")
    assert restored("image.gif").result.name == "image.png"


def test_networks_are_loaded_once(tmp_path, restored, monkeypatch):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, COLOUR[:20, :20])
        restored(name)
        monkeypatch.setattr(loading, "load_model", None)


def test_what_is_wished_for(tmp_path, restored, small_weights):
    write_image(tmp_path / "a.png", COLOUR)
    given = {"weights": small_weights, "strength": 0.5, "self_ensemble": True}
    outcome = restored("a.png", Wishes(noise_sigma=40, **given))
    expected = by_command(tmp_path, "a.png", "a.png", noise_sigma=40, **given)
    assert outcome.result.read_bytes() == expected
    assert "Noise level" not in outcome.told


def test_the_settings_of_enlarging():
    wishes = Wishes(2.5, "denoise_lite", noise_sigma=12, strength=0.5, self_ensemble=True)
    assert wishes.settings() == RestorationSettings(task="sr", scale=2.5, self_ensemble=True)
    assert Wishes(weights="x.keras").settings() == RestorationSettings(
        task="denoise", weights="x.keras", noise_sigma="auto"
    )


def test_an_enlarged_image_beside_the_bicubic_one(tmp_path, restored):
    write_image(tmp_path / "a.png", COLOUR[:20, :24])
    outcome = restored("a.png", Wishes(scale=1.5))
    sizes = []
    for path in (outcome.before, outcome.after, outcome.result):
        with PIL.Image.open(path) as image:
            sizes.append(image.size)
    assert sizes == [(36, 30)] * 3
    assert outcome.told.startswith("Enlarged in ")


def test_errors_are_for_the_visitor(tmp_path, restored):
    (tmp_path / "no.png").write_bytes(b"not an image")
    write_image(tmp_path / "whole.png", COLOUR)
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    for name in ("no.png", "half.png", "gone.png"):
        with pytest.raises(NLRNError, match=f"^{name}: ") as raised:
            restored(name)
        assert str(tmp_path) not in str(raised.value)
    outcome = restored("half.png", Wishes(weights="denoise_lite", accept_damaged=True))
    assert outcome.told.startswith("Restored as far as it is there")


@pytest.mark.parametrize("scale", [None, 2])
def test_images_that_are_too_large(scale, tmp_path, restored):
    write_image(tmp_path / "a.png", COLOUR[:40, :50])
    pixels = 40 * 50 * (scale or 1) ** 2
    limits = WebSettings(max_pixels=pixels - 1)
    with pytest.raises(NLRNError, match=r"^a\.png: .*more than the .* that this page takes"):
        restored("a.png", Wishes(scale=scale), limits)
    assert not list((tmp_path / "results").iterdir())


def test_work_that_is_stopped(tmp_path, restored, small_weights):
    write_image(tmp_path / "a.png", COLOUR)
    progress = WatchedProgress()
    progress.interrupt()
    with pytest.raises(StoppedError):
        restored("a.png", progress=progress)
    assert not list((tmp_path / "results").rglob("*.png"))


def test_progress_is_seen_from_outside():
    progress = WatchedProgress()
    assert (progress.seconds_left(), progress.fraction()) == (None, 0)
    task = progress.add_task("", total=1)
    progress.expect([1000.0], in_seconds=True)
    assert progress.seconds_left() == pytest.approx(1000, abs=60)
    assert progress.fraction() < 0.1
    seen = []
    thread = threading.Thread(target=lambda: seen.append(progress.fraction()))
    progress.advance(task, 1)
    thread.start()
    thread.join()
    assert seen == [pytest.approx(1)]
