"""Samples of all types and packings, as OpenCV, Pillow or a slow encoder have stored them."""

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nlrn_tf.imaging.tiff_samples import read_samples

LZW, DEFLATE = 5, 32946


@pytest.mark.parametrize(
    ("dtype", "predictor"),
    [(np.uint8, 2), (np.uint16, 1), (np.uint16, 2), (np.float32, 2), (np.float32, 3)],
)
def test_colours_packed_by_lzw(dtype, predictor):
    image = (np.random.default_rng(0).random((20, 31, 3)) * 250).astype(dtype)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, LZW, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    content = cv2.imencode(".tif", image, options)[1].tobytes()
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        assert (file.pages.first.compression, file.pages.first.predictor) == (LZW, predictor)
    np.testing.assert_array_equal(read_samples(content), image[..., ::-1])


@pytest.mark.parametrize("compression", ["packbits", "tiff_adobe_deflate", "zstd", "lzma"])
def test_other_packings(compression):
    image = np.random.default_rng(0).normal(0, 1e3, (20, 31)).astype(np.float32)
    content = io.BytesIO()
    try:
        Image.fromarray(image).save(content, "TIFF", compression=compression)
    except (OSError, KeyError):
        pytest.skip(f"this libtiff has no {compression}")
    np.testing.assert_array_equal(read_samples(content.getvalue())[..., 0], image)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float16, np.float64])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_what_tifffile_stores(planes, byteorder, dtype, compression):
    image = (np.random.default_rng(0).random((4, 20, 32)) * 999 - 9).astype(dtype)
    shape = image if planes == "separate" else np.moveaxis(image, 0, -1)
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        shape,
        **{"photometric": "minisblack", "planarconfig": planes, "byteorder": byteorder},
        **{"compression": compression, "tile": (16, 16), "metadata": None},
    )
    found = read_samples(content.getvalue())
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.moveaxis(image, 0, -1))


def differences_of_floats(row):
    """The floating point predictor of TIFF's Technical Note 3, byte by byte."""
    big = [struct.pack(">f", value) for value in row]
    planes = [value[place] for place in range(4) for value in big]
    return bytes([planes[0], *((b - a) % 256 for a, b in itertools.pairwise(planes))])


def test_floats_in_tiles_that_are_cut_off():
    """The last column of tiles is wider than the image."""
    image = np.random.default_rng(0).normal(0, 9, (16, 32)).astype(np.float32)
    tiles = [image[:, start : start + 16] for start in (0, 16)]
    stored = [b"".join(differences_of_floats(row) for row in tile) for tile in tiles]
    as_bytes = [np.frombuffer(tile, np.int8).reshape(16, 64) for tile in stored]
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        np.concatenate(as_bytes, axis=1),
        **{"photometric": "minisblack", "tile": (16, 64), "compression": "zlib"},
        metadata=None,
    )
    changed = bytearray(content.getvalue())
    with tifffile.TiffFile(io.BytesIO(content.getvalue())) as file:
        tags = file.pages.first.tags
        for code, value in ((256, 27), (258, 32), (322, 16), (339, 3)):
            place = tags[code].valueoffset
            changed[place : place + 2] = value.to_bytes(2, "little")
        software = tags[305].offset  # it becomes the predictor
        changed[software : software + 12] = struct.pack("<HHIHH", 317, 3, 1, 3, 0)
    assert zlib.decompress(bytes(changed[file.pages.first.dataoffsets[0] :])[:5000]) == stored[0]
    np.testing.assert_array_equal(read_samples(bytes(changed))[..., 0], image[:, :27])


def test_what_is_packed_for_pictures_alone_is_refused():
    content = io.BytesIO()
    Image.new("RGB", (16, 16)).save(content, "TIFF", compression="jpeg")
    with pytest.raises(ValueError, match="packed by JPEG"):
        read_samples(content.getvalue())
