"""Resolution, gamma and EXIF go from any format to any other; Pillow is the judge."""

import io

import numpy as np
import PIL.Image
import pytest
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging import encoding
from nlrn_tf.imaging.files import read_image, read_photo, write_image
from nlrn_tf.imaging.kept import Kept
from tests.support.image_files import jpeg_of_camera, picture

SUFFIXES = [".png", ".jpg", ".tif", ".webp", ".bmp"]
KINDS = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF", ".webp": "WEBP", ".bmp": "BMP"}
RESOLUTION = (300.0, 150.0)


def resolution_of(path):
    """Pixels per inch by Pillow, of WebP by its EXIF."""
    with PIL.Image.open(path) as image:
        if path.suffix != ".webp":
            return image.info.get("dpi")
        exif = image.getexif()
        assert exif.get(0x128, 2) == 2
        return (exif.get(282), exif.get(283)) if 282 in exif else None


def exif_of(path):
    with PIL.Image.open(path) as image:
        exif = image.getexif()
        return dict(exif), dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(0x8825))


def write_source(path, resolution=RESOLUTION, **options):
    """A file by Pillow with a resolution."""
    exif = PIL.Image.Exif()
    if path.suffix == ".webp":
        exif[282], exif[283], exif[296] = (*resolution, 2)
        options["exif"] = exif
    PIL.Image.fromarray(picture()).save(path, KINDS[path.suffix], dpi=resolution, **options)


def passed_on(source, target, *, exif=True):
    photo = read_photo(source)
    kept = photo.kept if exif else photo.kept.without_exif()
    write_image(target, photo.pixels, photo.icc_profile, kept)


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_the_resolution_is_kept(tmp_path, source, target):
    source, target = tmp_path / f"in{source}", tmp_path / f"out{target}"
    write_source(source)
    passed_on(source, target, exif=False)
    assert resolution_of(target) == pytest.approx(RESOLUTION, abs=0.013)
    np.testing.assert_array_equal(read_image(target).shape, picture().shape)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_where_there_is_none_none_is_made_up(tmp_path, suffix):
    write_image(tmp_path / f"in{suffix}", picture())
    assert read_photo(tmp_path / f"in{suffix}").kept == Kept()
    assert read_photo(tmp_path / f"in{suffix}").kept.resolution is None


@pytest.mark.parametrize("target", SUFFIXES)
def test_units_of_centimetres(tmp_path, target):
    tifffile.imwrite(
        tmp_path / "in.tif", picture(), photometric="rgb", resolution=(118, 59), resolutionunit=3
    )
    passed_on(tmp_path / "in.tif", tmp_path / f"out{target}")
    found = resolution_of(tmp_path / f"out{target}")
    assert found == pytest.approx((118 * 2.54, 59 * 2.54), abs=0.02)


def test_a_resolution_turns_with_the_image(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    write_source(tmp_path / "in.jpg", exif=exif)
    passed_on(tmp_path / "in.jpg", tmp_path / "out.png")
    assert resolution_of(tmp_path / "out.png") == pytest.approx(RESOLUTION[::-1], abs=0.013)


@pytest.mark.parametrize("target", [".png", ".tif", ".jpg"])
def test_exif_alone_tells_the_resolution(tmp_path, target):
    exif = PIL.Image.Exif()
    exif[282], exif[283], exif[296] = 240.0, 240.0, 2
    content = io.BytesIO()
    PIL.Image.fromarray(picture()).save(content, "JPEG", exif=exif)
    (tmp_path / "in.jpg").write_bytes(content.getvalue())
    passed_on(tmp_path / "in.jpg", tmp_path / f"out{target}", exif=False)
    assert resolution_of(tmp_path / f"out{target}") == pytest.approx((240, 240), abs=0.013)


def test_gamma_is_kept(tmp_path):
    chunks = PIL.PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))
    chromaticity = np.array([31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000], ">u4")
    chunks.add(b"cHRM", chromaticity.tobytes())
    PIL.Image.fromarray(picture()).save(tmp_path / "in.png", pnginfo=chunks)
    passed_on(tmp_path / "in.png", tmp_path / "out.png")
    with PIL.Image.open(tmp_path / "out.png") as image:
        assert image.info["gamma"] == 1.0
        assert image.info["chromaticity"] == pytest.approx(chromaticity / 100_000)
    np.testing.assert_array_equal(read_image(tmp_path / "out.png"), picture())
    kept = read_photo(tmp_path / "in.png").kept
    assert (kept.lost(".jpg"), kept.lost(".png")) == (["its gamma"], [])


@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".webp", ".tif"])
def test_exif_is_kept_upright_and_without_thumbnail(tmp_path, source, target):
    source, target = tmp_path / f"in{source}", tmp_path / f"out{target}"
    with PIL.Image.open(io.BytesIO(jpeg_of_camera())) as image:
        assert b"THUMB" in image.info["exif"]
        image.save(source, KINDS[source.suffix], exif=image.getexif(), dpi=(200, 200))
    before, inner_before, place_before = exif_of(source)
    passed_on(source, target)
    main, inner, place = exif_of(target)
    height, width = read_image(target).shape[:2]
    assert (width, height) == picture().shape[:2]  # it lay on its side
    assert main.get(0x112, 1) == 1
    for tag in (0x10E, 0x10F, 0x132, 0x13B, 0x8298):
        assert main[tag] == before[tag]
    assert (inner[0xA002], inner[0xA003]) == (width, height)
    for tag in (0x829A, 0x9003, 0x920A):
        assert inner[tag] == inner_before[tag]
    assert 37500 not in inner
    assert place == place_before
    content = target.read_bytes()
    assert b"THUMB" not in content
    assert b"notes of the maker" not in content
    passed_on(source, target, exif=False)
    assert b"A camera" not in target.read_bytes()
    assert exif_of(target)[1:] == ({}, {})


def test_sixteen_bits_with_exif(tmp_path):
    (tmp_path / "in.jpg").write_bytes(jpeg_of_camera())
    kept = read_photo(tmp_path / "in.jpg").kept
    for suffix in (".png", ".tif"):
        write_image(tmp_path / f"out{suffix}", picture(4, np.uint16), None, kept)
        photo = read_photo(tmp_path / f"out{suffix}")
        np.testing.assert_array_equal(photo.pixels, picture(4, np.uint16))
        assert photo.kept.exif[0x10F] == "A camera"


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_directories_are_added_in_either_byte_order(byteorder):
    inner = {0x829A: 0.005, 0x9003: "2020:01:02 03:04:05"}
    content = io.BytesIO()
    pages = np.stack([picture(), picture()[::-1]])
    tifffile.imwrite(content, pages, photometric="rgb", byteorder=byteorder, metadata=None)
    added = encoding._with_directories(content.getvalue(), {0x8769: inner})
    with tifffile.TiffFile(io.BytesIO(added)) as file:
        np.testing.assert_array_equal(file.asarray(), pages)
        assert file.pages[0].tags[0x8769].value["ExposureTime"] == 0.005
    with PIL.Image.open(io.BytesIO(added)) as image:
        assert dict(image.getexif().get_ifd(0x8769)) == inner
    with pytest.raises(ValueError, match="over 4 GiB has no place for EXIF"):
        encoding._with_directories(b"II+\0" + added[4:], {0x8769: inner})


@pytest.mark.parametrize("cut", range(4, 200, 7))
def test_damaged_exif_does_not_stop_an_image(tmp_path, cut):
    content = jpeg_of_camera()
    place = content.index(b"Exif\0\0") + 6
    damaged = content[: place + cut] + b"\xff" * 60 + content[place + cut + 60 :]
    (tmp_path / "in.jpg").write_bytes(damaged)
    passed_on(tmp_path / "in.jpg", tmp_path / "out.tif")
    assert read_image(tmp_path / "out.tif").ndim == 3


def test_what_cannot_be_kept_is_named():
    kept = Kept(exif={0x10F: "A camera"})
    assert kept.lost(".bmp") == ["its EXIF"]
    assert kept.lost(".png") == []
    damaged = Kept(damage="cut off")
    assert damaged.lost(".png") == ["its EXIF, which is damaged (cut off)"]
    assert damaged.without_exif().lost(".png") == []


def test_more_exif_than_a_jpeg_file_holds_is_refused(tmp_path):
    kept = Kept(exif={0x10F: "A camera", 0x8769: {37510: b"x" * 70_000}})
    with pytest.raises(
        NLRNError, match=r"image with its EXIF cannot be stored as \.jpg; use \.png"
    ):
        write_image(tmp_path / "out.jpg", picture(), None, kept)
    for suffix in (".png", ".tif", ".webp"):
        write_image(tmp_path / f"out{suffix}", picture(), None, kept)
        assert read_photo(tmp_path / f"out{suffix}").kept.exif == kept.exif
