"""The page in a real browser, compared with the files that `run_restore.py` writes."""

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage import data

from nlrn_tf.imaging.files import read_photo, write_image
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.tasks.denoising import add_gaussian_noise
from tests.support.browser import Visitor, browsing
from tests.support.web import served

pytestmark = pytest.mark.slow
pytest.importorskip("gradio", reason="Gradio is not installed: the page is not tested")

SCRIPT = Path(__file__).resolve().parents[2] / "run_restore.py"
NOISY = to_uint8(add_gaussian_noise(data.astronaut()[20:140, 150:300], 25, seed=0))


@pytest.fixture(scope="module")
def browser():
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(small_weights):
    with served(weights=small_weights) as address:
        yield address


@pytest.fixture
def visitor(browser, page):
    visitor = Visitor(browser, page)
    yield visitor
    visitor.context.close()
    assert visitor.elsewhere == []


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Files that people bring."""
    folder = tmp_path_factory.mktemp("photographs")
    write_image(folder / "grey.png", NOISY[..., 1])
    write_image(folder / "colour.png", NOISY)
    write_image(folder / "deep.tif", np.rint(NOISY * (4095 / 255)).astype(np.uint16))
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:5000])
    return folder


@pytest.mark.parametrize("name", ["grey.png", "colour.png", "deep.tif"])
def test_the_download_is_what_the_command_writes(
    name, visitor, photographs, tmp_path, small_weights
):
    visitor.bring(photographs / name)
    downloaded, content = visitor.take()
    command = [sys.executable, SCRIPT, photographs / name, "-o", tmp_path / name]
    subprocess.run([*command, f"--weights={small_weights}", "--noise_sigma=auto"], check=True)
    assert downloaded == name
    assert content == (tmp_path / name).read_bytes()
    told = visitor.tab.inner_text("#told")
    assert "Noise level about" in told
    assert "Restored in" in told

    white = 4095 if name == "deep.tif" else 255
    for shown, path in zip(visitor.pictures(), (photographs / name, tmp_path / name), strict=True):
        with PIL.Image.open(io.BytesIO(shown)) as image:
            assert image.format == "PNG"
            grey_levels = read_photo(path).pixels * (255 / white)
            np.testing.assert_allclose(np.asarray(image), grey_levels, atol=0.501)


def test_a_broken_file_is_explained(visitor, photographs):
    visitor.bring(photographs / "broken.png")
    visitor.tab.wait_for_selector(".toast-body")
    assert "broken.png: is damaged" in visitor.tab.inner_text(".toast-body")
    assert not visitor.tab.is_visible("#download")
    visitor.bring(photographs / "grey.png")  # and the next one is restored all the same
    assert visitor.take()[0] == "grey.png"


def test_the_slider_moves(visitor, photographs):
    visitor.bring(photographs / "colour.png")
    visitor.pictures()
    handle = visitor.tab.locator("#slider [data-testid=slider]")
    after = visitor.tab.locator("#slider img").nth(1)

    def hidden():
        """How much of the picture after is covered by the one before, in percent."""
        return float(re.search(r"([\d.]+)%\)", after.get_attribute("style"))[1])

    assert hidden() == pytest.approx(50, abs=1)
    box, width = handle.bounding_box(), after.bounding_box()["width"]
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visitor.tab.mouse.move(*middle)
    visitor.tab.mouse.down()
    visitor.tab.mouse.move(middle[0] + width / 4, middle[1], steps=5)
    visitor.tab.mouse.up()
    assert hidden() == pytest.approx(75, abs=2)


def test_two_visitors_at_once(browser, page, visitor, photographs):
    other = Visitor(browser, page)
    visitor.bring(photographs / "colour.png")
    other.bring(photographs / "grey.png")
    other_name, _ = other.take()
    name, _ = visitor.take()
    other.context.close()
    assert (name, other_name) == ("colour.png", "grey.png")
    assert other.elsewhere == []


def test_an_example_is_restored(visitor):
    visitor.tab.click("#examples img >> nth=1")
    name, content = visitor.take()
    assert name == "cameraman.png"
    with PIL.Image.open(io.BytesIO(content)) as image:
        assert image.size == (384, 384)


def test_an_image_is_enlarged(visitor, photographs):
    visitor.tab.click("#what label:has-text('Enlarge')")
    visitor.bring(photographs / "grey.png")
    _, content = visitor.take()
    with PIL.Image.open(io.BytesIO(content)) as image:
        assert image.size == (300, 240)
    sizes = []
    for picture in visitor.pictures():
        with PIL.Image.open(io.BytesIO(picture)) as image:
            sizes.append(image.size)
    assert sizes == [(300, 240)] * 2


def test_work_is_stopped_by_the_button(visitor, photographs, work):
    visitor.bring(photographs / "grey.png")
    work.at_work.acquire()
    visitor.tab.click("#stop")
    visitor.tab.wait_for_selector("#told:has-text('Stopped.')")
    visitor.tab.wait_for_selector("#stop", state="hidden")
    assert not visitor.tab.is_visible("#download")


def test_work_is_stopped_when_the_visitor_leaves(browser, page, photographs, work):
    visitor = Visitor(browser, page)
    visitor.bring(photographs / "grey.png")
    work.at_work.acquire()
    visitor.context.close()
    while work.under_way:
        time.sleep(0.1)
