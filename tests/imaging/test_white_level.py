import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.white_level import WhiteLevel, level_of, white_level


def photograph(white, noise=0.05, brightest=1.0, seed=0, shape=(60, 80)):
    """Noisy waves over black to `brightest` of white, rounded and clipped to 0..white."""
    rng = np.random.default_rng(seed)
    waves = 0.5 + 0.5 * np.sin(np.arange(shape[0]) / 9)[:, None] * np.cos(np.arange(shape[1]) / 7)
    values = white * (brightest * waves + rng.normal(0, noise, shape))
    return np.clip(np.rint(values), 0, white).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("brightest", [0.5, 0.8, 1.0])
def test_an_image_of_fewer_bits_is_told(bits, brightest):
    white = 2**bits - 1
    found = white_level(photograph(white, brightest=brightest))
    assert (found.value, found.is_guess) == (white, True)
    assert str(white) in found.reason


@pytest.mark.parametrize("brightest", [0.3, 1.0])
def test_an_image_of_16_bits_is_one(brightest):
    found = white_level(photograph(65535, brightest=brightest))
    assert (found.value, found.is_guess) == (65535, False)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_at_the_top_of_16_are_spread_already(bits):
    dark = photograph(2**bits - 1, brightest=0.1, noise=0.01)  # below a quarter of white
    shifted = dark << (16 - bits)
    assert shifted.max() <= 16383
    assert white_level(shifted).value == 65535
    eight = photograph(255, brightest=0.1, noise=0.01) * np.uint16(257)
    assert eight.max() <= 16383
    assert white_level(eight).value == 65535


@given(st.integers(1, 16383), st.integers(0, 99))
def test_a_guess_clips_nothing_and_is_within_the_next_bits(highest, seed):
    image = np.random.default_rng(seed).integers(0, highest + 1, (40, 40)).astype(np.uint16)
    image[0, :2] = highest, max(highest - 1, 1)  # two neighbours: not all multiples of 4
    found = white_level(image)
    assert found.value >= image.max()
    if found.value != 65535 and found.value > 255:
        assert found.value < 4 * (highest + 1)


def test_alpha_is_left_out():
    grey = photograph(4095)
    alpha = np.full_like(grey, 65535)
    assert white_level(np.stack([grey, alpha], axis=-1)).value == 4095
    assert white_level(np.stack([grey, grey, grey, alpha], axis=-1)).value == 4095


@pytest.mark.parametrize(
    ("tags", "value", "is_guess"),
    [
        ({50717: 3800}, 3800, False),
        ({50717: (3800, 3900, 3800)}, 3900, False),
        ({50717: 100}, 4095, True),  # lower than values of the image
        ({50717: "white"}, 4095, True),
        ({281: (16383, 16383, 16383)}, 16383, False),
        ({281: 3700}, 4095, True),  # the highest value of the picture
        ({50717: 0, 281: 0}, 4095, True),
    ],
)
def test_tags_are_believed_where_they_can_be_true(tags, value, is_guess):
    found = white_level(np.minimum(photograph(4095), 3700), tags)
    assert (found.value, found.is_guess) == (value, is_guess)


def test_black_is_of_any_white():
    assert white_level(np.zeros((3, 3), np.uint16)).value == 65535


@pytest.mark.parametrize("image", [np.zeros((3, 3), np.uint8), np.zeros((0, 3), np.uint16)])
def test_other_images_are_refused(image):
    with pytest.raises(NLRNError, match="white level"):
        white_level(image)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "white", "black"),
    [
        (0, 1, np.float32, 1, 0),
        (-0.2, 1.3, np.float32, 1, 0),  # noise
        (0.3, 0.7, np.float16, 1, 0),
        (-1, 1, np.float32, 1, -1),
        (0, 0.001, np.float64, 0.001, 0),
        (0, 255, np.float32, 255, 0),
        (-20, 290, np.float32, 255, 0),
        (0, 4000, np.float32, 4095, 0),
        (5, 123_456, np.float64, 123_456, 0),
        (0, 3000, np.int16, 4095, 0),
        (-1024, 3071, np.int16, 3071, -1024),
        (0, 70_000, np.uint32, 70_000, 0),
        (0, 0, np.int32, 1, 0),
        (-5, -5, np.int8, -4, -5),
    ],
)
def test_types_without_a_white_of_their_own(low, high, dtype, white, black):
    image = np.linspace(low, high, 35).astype(dtype).reshape(5, 7)
    found = level_of(image)
    assert found.value == pytest.approx(white, rel=1e-3)
    assert found.black == pytest.approx(black)
    assert type(found.value) in (int, float)


def test_8_bits_have_their_white():
    assert level_of(np.zeros((3, 3), np.uint8)) is None
    assert level_of(np.full((3, 3), 4001, np.uint16)).value == 4095


def test_pictures_that_belong_together_have_one_white():
    one, other = WhiteLevel(1023, True, "one", -3), WhiteLevel(4095, True, "other", 0)
    assert one | other == other | one == WhiteLevel(4095, True, "other", -3)
