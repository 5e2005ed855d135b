import numpy as np
import pytest

from nlrn_tf.imaging.files import read_photo, write_image
from nlrn_tf.imaging.headers import read_shape

SHAPES = [(20, 31), (20, 31, 2), (20, 31, 3), (20, 31, 4)]
FORMATS = [("png", np.uint8), ("png", np.uint16), ("tif", np.uint8), ("tif", np.uint16)]
FORMATS += [("webp", np.uint8), ("jpg", np.uint8), ("bmp", np.uint8)]


@pytest.mark.parametrize(("suffix", "dtype"), FORMATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_header_tells_what_reading_finds(tmp_path, suffix, dtype, shape):
    path = tmp_path / f"image.{suffix}"
    write_image(path, np.full(shape, np.iinfo(dtype).max, dtype))
    pixels = read_photo(path).pixels
    channels = 1 if pixels.ndim == 2 or pixels.shape[2] == 2 else 3
    assert read_shape(path) == (*pixels.shape[:2], channels)


def test_no_header_is_no_error(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    for name in ("text.png", "empty.tif", "cut.tif", "missing.png"):
        assert read_shape(tmp_path / name) is None


def test_the_shape_of_a_huge_image_is_told(tmp_path):
    """Pillow refuses to open it."""
    from tests.support.damaged import with_size
    from tests.support.image_files import files_of

    for suffix in (".png", ".bmp", ".tif"):
        (tmp_path / f"a{suffix}").write_bytes(with_size(files_of(suffix)[0], suffix, 30_000))
        assert read_shape(tmp_path / f"a{suffix}")[:2] == (30_000, 30_000)
