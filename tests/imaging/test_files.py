"""Image files against arrays and against another library's files (scikit-image, imageio)."""

import cv2
import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_grey
from nlrn_tf.imaging.files import IMAGE_SUFFIXES, find_images, read_image, write_image
from nlrn_tf.imaging.samples import Levels, quantized, to_uint8, unit_range


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_lossless_formats_round_trip(tmp_path, rng, suffix, channels):
    image = rng.integers(0, 256, (13, 17, *channels), np.uint8)
    write_image(tmp_path / f"image{suffix}", image)
    found = read_image(tmp_path / f"image{suffix}")
    if suffix == ".webp" and not channels:  # WebP has no grey; it comes back as equal channels
        image = np.repeat(image[..., None], 3, axis=2)
    np.testing.assert_array_equal(found, image)


def test_colours_are_rgb_as_scikit_image_reads_them(tmp_path):
    io = pytest.importorskip("skimage.io")
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 0] = 200  # red
    write_image(tmp_path / "red.png", image)
    np.testing.assert_array_equal(io.imread(tmp_path / "red.png"), image)


def test_exif_orientation_is_applied(tmp_path, rng):
    """A JPEG whose EXIF says that it must be turned by 90 degrees."""
    small = rng.integers(0, 256, (4, 8, 3), np.uint8)
    image = cv2.resize(small, (64, 32), interpolation=cv2.INTER_NEAREST)
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    content = content.tobytes()
    # One TIFF entry in the EXIF segment: tag 0x0112 (orientation), SHORT, count 1, value 6.
    tiff = b"II*\0\x08\0\0\0\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    (tmp_path / "turned.jpg").write_bytes(content[:2] + segment + content[2:])
    found = read_image(tmp_path / "turned.jpg")
    expected = np.rot90(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), -1)
    assert found.shape == (64, 32, 3)
    assert np.abs(found.astype(int) - expected).mean() < 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((4, 4), np.uint16), "8-bit"),
        (np.zeros((4, 4, 4), np.uint8), "alpha"),
    ],
)
def test_unsupported_kinds_are_refused_clearly(tmp_path, content, words):
    cv2.imwrite(str(tmp_path / "image.png"), content)
    with pytest.raises(NLRNError, match=words):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("length", [0, 20, 200])
def test_damaged_files_are_named(tmp_path, rng, length):
    write_image(tmp_path / "whole.png", rng.integers(0, 256, (40, 40), np.uint8))
    content = (tmp_path / "whole.png").read_bytes()[:length]
    (tmp_path / "damaged.png").write_bytes(content)
    with pytest.raises(NLRNError, match=r"damaged\.png"):
        read_image(tmp_path / "damaged.png")


def test_missing_file_and_unknown_suffix(tmp_path):
    with pytest.raises(NLRNError, match="cannot be read"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(NLRNError, match=r"\.xyz"):
        write_image(tmp_path / "image.xyz", np.zeros((2, 2), np.uint8))


def test_find_images_sorts_and_leaves_other_files_out(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_images(tmp_path)] == ["a.jpg", "b.PNG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(NLRNError, match="no image"):
        find_images(tmp_path / "empty")
    with pytest.raises(NLRNError, match="no such folder"):
        find_images(tmp_path / "nowhere")
    assert ".webp" in IMAGE_SUFFIXES


def test_grey_is_bt601_luma(rng):
    image = rng.integers(0, 256, (9, 9, 3), np.uint8)
    expected = image @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(rgb_to_grey(image), expected, atol=0.51)
    grey = image[..., 0]
    assert rgb_to_grey(grey) is grey


def test_ranges_round_trip():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(unit_range(values)), values)
    assert to_uint8(np.array([-0.1, 1.2, 0.499 / 255])).tolist() == [0, 255, 0]


def test_16_bit_ranges_round_trip():
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(quantized(unit_range(values), np.uint16), values)
    assert quantized(np.array([-1, 2.0]), np.uint16).tolist() == [0, 65535]


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.uint32, np.float32, np.float64]
)
def test_levels_there_and_back(dtype):
    values = np.linspace(-1000 if np.dtype(dtype).kind in "if" else 0, 250, 251).astype(dtype)
    levels = Levels(900, min(float(values.min()), 0))
    unit = levels.unit_range(values)
    assert unit.dtype == np.float32
    assert unit.min() == 0
    np.testing.assert_allclose(levels.like(values, unit), values, atol=1e-3)


def test_no_value_leaves_its_type():
    """White may be given above the largest that the type has."""
    image = np.array([[3, 65535]], np.uint16)
    np.testing.assert_array_equal(Levels(70_000).like(image, np.array([[-1, 1.0]])), [[0, 65535]])
    signed = np.array([[-128, 127]], np.int8)
    found = Levels(127, -128).like(signed, np.array([[-0.1, 1.1]]))
    np.testing.assert_array_equal(found, [[-128, 127]])
