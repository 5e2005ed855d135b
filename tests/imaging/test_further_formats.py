"""GIF, AVIF, JPEG 2000, HEIC and Targa against Pillow, whatever their names."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, read_photo
from tests.support.image_files import HEIGHT, WIDTH, files_of, picture

KINDS = (".gif", ".avif", ".jp2", ".heic", ".tga")


@pytest.mark.parametrize("suffix", KINDS)
def test_the_content_decides(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    for number, content in enumerate(files_of(suffix)[:2]):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(content)
        expected = Image.open(io.BytesIO(content))
        has_alpha = expected.mode in ("RGBA", "LA") or "transparency" in expected.info
        expected = np.asarray(
            expected
            if expected.mode in ("L", "LA")
            else expected.convert("RGBA" if has_alpha else "RGB")
        )
        found = read_photo(path).pixels
        assert found.shape[:2] == (HEIGHT, WIDTH)
        np.testing.assert_array_equal(found, expected)


def test_grey_jpeg_2000_of_16_bits(tmp_path):
    image = picture(1, np.uint16)[..., 0]
    Image.fromarray(image).save(tmp_path / "image.jp2")
    np.testing.assert_array_equal(read_photo(tmp_path / "image.jp2").pixels, image)


def test_heic_of_10_bits_keeps_them(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    image = picture(3, np.uint16)
    encoded = heif.from_bytes("RGB;16", (WIDTH, HEIGHT), image.tobytes())
    encoded.save(tmp_path / "image.heic", quality=-1, chroma=444)
    found = read_photo(tmp_path / "image.heic").pixels
    assert found.dtype == np.uint16
    assert np.abs(found.astype(int) - image).mean() < 600  # YCbCr of 10 bits
    assert (found & 255).any()


@pytest.mark.parametrize("suffix", [".jp2", ".avif"])
def test_bits_that_pillow_would_drop_are_not_lost_in_silence(tmp_path, suffix):
    content = bytearray(files_of(suffix)[0])
    if suffix == ".jp2":
        place = content.index(b"\xff\x4f\xff\x51") + 42
        content[place : place + 9 : 3] = b"\x0b\x0b\x0b"  # 12 bits in each of three components
    else:
        content[content.index(b"av1C") + 6] |= 0x40
    (tmp_path / f"image{suffix}").write_bytes(content)
    with pytest.raises(NLRNError, match="over 8 bits a colour, of which only 8 would be read"):
        read_photo(tmp_path / f"image{suffix}")


def test_heic_without_its_package(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif")
    (tmp_path / "image.heic").write_bytes(files_of(".heic")[0])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(NLRNError, match=r"image\.heic: is a HEIC picture, .*nlrn-tf\[formats\]"):
        read_photo(tmp_path / "image.heic")


@pytest.mark.parametrize("suffix", KINDS)
def test_the_size_is_judged_before_the_pixels(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    (tmp_path / f"image{suffix}").write_bytes(files_of(suffix)[0])
    with pytest.raises(NLRNError, match=r"claims \d+ x \d+ pixels, more than"):
        read_photo(tmp_path / f"image{suffix}", max_pixels=HEIGHT * WIDTH - 1)


@pytest.mark.parametrize("suffix", KINDS)
def test_cut_files_are_refused(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    content = files_of(suffix)[0]
    (tmp_path / f"image{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(NLRNError, match=rf"image\{suffix}: "):
        read_photo(tmp_path / f"image{suffix}")


@pytest.mark.parametrize("kind", ["BMP", "TGA"])
def test_an_alpha_that_is_empty_is_none(tmp_path, kind):
    image = picture(4).copy()
    image[..., 3] = 0
    Image.fromarray(image).save(tmp_path / "image.bmp", kind)
    np.testing.assert_array_equal(read_image(tmp_path / "image.bmp"), image[..., :3])
    image[3, 4, 3] = 9
    Image.fromarray(image).save(tmp_path / "seen.tga")
    np.testing.assert_array_equal(read_photo(tmp_path / "seen.tga").pixels, image)
