import math
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from nlrn_tf.config import NLRNConfig
from nlrn_tf.data.degradations import imresize
from nlrn_tf.errors import NLRNError
from nlrn_tf.metrics import rgb_to_y
from nlrn_tf.model import NLRN
from nlrn_tf.restoration import predict, predict_patches, restore, self_ensemble


def identity(images):
    return images


def blur(images):
    """5 x 5 Gaussian blur with zero padding, as a network pads."""
    return np.stack(
        [cv2.GaussianBlur(image, (5, 5), 1.1, borderType=cv2.BORDER_CONSTANT) for image in images]
    )[..., None]


def shift_right(images):
    """Brighter to the right: neither flips nor rotations leave it alone."""
    return images + np.linspace(0, 1, images.shape[2], dtype=np.float32)[:, None]


def made_for(function, **config):
    def model(images):
        return function(images)

    model.config = SimpleNamespace(**config)
    return model


def noise(*shape):
    return np.random.default_rng(1).normal(0.5, 0.3, shape).astype(np.float32)


def colour_photo():
    return data.astronaut()[40:100, 180:250]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(16, 64))
def test_tiled_equals_whole_for_a_small_receptive_field(height, width, tile_size):
    image = noise(height, width)
    whole = blur(image[None, ..., None])[0, ..., 0]
    tiled = predict(blur, image, tile_size=tile_size, overlap=8)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_large_image_is_tiled_by_default():
    shapes = []

    def model(images):
        shapes.append(images.shape)
        return blur(images)

    image = noise(700, 530)
    whole = blur(image[None, ..., None])[0, ..., 0]
    np.testing.assert_allclose(predict(model, image), whole, atol=1e-6)
    assert len(shapes) > 1
    assert len(set(shapes)) == 1
    assert shapes[0][1] * shapes[0][2] <= 512**2


def test_tiles_that_disagree_are_blended_smoothly():
    level = iter(np.linspace(0, 1, 100))
    tiled = predict(
        lambda images: np.full_like(images, next(level)), noise(60, 3000), tile_size=300
    )
    steps = np.abs(np.diff(tiled, axis=1)).max()
    assert tiled.max() > 0
    assert steps < 0.01 / 8  # neighbours differ by 0.01


def test_predict_reports_progress():
    parts = []
    predict(identity, noise(100, 90), tile_size=32, on_progress=parts.append)
    assert len(parts) > 4
    assert sum(parts) == pytest.approx(1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    image = noise(20, 20)
    image[3, 4] = value
    for function in (predict, predict_patches, restore):
        with pytest.raises(NLRNError, match="finite"):
            function(identity, image)


@pytest.mark.parametrize("arguments", [{"tile_size": 0}, {"tile_size": 32, "overlap": 32}])
def test_impossible_tiles_are_refused(arguments):
    with pytest.raises(NLRNError, match="tile_size"):
        predict(identity, noise(50, 50), **arguments)


@pytest.mark.parametrize(
    ("shape", "size", "stride", "batch_size"),
    [((31, 26), 12, 5, 4), ((31, 8), 12, 5, 64), ((5, 6), 12, 7, 2), ((24, 24), 12, 12, 3)],
)
def test_patches_equal_the_mean_over_all_patches_of_each_pixel(shape, size, stride, batch_size):
    def model(images):  # depends on the place in the patch and on its content
        return shift_right(images) * images.mean((1, 2), keepdims=True)

    image = noise(*shape)
    height, width = min(size, shape[0]), min(size, shape[1])
    tops = sorted({*range(0, shape[0] - height + 1, stride), shape[0] - height})
    lefts = sorted({*range(0, shape[1] - width + 1, stride), shape[1] - width})
    patches = {
        (top, left): model(image[None, top : top + height, left : left + width, None])[0, ..., 0]
        for top in tops
        for left in lefts
    }
    expected = np.empty(shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            expected[y, x] = np.mean(
                [
                    patch[y - top, x - left]
                    for (top, left), patch in patches.items()
                    if 0 <= y - top < height and 0 <= x - left < width
                ]
            )
    result = predict_patches(model, image, size, stride, batch_size)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_batches_of_patches_have_one_shape():
    shapes = set()

    def model(images):
        shapes.add(images.shape)
        return images

    predict_patches(model, noise(40, 40), 16, 7, 6)
    assert shapes == {(6, 16, 16, 1)}


@pytest.mark.parametrize("arguments", [(45, 0), (10, 11), (0, 0), (45, 7, 0)])
def test_impossible_patches_are_refused(arguments):
    with pytest.raises(NLRNError, match="stride"):
        predict_patches(identity, noise(50, 50), *arguments)


def shifted_plane(image):
    return predict(shift_right, image)


def test_self_ensemble_is_the_mean_over_eight_views():
    image = noise(7, 11)
    expected = np.zeros(image.shape)
    for turns in range(4):
        plain = np.rot90(image, turns)
        expected += np.rot90(shifted_plane(plain), -turns)
        mirrored = np.flipud(plain)
        expected += np.rot90(np.flipud(shifted_plane(mirrored)), -turns)
    np.testing.assert_allclose(self_ensemble(shifted_plane, image), expected / 8, atol=1e-6)


def test_self_ensemble_turns_with_the_image():
    image = noise(7, 11)
    straight = self_ensemble(shifted_plane, image)
    for turn in (np.rot90, np.flipud, np.fliplr, np.transpose):
        turned = self_ensemble(shifted_plane, np.ascontiguousarray(turn(image)))
        np.testing.assert_allclose(turned, turn(straight), atol=1e-6)


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
    np.testing.assert_array_equal(restored[..., :-1], 255 - image[..., :-1])


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


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(5)
    model = NLRN(NLRNConfig(filters=8, embedding_size=4, num_states=2, window_size=7))
    weights = model.get_weights()
    model.set_weights([w + 0.1 * np.random.default_rng(0).normal(size=w.shape) for w in weights])
    # As in a trained network; else logits of many thousands would round differently in each tile.
    model.norm_in.moving_variance.assign([[70.0**2]])
    return model


def test_network_in_tiles_equals_the_whole_image(network):
    # Two states reach 2 (3 + 2) + 2 pixels, less than the part of the overlap thrown away.
    image = noise(90, 130)
    whole = predict(network, image)
    tiled = predict(network, image, tile_size=90, overlap=64)
    assert np.abs(whole - image).max() > 0.01
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


def test_network_restores_patches_and_colour(network):
    image = noise(20, 33)
    assert predict_patches(network, image, 7, 5).shape == (20, 33)
    rgb = colour_photo()
    restored = restore(network, rgb)
    for channel in range(3):
        np.testing.assert_array_equal(
            restored[..., channel], restore(network, np.ascontiguousarray(rgb[..., channel]))
        )
