"""Files that were damaged, or made to harm: each with the right answer."""

import io
import resource
import subprocess
import sys
import time
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.directories import MAX_DIRECTORIES
from nlrn_tf.imaging.files import MAX_PIXELS, read_image, read_photo
from nlrn_tf.imaging.jpeg import MAX_SCANS
from tests.support.damaged import (
    closed_half,
    jpeg_with_looping_exif,
    looping_tiff,
    png_of_rows,
    with_size,
    without_last_scans,
    zeroed_strip,
)
from tests.support.image_files import HEIGHT, WIDTH, by_opencv, by_pillow, files_of, picture

TIFF_KINDS = ("tiff_adobe_deflate", "tiff_lzw", "jpeg", "packbits")


@pytest.fixture
def refused(tmp_path, capfd):
    """Writes a file, and gives the message by which it is refused; nothing else is printed."""

    def attempt(content, suffix=".png", **options):
        path = tmp_path / f"image{suffix}"
        path.write_bytes(content)
        with pytest.raises(NLRNError) as caught:
            read_photo(path, **options)
        assert capfd.readouterr().err == ""
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        return message

    return attempt


@pytest.fixture
def accepted(tmp_path, capfd):
    """The photo that is there of a damaged file, without any print."""

    def attempt(content, suffix=".png", **options):
        path = tmp_path / f"image{suffix}"
        path.write_bytes(content)
        photo = read_photo(path, accept_damaged=True, **options)
        assert capfd.readouterr().err == ""
        return photo

    return attempt


def test_an_exif_block_in_a_circle_does_not_matter(tmp_path):
    (tmp_path / "loop.jpg").write_bytes(jpeg_with_looping_exif())
    begun = time.monotonic()
    photo = read_photo(tmp_path / "loop.jpg")
    np.testing.assert_array_equal(photo.pixels, np.zeros((16, 16, 3)))
    np.testing.assert_array_equal(read_image(tmp_path / "loop.jpg"), photo.pixels)
    assert photo.damage is None
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_directories_in_a_circle_are_refused(refused, accepted, length, bigtiff):
    content, pixels = looping_tiff(length, bigtiff)
    assert "its directories form a circle" in refused(content, ".tif")
    np.testing.assert_array_equal(accepted(content, ".tif").pixels, pixels)


def test_links_to_other_directories_are_not_followed(tmp_path):
    """SubIFDs, and the directories of EXIF and GPS, that point to the first directory."""
    content = io.BytesIO()
    tags = [(tag, 4, 1, 8, False) for tag in (330, 34665, 34853)]
    tifffile.imwrite(content, picture(), photometric="rgb", extratags=tags, metadata=None)
    (tmp_path / "image.tif").write_bytes(content.getvalue())
    np.testing.assert_array_equal(read_photo(tmp_path / "image.tif").pixels, picture())


def test_many_directories_are_refused(refused):
    pages = io.BytesIO()
    tifffile.imwrite(pages, picture(), photometric="rgb", metadata=None)
    content = bytearray(pages.getvalue())
    entry = b"\0\0\0\0" * 3
    for _ in range(MAX_DIRECTORIES + 1):
        place = len(content) + 18
        content += b"\1\0" + entry + place.to_bytes(4, "little")
    first = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[first : first + 2], "little")
    link = first + 2 + 12 * count
    content[link : link + 4] = len(pages.getvalue()).to_bytes(4, "little")
    assert f"directories are over {MAX_DIRECTORIES}" in refused(bytes(content), ".tif")


@pytest.mark.parametrize("compression", TIFF_KINDS)
def test_tiff_strips_that_are_broken_are_refused(refused, accepted, compression):
    sound = by_pillow("TIFF", "RGB", compression=compression)
    assert "is damaged (" in refused(zeroed_strip(sound), ".tif")
    photo = accepted(zeroed_strip(sound), ".tif")
    assert photo.damage
    assert photo.pixels.shape == (HEIGHT, WIDTH, 3)


def test_a_tiff_strip_that_is_too_short_is_refused(refused):
    half = picture()[: HEIGHT // 2].tobytes()
    content = io.BytesIO()
    tifffile.imwrite(content, picture(), photometric="rgb", compression="zlib", metadata=None)
    for packed in (zlib.compress(half), zlib.compress(picture().tobytes())[:-300]):
        with tifffile.TiffFile(io.BytesIO(content.getvalue())) as file:
            start, counts = file.pages.first.dataoffsets[0], file.pages.first.tags[279]
            place = counts.valueoffset
        changed = bytearray(content.getvalue())
        changed[start : start + len(packed)] = packed
        changed[place : place + 4] = len(packed).to_bytes(4, "little")
        assert "strip or tile 0: " in refused(bytes(changed), ".tif")


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_a_jpeg_cut_in_half_and_closed_is_refused(refused, accepted, options):
    large = np.tile(picture(), (4, 4, 1))
    sound = cv2.imencode(".jpg", large, [*options])[1].tobytes()
    assert "is damaged (" in refused(closed_half(sound), ".jpg")
    if not options:
        upper = accepted(closed_half(sound), ".jpg").pixels[:HEIGHT]
        decoded = cv2.imdecode(np.frombuffer(sound, np.uint8), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(upper, decoded[:HEIGHT])


def test_a_jpeg_with_zeroed_data_is_refused(refused):
    sound = by_opencv(".jpg", 3)
    middle = len(sound) // 2
    content = sound[:middle] + bytes(len(sound) - middle - 2) + sound[-2:]
    assert "Corrupt JPEG data" in refused(content, ".jpg")


def test_a_progressive_jpeg_without_its_last_scans_is_refused(refused):
    """libjpeg has no word for it: it is a whole image of less detail."""
    sound = by_opencv(".jpg", 3, options=(cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    assert "scans are missing" in refused(without_last_scans(sound, 2), ".jpg")


def test_a_jpeg_of_many_scans_is_refused(refused):
    sound = by_opencv(".jpg", 3, options=(cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    scan = sound[sound.rindex(b"\xff\xda") : -2]
    assert "scans" in refused(sound[:-2] + scan * MAX_SCANS + b"\xff\xd9", ".jpg")


@pytest.mark.parametrize("interlaced", [False, True])
def test_pixels_missing_behind_right_checksums_of_png(refused, accepted, interlaced):
    pixels = picture()
    sound = png_of_rows(pixels, interlaced=interlaced)
    np.testing.assert_array_equal(accepted(sound).pixels, pixels)
    assert accepted(sound).damage is None
    for change in (lambda packed: packed[:-200], lambda packed: packed[:-4] + b"\0\0\0\0"):
        assert "is damaged (" in refused(png_of_rows(pixels, change, interlaced=interlaced))
    cut = png_of_rows(pixels, lambda packed: packed[: len(packed) // 2])
    upper = accepted(cut).pixels[: HEIGHT // 4]
    np.testing.assert_array_equal(upper, pixels[: HEIGHT // 4])


def test_pixels_of_colours_that_the_palette_lacks(refused):
    """Decoders make them black, without a word."""
    png = by_pillow("PNG", "P")
    start = png.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4], "big")
    few = (30).to_bytes(4, "big") + png[start + 4 : start + 38]
    checksum = zlib.crc32(few[4:]).to_bytes(4, "big")
    assert "colours are missing" in refused(png[:start] + few + checksum + png[end:])
    bmp = bytearray(by_opencv(".bmp", 1))
    bmp[46:50] = (10).to_bytes(4, "little")
    assert "colours are missing" in refused(bytes(bmp), ".bmp")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_cut_files_are_refused(refused, suffix):
    for content in files_of(suffix):
        assert refused(content[: len(content) * 3 // 4], suffix)


def test_a_profile_that_is_a_number_is_none(tmp_path):
    content = io.BytesIO()
    tags = [(34675, 4, 1, 77, False)]
    tifffile.imwrite(content, picture(), photometric="rgb", extratags=tags, metadata=None)
    (tmp_path / "image.tif").write_bytes(content.getvalue())
    photo = read_photo(tmp_path / "image.tif")
    np.testing.assert_array_equal(photo.pixels, picture())
    assert photo.icc_profile is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_the_size_that_a_file_claims_is_judged_first(refused, suffix):
    side = 16383 if suffix == ".webp" else 30_000
    content = with_size(files_of(suffix)[0], suffix, side)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = refused(content, suffix)
    assert f"claims {side} x {side} pixels, more than max_pixels={MAX_PIXELS}" in message
    assert time.monotonic() - begun < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_claims_below_the_limit_need_the_bytes_for_them(refused, suffix):
    content = with_size(files_of(suffix)[0], suffix, 14_000)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(content, suffix)
    assert time.monotonic() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_the_limit_is_the_number_of_pixels(refused, accepted, suffix):
    content = files_of(suffix)[0]
    assert f"max_pixels={HEIGHT * WIDTH - 1}" in refused(
        content, suffix, max_pixels=HEIGHT * WIDTH - 1
    )
    photo = accepted(content, suffix, max_pixels=HEIGHT * WIDTH)
    assert photo.pixels.shape[:2] == (HEIGHT, WIDTH)


def test_other_formats_are_refused_whatever_their_name(refused):
    content = io.BytesIO()
    PIL.Image.fromarray(picture()).save(content, "PPM")
    assert "begins as no PNG, JPEG, TIFF, BMP, WebP, GIF" in refused(content.getvalue())
    assert "begins as no PNG, JPEG" in refused(b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_sound_images_larger_than_opencv_allows(tmp_path, suffix):
    """A line of a scanner, of over a million pixels."""
    wide = np.random.default_rng(0).integers(0, 256, (2, 1_100_000), np.uint8)
    PIL.Image.fromarray(wide).save(tmp_path / f"wide{suffix}")
    np.testing.assert_array_equal(read_photo(tmp_path / f"wide{suffix}").pixels, wide)


def test_a_huge_image_of_one_bit_is_judged_at_once(refused):
    content = io.BytesIO()
    PIL.Image.new("1", (40_000, 3)).save(content, "TIFF", compression="group4")
    huge = bytearray(content.getvalue())
    with tifffile.TiffFile(io.BytesIO(content.getvalue())) as file:
        place = file.pages.first.tags[257].valueoffset
    huge[place : place + 4] = (30_000).to_bytes(4, "little")
    begun = time.monotonic()
    assert "claims 40000 x 30000 pixels, more than max_pixels" in refused(bytes(huge), ".tif")
    assert time.monotonic() - begun < 1


def test_too_little_memory_is_told_as_such(tmp_path):
    """A sound image of 100 megapixels where 150 MiB are free."""
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((10_000, 10_000, 3), np.uint8))
    program = (
        "import resource, sys\n"
        "from nlrn_tf.errors import NLRNError\n"
        "from nlrn_tf.imaging.files import read_photo\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (150 << 20),) * 2)\n"
        "try:\n"
        "    read_photo(sys.argv[1])\n"
        "except NLRNError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "large.png")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"{tmp_path / 'large.png'}: there is too little memory\n"
    assert result.stderr == ""
