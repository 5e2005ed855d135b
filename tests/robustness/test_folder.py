"""A folder of 60 files, 20 of them bad in all the ways that have been met."""

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from nlrn_tf.imaging.files import find_images, read_photo
from tests.support.damaged import (
    closed_half,
    jpeg_with_looping_exif,
    looping_tiff,
    png_of_rows,
    with_size,
    without_last_scans,
    zeroed_strip,
)
from tests.support.image_files import by_opencv, by_pillow, picture

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 255  # bytes of a name


def sound_files():
    """40 of them, some with what must not matter."""
    numeric_profile = io.BytesIO()
    tags = [(34675, 4, 1, 77, False)]
    tifffile.imwrite(numeric_profile, picture(), photometric="rgb", extratags=tags, metadata=None)
    odd = {
        "loop.jpg": jpeg_with_looping_exif(),
        "profile.tif": numeric_profile.getvalue(),
        "ü.png": by_opencv(".png", 3),
        "写真.png": by_opencv(".png", 1),
        "red\x1b[31m.png": by_opencv(".png", 1),
        "two\nlines.png": by_opencv(".png", 1),
    }
    plain = {}
    for number in range(34):
        suffix = (".png", ".jpg", ".bmp", ".tif", ".webp")[number % 5]
        plain[f"sound{number:02}{suffix}"] = by_opencv(suffix, (1, 3)[number % 2])
    return {**odd, **plain}


def bad_files():
    """20 of them, with words of the reason that is given for each."""
    png, jpeg = by_opencv(".png", 3), by_opencv(".jpg", 3)
    progressive = by_opencv(".jpg", 3, options=(cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    bmp, webp = by_opencv(".bmp", 3), by_opencv(".webp", 3)
    lossless = by_opencv(".webp", 3, options=(cv2.IMWRITE_WEBP_QUALITY, 101))
    raw = by_pillow("TIFF", "RGBA")
    strips = [
        zeroed_strip(by_pillow("TIFF", "RGB", compression=kind))
        for kind in ("tiff_adobe_deflate", "tiff_lzw", "jpeg")
    ]
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 1
    zeroed = jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2 - 2) + jpeg[-2:]
    return {
        "empty.png": (b"", "it begins as no PNG"),
        "text.webp": (b"no image at all", "it begins as no PNG"),
        "cut.png": (png[: len(png) // 2], "its end is missing"),
        "flipped.png": (bytes(flipped), "wrong checksum of IDAT"),
        "short.png": (png_of_rows(picture(), lambda packed: packed[:-300]), "pixels are missing"),
        "huge_png.png": (with_size(png, ".png", 30_000), "claims 30000 x 30000 pixels"),
        "huge_jpg.jpg": (with_size(jpeg, ".jpg", 30_000), "claims 30000 x 30000 pixels"),
        "huge_tif.tif": (with_size(raw, ".tif", 15_000), "claims 15000 x 15000 pixels"),
        "huge_bmp.bmp": (with_size(bmp, ".bmp", 30_000), "claims 30000 x 30000 pixels"),
        "huge_webp.webp": (with_size(lossless, ".webp", 16_383), "claims 16383 x 16383 pixels"),
        "half.jpg": (closed_half(jpeg), "Corrupt JPEG data"),
        "zeroed.jpg": (zeroed, "Corrupt JPEG data"),
        "scans.jpg": (without_last_scans(progressive, 2), "scans are missing"),
        "circle.tif": (looping_tiff(2)[0], "its directories form a circle"),
        "zlib.tif": (strips[0], "strip or tile 0"),
        "lzw.tif": (strips[1], "is damaged"),
        "jpeg.tif": (strips[2], "strip or tile 0: "),
        "cut_webp.webp": (webp[: len(webp) // 2], "is damaged"),
        "deep.png": (by_opencv(".png", 3, np.uint16), ".webp cannot hold 16 bits"),
        "l" * (LONGEST - 4) + ".png": (by_opencv(".png", 1), "File name too long"),
    }


@pytest.fixture
def folder(tmp_path):
    for name, content in sound_files().items():
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    for name, (content, _) in bad_files().items():
        (tmp_path / "in" / name).write_bytes(content)
    assert len(find_images(tmp_path / "in")) == 60
    return tmp_path


def restore(folder, *arguments, encoding="ascii"):
    command = [sys.executable, ROOT / "run_restore.py", folder / "in", "-o", folder / "out"]
    return subprocess.run(
        [*map(str, command), "--weights=denoise_lite", "--suffix=.webp", *arguments],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )


@pytest.mark.slow
def test_the_good_ones_are_restored_and_the_bad_ones_named(folder):
    result = restore(folder)
    assert result.returncode == 1
    *lines, last = result.stderr.decode("ascii").splitlines()
    assert "20 of 60 images could not be restored" in last
    assert last.startswith("run_restore.py: ")
    bad = bad_files()
    assert len(lines) == len(bad) == 20
    for name, (_, words) in bad.items():
        blamed = folder / "in" / name
        if "cannot hold" in words or "too long" in words:  # it is the result that cannot be
            blamed = folder / "out" / Path(name).with_suffix(".webp")
        found = [line for line in lines if line.startswith(f"{blamed}: ")]
        assert len(found) == 1, (name, lines)
        assert words in found[0]
        assert ("--accept_damaged=True" in found[0]) == ("is damaged (" in found[0])
    assert b"\x1b" not in result.stdout + result.stderr
    assert rb"\u5199\u771f.png: noise level" in result.stdout
    assert rb"red\x1b[31m.png: noise level" in result.stdout
    assert rb"two\nlines.png: noise level" in result.stdout
    written = {path.stem for path in (folder / "out").iterdir()}
    assert written == {Path(name).stem for name in sound_files()}
    for path in (folder / "out").iterdir():
        assert read_photo(path).pixels.ndim == 3
