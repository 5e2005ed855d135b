import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from nlrn_tf.imaging.files import Photo
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.imaging.white_level import WhiteLevel
from nlrn_tf.web.preview import shown_like, write_preview


def shown(tmp_path, photo, scale=1):
    write_preview(tmp_path / "x.png", photo, scale)
    with PIL.Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG"
        return np.asarray(image), image.info.get("icc_profile")


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
def test_8_bits_are_shown_as_they_are(shape, tmp_path, rng):
    pixels = rng.integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(shown(tmp_path, Photo(pixels))[0], pixels)


def test_the_profile_is_shown_too(tmp_path, rng):
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
    assert shown(tmp_path, Photo(pixels, profile))[1] == profile


def test_16_bits_are_shown_up_to_white(tmp_path):
    pixels = np.array([[0, 2048, 4095, 5000]], np.uint16)
    photo = Photo(pixels, white=WhiteLevel(4095, True, ""))
    np.testing.assert_array_equal(shown(tmp_path, photo)[0], [[0, 128, 255, 255]])
    np.testing.assert_array_equal(
        shown(tmp_path, Photo(np.uint16([[0, 65535]]), white=WhiteLevel(65535, False, "")))[0],
        [[0, 255]],
    )


def test_alpha_of_16_bits_has_its_own_white(tmp_path):
    pixels = np.array([[[4095, 2048, 0, 65535], [4095, 4095, 4095, 0]]], np.uint16)
    photo = Photo(pixels, white=WhiteLevel(4095, True, ""))
    np.testing.assert_array_equal(
        shown(tmp_path, photo)[0], [[[255, 128, 0, 255], [255, 255, 255, 0]]]
    )
    np.testing.assert_array_equal(photo.pixels, pixels)


def test_both_pictures_are_equally_bright():
    dark = Photo(np.uint16([[7]]), white=WhiteLevel(4095, True, ""))
    light = Photo(np.uint16([[7]]), white=WhiteLevel(65535, False, ""))
    assert shown_like(light, dark).white == dark.white


def test_an_enlarged_one_is_bicubic(tmp_path, rng):
    pixels = rng.integers(0, 256, (12, 10), np.uint8)
    enlarged = np.clip(255 * imresize(pixels / 255, 1.5), 0, 255)
    found = shown(tmp_path, Photo(pixels), 1.5)[0]
    assert found.shape == (18, 15)
    np.testing.assert_allclose(found, enlarged, atol=0.51)
