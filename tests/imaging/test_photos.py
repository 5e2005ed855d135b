"""Photos, with alpha, profiles and 16 bits, against Pillow, tifffile and scikit-image."""

import cv2
import numpy as np
import pytest
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import (
    check_storable,
    read_image,
    read_photo,
    write_image,
)


def full_range(rng, dtype, *shape):
    return rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_photos_round_trip_in_the_formats_that_hold_them(tmp_path, rng, suffix, dtype, channels):
    image = full_range(rng, dtype, 13, 17, *channels)
    path = tmp_path / f"image{suffix}"
    if suffix == ".webp" and dtype == np.uint16:
        with pytest.raises(NLRNError, match=r"\.webp cannot hold 16 bits"):
            write_image(path, image)
        return
    write_image(path, image)
    found = read_photo(path).pixels
    if channels == (2,):  # it is written as colour with alpha
        image = image[..., [0, 0, 0, 1]]
    if suffix == ".webp" and not channels:
        image = np.repeat(image[..., None], 3, axis=2)
    if suffix == ".webp" and channels in ((2,), (4,)):  # no colour where nothing is seen
        image, found = image[image[..., 3] > 0], found[found[..., 3] > 0]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
def test_photos_are_read_as_pillow_reads_them(tmp_path, rng, mode):
    pillow = pytest.importorskip("PIL.Image")
    if mode == "I;16":
        image = pillow.fromarray(full_range(rng, np.uint16, 9, 14))
    else:
        channels = 4 if mode.endswith("A") else 3
        image = pillow.fromarray(full_range(rng, np.uint8, 9, 14, channels)).convert(mode)
    image.save(tmp_path / "image.png")
    expected = np.asarray(image.convert({"P": "RGB", "1": "L"}.get(mode, mode)))
    np.testing.assert_array_equal(read_photo(tmp_path / "image.png").pixels, expected)


def test_transparent_palettes_have_alpha(tmp_path, rng):
    pillow = pytest.importorskip("PIL.Image")
    image = pillow.fromarray(full_range(rng, np.uint8, 9, 14, 3)).quantize(8)
    image.save(tmp_path / "image.png", transparency=2)
    expected = np.asarray(pillow.open(tmp_path / "image.png").convert("RGBA"))
    assert (expected[..., 3] == 0).any()
    np.testing.assert_array_equal(read_photo(tmp_path / "image.png").pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16"])
def test_photos_are_turned_upright_as_pillow_does(tmp_path, rng, orientation, mode):
    from PIL import Image, ImageOps

    shape = (5, 8, len(mode)) if mode not in ("L", "I;16") else (5, 8)
    image = Image.fromarray(full_range(rng, np.uint16 if mode == "I;16" else np.uint8, *shape))
    exif = Image.Exif()
    exif[0x112] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "turned.png")))
    np.testing.assert_array_equal(read_photo(tmp_path / "turned.png").pixels, expected)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_rgb(tmp_path, suffix):
    pillow = pytest.importorskip("PIL.Image")
    blocks = np.array([[[200, 30, 40], [20, 180, 60]], [[10, 20, 220], [128, 128, 128]]], np.uint8)
    image = pillow.fromarray(np.kron(blocks, np.ones((16, 16, 1), np.uint8)))
    image.convert("CMYK").save(tmp_path / f"print{suffix}", icc_profile=icc_profile(b"CMYK"))
    photo = read_photo(tmp_path / f"print{suffix}")
    assert photo.pixels.shape == (32, 32, 3)
    assert np.abs(photo.pixels[8::16, 8::16].astype(int) - blocks).max() <= 2
    assert photo.icc_profile is None


def icc_profile(space):
    """The head of a profile of a colour space, padded."""
    return b"\0" * 16 + space + b"XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 200


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_colour_profiles_are_kept(tmp_path, rng, suffix):
    from PIL import Image, ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = full_range(rng, np.uint8, 20, 30, 3)
    Image.fromarray(image).save(tmp_path / f"in{suffix}", icc_profile=profile, lossless=True)
    photo = read_photo(tmp_path / f"in{suffix}")
    assert photo.icc_profile == profile
    write_image(tmp_path / f"out{suffix}", photo.pixels, photo.icc_profile)
    assert Image.open(tmp_path / f"out{suffix}").info["icc_profile"] == profile
    write_image(tmp_path / "out.bmp", photo.pixels, photo.icc_profile)  # goes without
    assert read_photo(tmp_path / "out.bmp").icc_profile is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_tiff_files_are_read_by_others(tmp_path, rng, dtype, channels):
    image = full_range(rng, dtype, 9, 14, *channels)
    write_image(tmp_path / "image.tif", image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "image.tif"), image)
    np.testing.assert_array_equal(read_photo(tmp_path / "image.tif").pixels, image)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_transparent_tiff_files(tmp_path, rng, compression, orientation, turns):
    """They say that their colours are not multiplied by alpha; OpenCV does so to them."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x112] = orientation
    pixels = full_range(rng, np.uint8, 9, 14, 4)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "image.tif", compression=compression, exif=exif)
    found = read_photo(tmp_path / "image.tif").pixels
    np.testing.assert_array_equal(found, np.rot90(pixels, turns))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_files_whose_zero_is_white(tmp_path, rng, dtype):
    image = full_range(rng, dtype, 9, 14)
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="miniswhite")
    expected = np.iinfo(dtype).max - image
    np.testing.assert_array_equal(read_photo(tmp_path / "image.tif").pixels, expected)


def test_thumbnails_in_a_tiff_file_are_no_pages(tmp_path, rng):
    image = full_range(rng, np.uint16, 9, 14, 3)
    with tifffile.TiffWriter(tmp_path / "image.tif") as file:
        file.write(image, photometric="rgb")
        file.write(image[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_photo(tmp_path / "image.tif").pixels, image)


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_damaged_files_are_read_or_refused(tmp_path, suffix):
    """Whatever is wrong with them. None of 300 is read with other errors than ours."""
    from PIL import Image

    rng = np.random.default_rng(5)
    exif = Image.Exif()
    exif[0x112] = 6
    channels = 4 if suffix == ".tif" else 3
    path = tmp_path / f"image{suffix}"
    Image.fromarray(full_range(rng, np.uint8, 9, 14, channels)).save(path, exif=exif)
    content = np.fromfile(path, np.uint8)
    outcomes = set()
    for _ in range(300):
        damaged = content.copy()
        damaged[rng.integers(0, min(len(content), 300), 3)] = rng.integers(0, 5, 3)
        damaged.tofile(path)
        try:
            outcomes.add(read_photo(path).pixels.ndim)
        except NLRNError as error:
            outcomes.add(str(error).partition(":")[0])
    assert {3, str(path)} <= outcomes <= {2, 3, str(path)}


def test_a_profile_that_the_format_refuses_does_not_cost_the_image(tmp_path, rng):
    image = full_range(rng, np.uint8, 20, 30, 3)
    write_image(tmp_path / "image.png", image, b"damaged")
    photo = read_photo(tmp_path / "image.png")
    np.testing.assert_array_equal(photo.pixels, image)
    assert photo.icc_profile is None


@pytest.mark.parametrize(
    ("image", "suffix", "words"),
    [
        (np.zeros((4, 4), np.uint16), ".jpg", "16 bits; use .png"),
        (np.zeros((4, 4, 3), np.uint16), ".bmp", "16 bits"),
        (np.zeros((4, 4, 4), np.uint8), ".jpg", "alpha; use .png"),
        (np.zeros((4, 4, 2), np.uint8), ".bmp", "alpha"),
        (np.zeros((1, 16384), np.uint8), ".webp", "16384 pixels a side, only 16383; use .png"),
        (np.zeros((65501, 1), np.uint8), ".jpg", "65501 pixels a side, only 65500"),
    ],
)
def test_formats_that_cannot_hold_an_image_are_refused(tmp_path, image, suffix, words):
    for function in (check_storable, write_image):
        with pytest.raises(NLRNError, match=words):
            function(tmp_path / f"image{suffix}", image)
    assert list(tmp_path.iterdir()) == []


def test_sizes_at_the_limit_are_written(tmp_path):
    for suffix, side in ((".webp", 16383), (".jpg", 65500)):
        write_image(tmp_path / f"image{suffix}", np.zeros((1, side), np.uint8))
        with pytest.raises(NLRNError, match=f"only {side}"):
            check_storable(f"image{suffix}", np.zeros((1, side // 2 + 1), np.uint8), scale=2)


def test_opaque_alpha_is_no_loss(tmp_path, rng):
    image = full_range(rng, np.uint8, 9, 12, 4)
    image[..., 3] = 255
    write_image(tmp_path / "image.bmp", image)
    np.testing.assert_array_equal(read_image(tmp_path / "image.bmp"), image[..., :3])


def test_a_level_that_is_transparent(tmp_path, rng):
    pillow = pytest.importorskip("PIL.Image")
    levels = rng.integers(70, 80, (9, 14), np.uint8)
    pillow.fromarray(levels).save(tmp_path / "grey.png", transparency=77)
    found = read_photo(tmp_path / "grey.png").pixels
    expected = np.dstack([levels, np.where(levels == 77, 0, 255)])
    np.testing.assert_array_equal(found, expected)
    cv2.imwrite(str(tmp_path / "cut.png"), levels)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    with pytest.raises(NLRNError, match=r"cut\.png"):
        read_photo(tmp_path / "cut.png")
