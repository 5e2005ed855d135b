import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.opponent import TO_OPPONENT, is_grey, opponent_to_rgb, rgb_to_opponent

UNIT = st.floats(0, 1, width=32)


def test_the_axes_are_orthonormal():
    np.testing.assert_allclose(TO_OPPONENT @ TO_OPPONENT.T, np.eye(3), atol=1e-15)


@pytest.mark.parametrize(
    ("rgb", "planes"),
    [
        ([1, 1, 1], [3**0.5, 0, 0]),
        ([0.25, 0.25, 0.25], [0.25 * 3**0.5, 0, 0]),
        ([1, 0, 0], [3**-0.5, 2**-0.5, 6**-0.5]),
        ([0, 1, 0], [3**-0.5, 0, -2 * 6**-0.5]),
        ([0, 0, 1], [3**-0.5, -(2**-0.5), 6**-0.5]),
    ],
)
def test_known_colours(rgb, planes):
    np.testing.assert_allclose(rgb_to_opponent(np.array(rgb, float)), planes, atol=1e-7)


@given(arrays(np.float32, (3, 4, 3), elements=UNIT))
def test_there_and_back_gives_the_image(image):
    planes = rgb_to_opponent(image)
    assert planes.dtype == np.float32
    np.testing.assert_allclose(opponent_to_rgb(planes), image, atol=3e-7)
    # A rotation keeps distances, so an error in the planes is as large in the image.
    np.testing.assert_allclose(
        np.square(planes, dtype=float).sum(), np.square(image, dtype=float).sum(), rtol=1e-5
    )


def test_all_8_bit_colours_come_back_exactly(rng):
    image = rng.integers(0, 256, (200, 200, 3)).astype(np.uint8)
    back = opponent_to_rgb(rgb_to_opponent(image / 255.0))
    np.testing.assert_array_equal(np.rint(255 * back).astype(np.uint8), image)


def test_noise_keeps_its_level_and_stays_independent(rng):
    planes = rgb_to_opponent(rng.normal(0.5, 0.1, (300, 300, 3)))
    covariance = np.cov(planes.reshape(-1, 3).T)
    np.testing.assert_allclose(covariance, 0.01 * np.eye(3), atol=2e-4)


def test_grey_stored_as_colour_is_told(rng):
    grey = rng.integers(0, 65536, (5, 7, 1)).astype(np.uint16)
    image = np.repeat(grey, 3, axis=-1)
    assert is_grey(image)
    for channel in range(3):
        changed = image.copy()
        changed[2, 3, channel] ^= 1
        assert not is_grey(changed)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4)), np.zeros((3, 3), int)])
def test_other_arrays_are_refused(image):
    for transform in (rgb_to_opponent, opponent_to_rgb):
        with pytest.raises(NLRNError, match="opponent axes"):
            transform(image)
