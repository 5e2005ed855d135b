"""Colours under transparent pixels."""

import numpy as np

from nlrn_tf.imaging.filling import filled


def disc(side=41, radius=13):
    rows, columns = np.mgrid[:side, :side] - side // 2
    return (rows**2 + columns**2 <= radius**2)[..., None]


def test_one_colour_fills_all():
    colour = np.array([0.2, 0.5, 0.9], np.float32)
    values = np.where(disc(), colour, 0).astype(np.float32)
    np.testing.assert_allclose(filled(values, disc()), np.broadcast_to(colour, values.shape), 1e-5)


def test_what_is_seen_is_unchanged_and_the_rest_is_near_it(rng):
    values = rng.uniform(0.4, 0.6, (41, 41, 3)).astype(np.float32)
    hidden = np.where(disc(), values, 5)
    found = filled(hidden, disc())
    np.testing.assert_array_equal(found[disc()[..., 0]], values[disc()[..., 0]])
    assert found.min() >= 0.4 - 1e-4
    assert found.max() <= 0.6 + 1e-4


def test_a_slope_goes_on_at_the_edge():
    values = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], (64, 64, 1))
    seen = np.zeros((64, 64, 1))
    seen[:, 20:44] = 1
    found = filled(np.where(seen, values, 0), seen)
    assert np.abs(found[:, 18:46] - values[:, 18:46]).max() < 0.08


def test_nothing_is_filled_where_all_or_nothing_is_seen(rng):
    values = rng.random((8, 9, 1)).astype(np.float32)
    for alpha in (np.zeros((8, 9, 1)), np.ones((8, 9, 1)), np.zeros((8, 9, 0))):
        np.testing.assert_array_equal(filled(values, alpha), values)
