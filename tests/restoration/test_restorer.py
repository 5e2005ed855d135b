"""Images of all kinds: grey and colour, with alpha, of every dtype, restored and enlarged."""

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from skimage import data

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_y
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.restoration.planes import self_ensemble
from nlrn_tf.restoration.restorer import restore
from tests.support.restoration import (
    blur,
    colour_photo,
    identity,
    noise,
    shift_right,
    shifted_plane,
)


def made_for(function, **config):
    def model(images):
        return function(images)

    model.config = SimpleNamespace(**config)
    return model


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 1), (13, 17, 2), (13, 17, 3), (13, 17, 4)])
def test_restore_keeps_dtype_and_shape(shape, dtype):
    image = noise(*shape).clip(0, 1)
    if np.issubdtype(dtype, np.integer):
        image = (image * np.iinfo(dtype).max).astype(dtype)
    image = image.astype(dtype)
    restored = restore(identity, image)
    assert restored.dtype == dtype
    np.testing.assert_allclose(restored, image, atol=1e-7)  # float64 passes through float32


def test_channels_are_restored_one_by_one():
    image = colour_photo()
    expected = cv2.GaussianBlur(
        image.astype(np.float32), (5, 5), 1.1, borderType=cv2.BORDER_CONSTANT
    )
    restored = restore(made_for(blur, task="denoise"), image)
    np.testing.assert_array_equal(restored, np.rint(expected).astype(np.uint8))


def test_result_is_rounded_and_clipped():
    image = np.full((4, 4), 100, np.uint8)
    assert (restore(lambda images: images + 0.6 / 255, image) == 101).all()
    assert (restore(lambda images: images + 1, image) == 255).all()
    assert (restore(lambda images: images - 1, image / 255) == 0).all()


def test_float_noise_reaches_the_model_unclipped():
    image = noise(30, 30)
    assert image.min() < 0
    assert image.max() > 1
    restored = restore(lambda images: (images + 3) / 8, image)
    np.testing.assert_allclose(restored, (image + 3) / 8, atol=1e-6)


def test_restore_with_self_ensemble():
    image = (noise(9, 12).clip(0, 1) * 255).astype(np.uint8)
    expected = self_ensemble(shifted_plane, image.astype(np.float32) / 255)
    restored = restore(shift_right, image, self_ensemble=True)
    np.testing.assert_array_equal(restored, np.rint(expected.clip(0, 1) * 255))


@pytest.mark.parametrize("ensemble", [False, True])
def test_restore_reports_progress(ensemble):
    parts = []
    restore(
        identity,
        colour_photo(),
        self_ensemble=ensemble,
        tile_size=32,
        on_progress=parts.append,
    )
    assert sum(parts) == pytest.approx(1)


@pytest.mark.parametrize("image", [colour_photo(), colour_photo()[..., 1]])
@pytest.mark.parametrize("scale", [2, 3])
def test_super_resolution_of_the_identity_is_bicubic(image, scale):
    model = made_for(identity, task="sr", scales=(2, 3))
    bicubic = np.rint(imresize(image / 255.0, scale).clip(0, 1) * 255)
    enlarged = restore(model, image, scale=scale)
    assert enlarged.shape == (scale * image.shape[0], scale * image.shape[1], *image.shape[2:])
    assert np.abs(enlarged - bicubic).max() <= 1  # there and back through float32 YCbCr


def test_super_resolution_restores_the_luma_only():
    def brighter(images):
        return images + np.float32(10 / 255)

    image = colour_photo() // 2 + 50  # far from clipping
    plain = restore(made_for(identity, task="sr", scales=(2,)), image)
    changed = restore(made_for(brighter, task="sr", scales=(2,)), image)
    luma = rgb_to_y(changed).astype(int) - rgb_to_y(plain)
    assert abs(luma.mean() - 10) < 0.1
    chroma = [cv2.cvtColor(x, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(int) for x in (plain, changed)]
    assert np.abs(chroma[0] - chroma[1]).max() <= 1


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"task": "denoise"}, 2),
        ({"task": "sr", "scales": (2, 3)}, 4),
        ({"task": "sr", "scales": ()}, None),
        ({"task": "sr", "scales": (2, 3)}, 1.4),
        ({"task": "sr", "scales": (2,)}, 2.5),
        ({"task": None}, 1),
        ({"task": None}, np.nan),
    ],
)
def test_scale_that_does_not_fit_the_model_is_refused(config, scale):
    with pytest.raises(NLRNError, match="scale"):
        restore(made_for(identity, **config), colour_photo(), scale=scale)


@pytest.mark.parametrize("scale", [1.5, 2.2, np.pi, 3.99])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_scales_between_those_of_the_model(scale, channels):
    """The identity is MATLAB's bicubic at any scale; the sides are rounded up as MATLAB does."""
    image = np.random.default_rng(2).integers(0, 65536, (21, 13, *channels), np.uint16)
    enlarged = restore(made_for(identity, task="sr", scales=(2, 3, 4)), image, scale=scale)
    assert enlarged.shape == (math.ceil(21 * scale), math.ceil(13 * scale), *channels)
    bicubic = np.clip(imresize(image / 65535.0, scale), 0, 1) * 65535
    assert np.abs(enlarged - bicubic).max() < 2


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_kept_in_denoising(channels):
    image = np.random.default_rng(3).integers(0, 256, (20, 30, channels), np.uint8)
    restored = restore(made_for(lambda images: 1 - images, task="denoise"), image)
    np.testing.assert_array_equal(restored[..., -1], image[..., -1])
    seen = image[..., -1:] > 0  # what lies under the others is kept
    expected = np.where(seen, 255 - image[..., :-1], image[..., :-1])
    np.testing.assert_array_equal(restored[..., :-1], expected)


def sprite(hidden):
    """A disc cut out of a photograph, with colours under what is not seen."""
    photo = np.ascontiguousarray(data.astronaut()[60:124, 170:234])
    rows, columns = np.mgrid[:64, :64] - 32
    alpha = np.uint8(255) * (rows**2 + columns**2 <= 24**2)
    return np.dstack([np.where(alpha[..., None] > 0, photo, hidden), alpha]).astype(np.uint8)


@pytest.mark.parametrize("options", [{"task": "sr", "scales": (2,)}, {"task": "denoise"}])
@pytest.mark.parametrize("hidden", [0, 255, 255 * np.eye(3)[1]])
def test_what_is_not_seen_leaves_no_fringe(options, hidden):
    """As of the same picture whose colours go on where nothing is seen."""
    photo = np.ascontiguousarray(data.astronaut()[60:124, 170:234])
    restored = restore(made_for(blur, **options), sprite(hidden))
    opaque = restore(made_for(blur, **options), photo)
    seen = restored[..., 3] > 0
    distance = np.abs(restored[..., :3].astype(int) - opaque)[seen]
    assert distance.mean() < 2
    assert np.quantile(distance, 0.99) < 20
    if np.ndim(hidden):  # all alike, whatever is hidden
        black = restore(made_for(blur, **options), sprite(0))
        np.testing.assert_array_equal(black[seen], restored[seen])


def test_alpha_is_enlarged_without_the_network():
    image = np.random.default_rng(3).integers(0, 256, (12, 15, 4), np.uint8)
    dark = restore(made_for(lambda images: images * 0, task="sr", scales=(2, 3)), image, scale=3)
    assert dark[..., :3].mean() < image[..., :3].mean() / 2
    expected = np.rint(np.clip(imresize(image[..., 3] / 255, 3), 0, 1) * 255)
    np.testing.assert_array_equal(dark[..., 3], expected)


def test_16_bits_are_more_than_8():
    image = np.arange(256 * 16, dtype=np.uint16).reshape(64, 64) * 3
    restored = restore(lambda images: images + np.float32(100 / 65535), image)
    assert np.abs(restored.astype(int) - image - 100).max() <= 1


def test_default_scale_is_the_first_of_the_model():
    model = made_for(identity, task="sr", scales=(3, 2))
    assert restore(model, np.zeros((5, 6), np.uint8)).shape == (15, 18)


def test_model_of_unknown_task_enlarges_when_told():
    assert restore(identity, np.zeros((5, 6), np.uint8), scale=2).shape == (10, 12)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), np.int16), "int16"),
        (np.zeros((8, 8), bool), "bool"),
        (np.zeros((8, 8, 0), np.uint8), r"\[H, W\]"),
        (np.zeros((8, 8, 5), np.uint8), r"\[H, W\]"),
        (np.zeros((1, 8, 8, 1), np.uint8), r"\[H, W\]"),
        (np.zeros((0, 8), np.uint8), "empty"),
        (np.full((8, 8), 200.0), "200"),
    ],
)
def test_unsupported_images_are_refused(image, message):
    with pytest.raises(NLRNError, match=message):
        restore(identity, image)
