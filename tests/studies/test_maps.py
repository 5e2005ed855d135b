"""The maps are the weights that the network uses."""

import keras
import numpy as np
import pytest
from PIL import Image

import nlrn_tf
from nlrn_tf.config import SIMILARITIES
from nlrn_tf.errors import NLRNError
from nlrn_tf.studies.maps import correlation_maps, save_maps
from tests.support.training import settle

SIZES = {"filters": 8, "embedding_size": 4, "num_states": 3, "window_size": 5}
PIXELS = [(0, 0), (4, 6), (7, 12)]


def new_model(rng, **changes):
    keras.utils.set_random_seed(1)
    model = nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**{**SIZES, **changes}))
    model.set_weights([w + rng.uniform(0.05, 0.2, w.shape) for w in model.get_weights()])
    settle(model, rng.random((2, 8, 13, 1), "float32"))
    return model


@pytest.mark.parametrize(
    "changes",
    [
        *({"similarity": name} for name in SIMILARITIES),
        {"correlation_propagation": False},
        {"window_border": "circular"},
        {"window_size": 15},  # dense: the image fits
        {"non_local_every": 2},
        {"tied_weights": False, "unroll": True},
    ],
    ids=str,
)
def test_weights_times_values_are_what_the_network_attends_to(rng, changes):
    model = new_model(rng, **changes)
    image = rng.random((8, 13))
    maps = correlation_maps(model, image, PIXELS)
    assert max(found.weights.std() for found in maps) > 1e-4
    for found in maps:
        states = 2 if "non_local_every" in changes else 3
        size = min(8, model.config.window_size), min(13, model.config.window_size)
        assert found.weights.shape == (states, *size)
        scale = np.abs(found.network).max()
        assert scale > 1e-3
        np.testing.assert_allclose(found.attended / scale, found.network / scale, atol=1e-5)
        if "dot_product" not in changes.get("similarity", ""):
            np.testing.assert_allclose(found.weights.sum((1, 2)), 1)


def test_the_window_slides_inwards_or_wraps_around(rng):
    image = rng.random((8, 13))
    clamped, wrapped = (
        correlation_maps(new_model(rng, window_border=border), image, [(0, 12)])[0]
        for border in ("clamp", "circular")
    )
    assert (clamped.rows.tolist(), clamped.columns.tolist()) == ([*range(5)], [*range(8, 13)])
    assert wrapped.rows.tolist() == [6, 7, 0, 1, 2]
    assert wrapped.columns.tolist() == [10, 11, 12, 0, 1]


def test_they_are_written_as_arrays_and_as_a_picture(rng, tmp_path):
    image = rng.random((8, 13))
    maps = correlation_maps(new_model(rng), image, PIXELS)
    arrays, picture = save_maps(maps, image, tmp_path)
    with np.load(arrays) as written:
        for number, found in enumerate(maps):
            np.testing.assert_array_equal(written[f"weights_{number}"], found.weights)
            assert tuple(written[f"pixel_{number}"]) == PIXELS[number]
    with Image.open(picture) as drawn:
        assert drawn.size == (4 * 130, 3 * 155)
    save_maps(maps, image, tmp_path, truth=np.full_like(image, 0.5))
    with Image.open(picture) as drawn:
        assert drawn.size == (5 * 130, 3 * 155)
        centre = np.asarray(drawn.convert("L"))[80 + 15, 130 + 40]  # away from the cross
        assert centre == pytest.approx(128, abs=2)
    with pytest.raises(NLRNError, match="the truth is 8 x 12 pixels, the image 8 x 13"):
        save_maps(maps, image, tmp_path, truth=image[:, 1:])


@pytest.mark.parametrize(
    ("changes", "pixel", "message"),
    [
        ({"non_local_every": 0}, (0, 0), "no non-local module"),
        ({}, (8, 0), "pixel 8:0 is not in the image of 8 x 13"),
    ],
)
def test_what_has_no_map_is_refused(rng, changes, pixel, message):
    with pytest.raises(NLRNError, match=message):
        correlation_maps(new_model(rng, **changes), rng.random((8, 13)), [pixel])
