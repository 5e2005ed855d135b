"""What channels mean, against Pillow, lcms and tifffile."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, read_photo, read_pictures
from tests.support.image_files import picture


def written(tmp_path, image, **options):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, metadata=None, **options)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 7])
def test_grey_channels_are_pictures_of_their_own(tmp_path, rng, dtype, planes, count):
    image = rng.integers(0, 256, (9, 14, count)).astype(dtype)
    stored = image if planes == "contig" else np.moveaxis(image, -1, 0)
    path = written(tmp_path, stored, photometric="minisblack", planarconfig=planes)
    photo = read_pictures(path)
    assert photo.groups == (1,) * count
    np.testing.assert_array_equal(np.dstack(photo.pictures), image)
    for read in (read_photo, read_image):
        with pytest.raises(NLRNError, match=f"has {count} pictures in its channels"):
            read(path)


def test_a_channel_beside_colour_that_is_no_alpha(tmp_path, rng):
    """Infrared of a scanner, a mask of Photoshop."""
    image = rng.integers(0, 256, (9, 14, 4), np.uint8)
    path = written(tmp_path, image, photometric="rgb", extrasamples=["unspecified"])
    colour, mask = read_pictures(path).pictures
    np.testing.assert_array_equal(colour, image[..., :3])
    np.testing.assert_array_equal(mask, image[..., 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_one_after_the_other(tmp_path, dtype):
    image = picture(3, dtype)
    path = written(tmp_path, np.moveaxis(image, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_photo(path).pixels, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_with_alpha(tmp_path, dtype):
    image = picture(2, dtype)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    path = written(tmp_path, image, extrasamples=["unassalpha"], **options)
    np.testing.assert_array_equal(read_photo(path).pixels, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_multiplied_by_alpha_are_divided(tmp_path, dtype):
    image = picture(4, dtype)
    peak = np.iinfo(dtype).max
    image[..., 3] = np.maximum(image[..., 3], peak // 2)
    stored = image.copy()
    stored[..., :3] = np.rint(image[..., :3] * (image[..., 3:] / peak))
    path = written(tmp_path, stored, photometric="rgb", extrasamples=["assocalpha"])
    found = read_photo(path).pixels
    assert np.abs(found.astype(int) - image).max() <= 1
    if dtype == np.uint8:
        by_pillow = np.asarray(Image.open(path).convert("RGBA"))
        assert np.abs(found.astype(int) - by_pillow).max() <= 2


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_cmyk_of_16_bits(tmp_path, planes):
    eight = np.asarray(Image.fromarray(picture()).convert("CMYK")).copy()
    eight[..., 3] = picture(1)[..., 0] // 3
    sixteen = eight.astype(np.uint16) * 257
    stored = sixteen if planes == "contig" else np.moveaxis(sixteen, -1, 0)
    path = written(tmp_path, stored, photometric="separated", planarconfig=planes)
    found = read_photo(path).pixels
    assert found.dtype == np.uint16
    expected = np.asarray(
        Image.frombytes("CMYK", eight.shape[1::-1], eight.tobytes()).convert("RGB")
    )
    assert np.abs(found / 257 - expected).max() <= 2


def lab_by_lcms(lab):
    to_rgb = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"),
        ImageCms.createProfile("sRGB"),
        "LAB",
        "RGB",
        flags=ImageCms.Flags.NOOPTIMIZE,  # or it interpolates
    )
    return np.asarray(ImageCms.applyTransform(lab, to_rgb))


def lab_picture():
    """In the gamut of sRGB, with a* and b* as Pillow and CIELab store them."""
    rgb = Image.fromarray(cv2.GaussianBlur(picture(), (0, 0), 2))
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return ImageCms.applyTransform(rgb, to_lab)


def test_lab_as_lcms_has_it(tmp_path):
    lab = lab_picture()
    expected = lab_by_lcms(lab).astype(int)
    lab.save(tmp_path / "image.tif")
    assert tifffile.TiffFile(tmp_path / "image.tif").pages[0].photometric == 8
    assert np.abs(read_photo(tmp_path / "image.tif").pixels - expected).max() <= 2
    stored = np.asarray(lab)
    unsigned = np.dstack([stored[..., 0], stored[..., 1:] ^ 128])
    path = written(tmp_path, unsigned, photometric="icclab")
    assert np.abs(read_photo(path).pixels - expected).max() <= 2
    signed = stored[..., 1:].view(np.int8).astype(np.int16) * 256
    sixteen = np.dstack([stored[..., 0].astype(np.uint16) * 257, signed.view(np.uint16)])
    path = written(tmp_path, sixteen, photometric="cielab")
    assert np.abs(read_photo(path).pixels / 257 - expected).max() <= 2


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_ycbcr(tmp_path, compression):
    image = Image.fromarray(picture())
    image.convert("YCbCr").save(tmp_path / "image.tif", compression=compression)
    expected = np.asarray(image.convert("YCbCr").convert("RGB")).astype(int)
    assert np.abs(read_photo(tmp_path / "image.tif").pixels - expected).max() <= 2


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits(tmp_path, rng, bits):
    levels = rng.integers(0, 2**bits, (8, 16), np.uint8)
    shifts = np.arange(8 - bits, -1, -bits)
    packed = (levels.reshape(8, -1, len(shifts)) << shifts).sum(axis=-1).astype(np.uint8)
    content = io.BytesIO()
    tifffile.imwrite(content, packed, photometric="minisblack", metadata=None)
    changed = bytearray(content.getvalue())
    with tifffile.TiffFile(io.BytesIO(content.getvalue())) as file:
        tags = file.pages.first.tags
        changed[tags[256].valueoffset] = 16
        changed[tags[258].valueoffset] = bits
    (tmp_path / "image.tif").write_bytes(changed)
    expected = levels * (255 // (2**bits - 1))
    np.testing.assert_array_equal(read_photo(tmp_path / "image.tif").pixels, expected)


def changed_tag(content, code, value):
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        place = file.pages.first.tags[code].valueoffset
    return content[:place] + value.to_bytes(2, "little") + content[place + 2 :]


@pytest.mark.parametrize(
    ("photometric", "words"),
    [
        (10, r"ITU L\*a\*b\*"),
        (32803, "raw photograph of a camera"),
        (32845, "LogLuv"),
        (999, r"unknown kind \(999\)"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, photometric, words):
    content = io.BytesIO()
    tifffile.imwrite(content, picture(), photometric="rgb", metadata=None)
    (tmp_path / "image.tif").write_bytes(changed_tag(content.getvalue(), 262, photometric))
    with pytest.raises(NLRNError, match=rf"image\.tif: .*{words}"):
        read_photo(tmp_path / "image.tif")


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (picture(4), {"photometric": "separated", "extratags": [(332, 3, 1, 2, False)]}, "inks"),
        (np.zeros((8, 9), np.complex64), {}, "complex"),
        (np.full((8, 9), np.nan, np.float32), {}, "no numbers"),
        (np.zeros((8, 9), np.float32), {"photometric": "miniswhite"}, "floats whose zero is white"),
        (
            picture(),
            {"photometric": "rgb", "extratags": [(50706, 1, 4, b"\1\4\0\0", False)]},
            "raw photograph of a camera",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds_that_cannot_be_restored_are_named(tmp_path, image, options, words):
    with pytest.raises(NLRNError, match=rf"image\.tif: .*{words}"):
        read_photo(written(tmp_path, image, **options))


def test_raw_data_below_a_preview(tmp_path):
    """As in NEF files of Nikon: the first directory is a preview."""
    with tifffile.TiffWriter(tmp_path / "image.tif") as file:
        file.write(picture(), photometric="rgb", subifds=1, subfiletype=1, metadata=None)
        file.write(picture(1, np.uint16)[..., 0], photometric="cfa", metadata=None)
    with pytest.raises(NLRNError, match="raw photograph of a camera"):
        read_photo(tmp_path / "image.tif")
