"""Stacks, channels and other types of samples from file to file, with what belongs to them."""

import os

import numpy as np
import pytest
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_photo
from nlrn_tf.restoration import files
from nlrn_tf.restoration.restorer import Restorer
from tests.support.restoration import restore_files


def negative(images):
    return 1 - images


def identity(images):
    return images


def pages(*shape, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, shape).astype(dtype)


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_stack_of_imagej_stays_one(tmp_path, truncate, byteorder):
    told = {
        **{"axes": "TZCYX", "unit": "um", "spacing": 0.5, "finterval": 2.5},
        **{"Labels": [f"slice {number}" for number in range(12)], "Info": "of a cell"},
    }
    stack = pages(2, 3, 2, 12, 16)
    options = {"imagej": True, "truncate": truncate, "byteorder": byteorder}
    tifffile.imwrite(tmp_path / "in.tif", stack, resolution=(9, 7), metadata=told, **options)
    restore_files(negative, [tmp_path / "in.tif"], tmp_path / "out.tif")
    with (
        tifffile.TiffFile(tmp_path / "in.tif") as before,
        tifffile.TiffFile(tmp_path / "out.tif") as after,
    ):
        assert after.series[0].axes == "TZCYX"
        np.testing.assert_array_equal(after.asarray(), 65535 - stack)
        assert after.imagej_metadata == before.imagej_metadata
        assert after.pages.first.resolution == before.pages.first.resolution


def test_ome_keeps_its_axes_and_sizes(tmp_path):
    stack = pages(2, 3, 12, 16)
    told = {"axes": "ZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"}
    options = {"ome": True, "photometric": "minisblack", "compression": "zlib"}
    tifffile.imwrite(tmp_path / "in.ome.tif", stack, metadata=told, **options)
    restore_files(negative, [tmp_path / "in.ome.tif"], tmp_path / "out.ome.tif")
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as after:
        assert after.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(after.series[0].asarray(), 65535 - stack)
        assert after.ome_metadata == tifffile.TiffFile(tmp_path / "in.ome.tif").ome_metadata
        assert after.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped"])
def test_an_enlarged_stack_has_smaller_pixels(tmp_path, kind):
    options = {
        "imagej": {"imagej": True, "resolution": (30, 20), "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5}},
        "shaped": {"metadata": {"axes": "ZYX"}, "truncate": True},
    }[kind]
    tifffile.imwrite(tmp_path / "in.tif", pages(3, 10, 14), photometric="minisblack", **options)
    restore_files(identity, [tmp_path / "in.tif"], tmp_path / "out.tif", scale=2)
    with tifffile.TiffFile(tmp_path / "out.tif") as after:
        assert after.series[0].shape == (3, 20, 28)
        assert after.series[0].axes == "ZYX"
        if kind == "imagej":
            assert after.pages.first.resolution == (60, 40)
        if kind == "ome":
            assert 'PhysicalSizeX="0.25"' in after.ome_metadata


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_channels_of_one_page(tmp_path, planes):
    image = pages(9, 12, 5)
    stored = image if planes == "contig" else np.moveaxis(image, -1, 0)
    options = {"photometric": "minisblack", "planarconfig": planes}
    tifffile.imwrite(tmp_path / "in.tif", stored, **options)
    restore_files(negative, [tmp_path / "in.tif"], tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as after:
        assert after.pages.first.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert after.pages.first.samplesperpixel == 5
        np.testing.assert_array_equal(after.asarray(), 65535 - image)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0.01, 0.9, np.float32),
        (0.02, 0.8, np.float16),
        (3, 3900, np.float32),
        (-1, 1, np.float64),
        (-1024, 3071, np.int16),
        (0, 99_000, np.uint32),
        (-100, 120, np.int8),
    ],
)
def test_other_types_are_restored_in_their_own_range(tmp_path, low, high, dtype):
    """By a network that sees values from 0 to 1, and takes a tenth of the range off."""

    def darker(images):
        assert images.min() >= -1e-3
        assert images.max() <= 1 + 1e-3
        return images - np.float32(0.1)

    values = np.random.default_rng(1).uniform(low, high, (12, 16))
    values[0, :2] = low, high
    image = values.astype(dtype)
    tifffile.imwrite(tmp_path / "in.tif", image, resolution=(5, 5))
    restore_files(darker, [tmp_path / "in.tif"], tmp_path / "out.tif")
    found = tifffile.imread(tmp_path / "out.tif")
    assert found.dtype == dtype
    photo = read_photo(tmp_path / "in.tif")
    step = 0.1 * (photo.white.value - photo.white.black)
    expected = np.maximum(image - step, min(photo.white.black, low))
    tolerance = 0.51 if dtype(0.5) == 0 else 1e-3 * max(abs(low), high)
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_white_can_be_given(tmp_path):
    def halved(images):
        assert images.max() <= 0.1
        return images

    image = np.full((9, 9), 100, np.float32)
    tifffile.imwrite(tmp_path / "in.tif", image)
    restorer = Restorer(halved, white_level=1000)
    files.restore_files(restorer, [tmp_path / "in.tif"], tmp_path / "out.tif")
    np.testing.assert_allclose(tifffile.imread(tmp_path / "out.tif"), image, rtol=1e-5)


def test_a_folder_of_all_kinds(tmp_path):
    """What only TIFF can hold is written as TIFF, the others as told."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    tifffile.imwrite(folder / "stack.tif", pages(3, 8, 9), photometric="minisblack")
    tifffile.imwrite(folder / "floats.tif", pages(8, 9, dtype=np.float32) / 65535)
    tifffile.imwrite(
        folder / "channels.tif", pages(5, 8, 9), photometric="minisblack", planarconfig="separate"
    )
    tifffile.imwrite(folder / "plain.tif", pages(8, 9))
    assert restore_files(negative, [folder], out) == 4
    assert sorted(os.listdir(out)) == ["channels.tif", "floats.tif", "plain.png", "stack.tif"]
    with pytest.raises(NLRNError, match=r"stack\.tif: holds 3 pages, and \.png holds one"):
        restore_files(negative, [folder / "stack.tif"], tmp_path / "x.png")
    with pytest.raises(NLRNError, match=r"x\.png: \.png cannot hold float32 samples; use \.tif"):
        restore_files(negative, [folder / "floats.tif"], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_a_page_that_fails_leaves_nothing(tmp_path):
    calls = []

    def fails_at_the_third(images):
        calls.append(1)
        return images * np.nan if len(calls) == 3 else images

    tifffile.imwrite(tmp_path / "in.tif", pages(4, 8, 9), photometric="minisblack")
    with pytest.raises(NLRNError, match=r"in\.tif.*page 3 of 4.*finite"):
        restore_files(fails_at_the_third, [tmp_path / "in.tif"], tmp_path / "out.tif")
    assert os.listdir(tmp_path) == ["in.tif"]


def test_formats_that_are_only_read(tmp_path):
    from PIL import Image

    Image.fromarray(pages(8, 9, 3, dtype=np.uint8)).save(tmp_path / "a.jp2")
    expected = 255 - np.asarray(Image.open(tmp_path / "a.jp2"))
    restore_files(negative, [tmp_path], tmp_path / "out")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), expected)
    with pytest.raises(NLRNError, match=r"x\.gif: \.gif files are read, not written; use \.png"):
        restore_files(negative, [tmp_path / "a.jp2"], tmp_path / "x.gif")


def test_a_file_that_is_named_counts_by_its_content(tmp_path):
    from PIL import Image

    image = pages(8, 9, dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "scan.dat", "PNG")
    restore_files(negative, [tmp_path / "scan.dat"], tmp_path / "out.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), 255 - image)


def test_a_damaged_page_is_said_where_it_is_accepted(tmp_path):
    from nlrn_tf.restoration.settings import InputSettings

    stack = pages(3, 40, 50, dtype=np.uint8)
    options = {"photometric": "minisblack", "compression": "zlib", "metadata": None}
    tifffile.imwrite(tmp_path / "in.tif", stack, **options)
    content = bytearray((tmp_path / "in.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "in.tif") as file:
        start, size = file.pages[1].dataoffsets[0], file.pages[1].databytecounts[0]
    content[start + size // 2 : start + size // 2 + 30] = bytes(30)
    (tmp_path / "in.tif").write_bytes(content)
    with pytest.raises(NLRNError, match=r"in\.tif: page 2 of 3 is damaged"):
        restore_files(negative, [tmp_path / "in.tif"], tmp_path / "out.tif")
    said = []
    files.restore_files(
        *(Restorer(negative), [tmp_path / "in.tif"], tmp_path / "out.tif"),
        reading=InputSettings(accept_damaged=True),
        say=said.append,
    )
    assert ["page 2 of 3: restored as far as it is there" in line for line in said] == [True]
    found = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(found[[0, 2]], 255 - stack[[0, 2]])
