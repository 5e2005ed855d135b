"""The graph cuts images into tiles as `restoration.tiling`, and restores them as `predict`."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nlrn_tf.export import planes
from nlrn_tf.restoration import tiling
from nlrn_tf.restoration.planes import predict

SIDES = st.integers(1, 3000)


TILE = 512


@tf.function(input_signature=[tf.TensorSpec([], tf.int32)] * 2)
def _tile_shape(height, width):
    return planes.tile_shape(height, width, TILE)


@tf.function(input_signature=[tf.TensorSpec([], tf.int32)] * 2)
def _tile_weights(size, tile):
    return planes.tile_weights(size, tile)


@settings(deadline=None, max_examples=200)
@given(SIDES, SIDES)
def test_tile_shape(height, width):
    expected = tiling.tile_shape(height, width, TILE, planes.OVERLAP)
    assert tuple(int(side) for side in _tile_shape(height, width)) == expected


@pytest.mark.parametrize("shape", [(1, 10**7), (10**7, 1), (50_000, 65), (64, 4097), (512, 513)])
def test_tile_shape_of_long_images(shape):
    expected = tiling.tile_shape(*shape, TILE, planes.OVERLAP)
    assert tuple(int(side) for side in _tile_shape(*shape)) == expected


@settings(deadline=None, max_examples=100)
@given(SIDES, st.integers(planes.OVERLAP + 1, 700))
def test_tile_weights(size, tile):
    tile = min(size, tile)
    expected = tiling.tile_weights(size, tile, planes.OVERLAP)
    starts, weights = _tile_weights(size, tile)
    assert starts.numpy().tolist() == [part.start for part, _ in expected]
    np.testing.assert_array_equal(weights, np.stack([weight for _, weight in expected]))


def _smooth(images):
    """A network that looks at its surroundings, zero beyond the border as convolutions do."""
    kernel = tf.random.stateless_uniform([9, 9, 1, 1], (1, 2)) / 40
    return tf.nn.conv2d(images, kernel, 1, "SAME")


@pytest.mark.parametrize("shape", [(1, 1), (40, 50), (512, 512), (700, 650), (3, 90_000)])
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_planes_are_restored_as_by_predict(shape, at_once, rng):
    images = rng.random((3, *shape), np.float32)
    restore = tf.function(lambda x: planes.restore_planes(planes.Network(_smooth, 512), x, at_once))
    expected = [predict(lambda x: _smooth(x).numpy(), image) for image in images]
    np.testing.assert_allclose(restore(images), expected, atol=1e-6)


@pytest.mark.parametrize(("scale", "first"), [(4, 0), (2, 16), (3, 20)])
def test_a_scale_has_the_sub_pixels_in_its_place(scale, first):
    def numbered(planes):
        return planes + tf.range(16 + 4 + 9, dtype=tf.float32)

    network = planes.Network(numbered, 512, scales=(4, 2, 3))
    enlarge = tf.function(lambda plane, scale: planes.enlarge_plane(network, plane, scale))
    expected = np.tile(first + np.arange(scale**2).reshape(scale, scale), (5, 7))
    found = enlarge(tf.zeros([5, 7]), tf.constant(scale))
    np.testing.assert_array_equal(found, expected)


def test_small_planes_go_together():
    sizes = {(43, 43): 141, (512, 512): 1, (4000, 4000): 1, (512, 256): 2}
    for (height, width), count in sizes.items():
        assert int(planes.planes_per_tile(planes.Network(_smooth, 512), height, width)) == count
