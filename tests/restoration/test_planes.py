"""One plane at a time: whole, in tiles, in patches, and as an ensemble."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.restoration import planes
from nlrn_tf.restoration.planes import predict, predict_patches, self_ensemble
from nlrn_tf.restoration.restorer import restore
from tests.support.restoration import (
    blur,
    colour_photo,
    identity,
    noise,
    shift_right,
    shifted_plane,
)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(16, 64))
def test_tiled_equals_whole_for_a_small_receptive_field(height, width, tile_size):
    image = noise(height, width)
    whole = blur(image[None, ..., None])[0, ..., 0]
    tiled = predict(blur, image, tile_size=tile_size, overlap=8)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_large_image_is_tiled_by_default(monkeypatch):
    monkeypatch.setattr(planes, "tile_memory", lambda: planes.SMALLEST_MEMORY)
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


@pytest.mark.parametrize(
    ("function", "options"),
    [(predict, {"tile_size": 32}), (predict_patches, {"patch_size": 20, "stride": 10})],
)
def test_progress_is_reported(function, options):
    parts = []
    function(identity, noise(100, 90), on_progress=parts.append, **options)
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


@pytest.mark.parametrize(
    ("total", "expected"),
    [(2 * 2**30, 3 * 2**30), (20 * 2**30, 4 * 2**30), (500 * 2**30, int(4.5 * 2**30))],
)
def test_tiles_take_a_fifth_of_the_memory_within_limits(monkeypatch, total, expected):
    monkeypatch.setattr(planes.machine, "memory", lambda: total)
    assert planes.tile_memory() == expected


@pytest.mark.parametrize("memory", [3 * 2**30, 4 * 2**30])
def test_default_tiles_fit_into_the_memory_and_nearly_fill_it(memory):
    side = planes.default_tile_size(lambda images: images, memory)  # float32
    per_pixel = 11 * 2**10
    assert side % 64 == 0
    assert side**2 * per_pixel <= memory < (side + 64) ** 2 * per_pixel
