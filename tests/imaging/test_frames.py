"""Animations, under whatever name."""

import io

import numpy as np
import pytest
from PIL import Image

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image, read_photo
from nlrn_tf.imaging.frames import num_frames
from tests.support.image_files import files_of

KINDS = ("PNG", "GIF", "WEBP", "AVIF")


def animation(kind, count=3):
    rng = np.random.default_rng(0)
    first, *others = (
        Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8)) for _ in range(count)
    )
    content = io.BytesIO()
    first.save(content, kind, save_all=True, append_images=others)
    return content.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_three_frames_are_never_one(tmp_path, kind):
    for name in ("image.png", "image.jpg"):
        (tmp_path / name).write_bytes(animation(kind))
        for read in (read_photo, read_image):
            with pytest.raises(NLRNError, match=rf"{name}: holds 3 pictures"):
                read(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_frames_are_counted(kind, count):
    assert num_frames(animation(kind, count)) == count


def test_a_picture_before_the_animation_counts():
    """A PNG file may have one that is shown only where there are no animations."""
    first, other = (Image.new("L", (8, 8), level) for level in (1, 200))
    content = io.BytesIO()
    first.save(content, "PNG", save_all=True, append_images=[other], default_image=True)
    assert num_frames(content.getvalue()) == 2


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".gif", ".avif", ".jp2"])
def test_still_pictures_have_one(suffix):
    assert {num_frames(content) for content in files_of(suffix)} == {1}
