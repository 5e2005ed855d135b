import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nlrn_tf.restoration.tiling import positions, tile_shape, tile_weights

sides = st.integers(1, 300)


@given(sides, sides, st.integers(1, 100), st.data())
def test_tiles_cover_the_image_and_keep_to_size_and_overlap(height, width, tile_size, data):
    overlap = data.draw(st.integers(0, tile_size - 1))
    shape = tile_shape(height, width, tile_size, overlap)
    assert shape[0] * shape[1] <= max(tile_size**2, 1)
    for size, tile in zip((height, width), shape, strict=True):
        assert 1 <= tile <= size
        parts = [part for part, _ in tile_weights(size, tile, overlap)]
        assert all(part.stop - part.start == tile for part in parts)
        assert (parts[0].start, parts[-1].stop) == (0, size)
        shared = [a.stop - b.start for a, b in itertools.pairwise(parts)]
        assert all(pixels >= overlap for pixels in shared)


@given(sides, sides, st.integers(8, 100))
def test_small_images_are_one_tile(height, width, tile_size):
    whole = tile_shape(height, width, tile_size, tile_size // 4) == (height, width)
    assert whole == (height * width <= tile_size**2)


@given(sides, st.integers(1, 100), st.data())
def test_weights_sum_to_one_and_do_not_jump(size, tile, data):
    tile = min(tile, size)
    overlap = data.draw(st.integers(0, tile - 1))
    total = np.zeros(size)
    tiles = tile_weights(size, tile, overlap)
    for part, weights in tiles:
        assert (weights >= 0).all()
        total[part] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert tiles[0][1][0] > 0
    assert tiles[-1][1][-1] > 0


def test_borders_of_tiles_inside_the_image_have_no_weight():
    tiles = tile_weights(1000, 200, 64)
    assert len(tiles) == 7
    for number, (_, weights) in enumerate(tiles):
        if number > 0:
            assert (weights[:16] == 0).all()
        if number < len(tiles) - 1:
            assert (weights[-16:] == 0).all()


def test_tiles_are_no_larger_than_needed():
    # Two tiles of 332 rows do, rounded up to blocks; two of 512 would be half as much work again.
    assert tile_shape(600, 400, 400, 64) == (336, 400)
    # Nine tiles of 384 x 384 would cover it too, with more work; six of 384 x 544 are wider.
    assert tile_shape(1024, 1024, 512, 64) == (544, 384)


def test_positions_end_at_the_border():
    assert positions(50, 45, 7) == [0, 5]
    assert positions(59, 45, 7) == [0, 7, 14]
    assert positions(45, 45, 7) == [0]
