"""The client puts back the colour profile, which the server does not return."""

import io

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from tests.support.serving import calls

SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
GREY = SRGB[:16] + b"GRAY" + SRGB[20:]
LONG = SRGB + np.random.default_rng(0).bytes(150_000)  # of several segments in a JPEG file


def file_of(kind, mode="RGB", profile=None, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), np.uint8)
    content = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(content, kind, icc_profile=profile)
    return content.getvalue()


def read(content):
    with PIL.Image.open(io.BytesIO(content)) as image:
        image.load()
        return np.asarray(image), image.info.get("icc_profile")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("profile", [SRGB, LONG])
def test_the_profile_is_that_of_the_input(kind, profile):
    result = file_of("PNG", seed=1)
    with_profile = calls.with_profile(result, file_of(kind, profile=profile))
    pixels, found = read(with_profile)
    assert found == profile
    np.testing.assert_array_equal(pixels, read(result)[0])


@pytest.mark.parametrize(
    ("mode", "profile", "is_kept"),
    [("L", GREY, True), ("L", SRGB, False), ("RGB", GREY, False), ("RGBA", SRGB, True)],
)
def test_a_profile_fits_the_channels(mode, profile, is_kept):
    result = file_of("PNG", mode)
    with_profile = calls.with_profile(result, file_of("PNG", "RGB", profile))
    assert read(with_profile)[1] == (profile if is_kept else None)


def test_nothing_is_added_where_nothing_is_or_it_is_damaged():
    result = file_of("PNG")
    png, jpeg = file_of("PNG", profile=SRGB), file_of("JPEG", profile=LONG)
    place = png.index(b"iCCP")
    damaged = [
        png[: place + 20] + b"\xff" * 40 + png[place + 60 :],
        jpeg.replace(b"ICC_PROFILE\0\2", b"ICC_PROFILE\0\1"),
        jpeg[:4000],
        jpeg[:2],
        b"",
        file_of("JPEG"),
        file_of("PNG"),
    ]
    for source in damaged:
        assert calls.with_profile(result, source) == result
