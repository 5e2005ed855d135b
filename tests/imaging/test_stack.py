"""Files of several pages against tifffile, whoever has written them."""

import io

import numpy as np
import pytest
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, read_photo, read_pictures
from nlrn_tf.imaging.stack import Stack

HEIGHT, WIDTH = 12, 16
KINDS = {
    "ImageJ": ((5, HEIGHT, WIDTH), np.uint16, {"imagej": True}),
    "ImageJ, one directory": ((5, HEIGHT, WIDTH), np.uint16, {"imagej": True, "truncate": True}),
    "ImageJ, hyperstack": (
        (2, 3, 2, HEIGHT, WIDTH),
        np.uint8,
        {"imagej": True, "metadata": {"axes": "TZCYX"}, "truncate": True},
    ),
    "tifffile": ((4, HEIGHT, WIDTH), np.uint8, {"photometric": "minisblack"}),
    "tifffile, one directory": (
        (2, 3, HEIGHT, WIDTH),
        np.uint16,
        {"photometric": "minisblack", "truncate": True},
    ),
    "OME": (
        (2, 3, HEIGHT, WIDTH),
        np.uint16,
        {"ome": True, "photometric": "minisblack", "metadata": {"axes": "ZCYX"}},
    ),
    "plain": ((3, HEIGHT, WIDTH), np.uint8, {"photometric": "minisblack", "metadata": None}),
    "colour, packed, big": (
        (3, HEIGHT, WIDTH, 3),
        np.uint8,
        {"photometric": "rgb", "compression": "zlib", "bigtiff": True, "predictor": True},
    ),
    "floats": ((3, HEIGHT, WIDTH), np.float32, {"imagej": True, "byteorder": ">"}),
}


def pages(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


@pytest.fixture(params=KINDS)
def stack(request, tmp_path):
    """A path and its pages `[N, H, W, ...]`."""
    shape, dtype, options = KINDS[request.param]
    tifffile.imwrite(tmp_path / "stack.tif", pages(shape, dtype), **options)
    start = -3 if shape[-1] == 3 else -2
    return tmp_path / "stack.tif", pages(shape, dtype).reshape(-1, *shape[start:])


def test_every_page_is_read(stack):
    path, expected = stack
    found = read_pictures(path)
    assert isinstance(found, Stack)
    assert len(found) == len(expected)
    for photo, page in zip(found.photos(), expected, strict=True):
        assert photo.pixels.dtype == page.dtype
        np.testing.assert_array_equal(photo.pixels, page)


def test_no_page_is_taken_for_the_whole(stack):
    path, expected = stack
    for read in (read_photo, read_image):
        with pytest.raises(NLRNError, match=f"holds {len(expected)} pages"):
            read(path)


def test_all_pages_have_one_white(tmp_path):
    values = pages((3, HEIGHT, WIDTH), np.uint16)
    values[1] *= 15
    tifffile.imwrite(tmp_path / "stack.tif", values, imagej=True)
    assert {photo.white.value for photo in read_pictures(tmp_path / "stack.tif").photos()} == {4095}


def test_pages_may_differ(tmp_path):
    different = [pages((9, 7), np.uint8), pages((5, 30, 3), np.uint8), pages((6, 6), np.uint16)]
    with tifffile.TiffWriter(tmp_path / "scan.tif") as file:
        for page in different:
            photometric = "rgb" if page.ndim == 3 else "minisblack"
            file.write(page, photometric=photometric, metadata=None, contiguous=False)
    found = read_pictures(tmp_path / "scan.tif").photos()
    for photo, page in zip(found, different, strict=True):
        np.testing.assert_array_equal(photo.pixels, page)


def test_pages_packed_by_lzw(tmp_path):
    from PIL import Image

    first, *others = (Image.fromarray(pages((HEIGHT, WIDTH), np.uint16, seed)) for seed in range(2))
    first.save(tmp_path / "stack.tif", save_all=True, append_images=others, compression="tiff_lzw")
    for seed, photo in enumerate(read_pictures(tmp_path / "stack.tif").photos()):
        np.testing.assert_array_equal(photo.pixels, pages((HEIGHT, WIDTH), np.uint16, seed))


def one_directory():
    content = io.BytesIO()
    shape, dtype, options = KINDS["ImageJ, one directory"]
    tifffile.imwrite(content, pages(shape, dtype), **options)
    return content.getvalue()


def test_a_stack_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "stack.tif"
    path.write_bytes(one_directory()[:-100])
    with pytest.raises(NLRNError, match=r"stack\.tif: page 5 of 5 .*outside the file"):
        read_pictures(path)


def test_a_number_of_pages_that_cannot_be_is_refused(tmp_path):
    path = tmp_path / "stack.tif"
    path.write_bytes(one_directory().replace(b"images=5\n", b"images=8\n"))
    with pytest.raises(NLRNError, match=r"stack\.tif: "):
        read_pictures(path)


def test_a_page_that_is_too_large_is_refused(tmp_path):
    path = tmp_path / "stack.tif"
    path.write_bytes(one_directory())
    with pytest.raises(NLRNError, match=r"page 1 of 5 claims 16 x 12 .* max_pixels=191"):
        read_pictures(path, max_pixels=HEIGHT * WIDTH - 1)
    assert len(read_pictures(path, max_pixels=HEIGHT * WIDTH)) == 5
