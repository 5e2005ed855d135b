"""Colour by opponent axes, levels, strength and white in memory."""

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.opponent import TO_OPPONENT
from nlrn_tf.restoration import colour
from nlrn_tf.restoration.restorer import Restorer
from tests.support.restoration import colour_photo

TINY = nlrn_tf.NLRNConfig(
    filters=4, embedding_size=2, num_states=2, window_size=5, task="denoise", noise_sigma=25.0
)


@pytest.fixture
def model(rng):
    model = nlrn_tf.NLRN(TINY)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in model.get_weights()])
    for weight in model.conv_out.weights:  # changes of some grey levels, as of a trained network
        weight.assign(weight * 1e-3)
    return model


@pytest.fixture
def photo(rng):
    clean = colour_photo() / 255
    return (clean + rng.normal(0, 25 / 255, clean.shape)).astype(np.float32)


def network_of(model, plane, level):
    """f(y) = f0(a y) / a with the network alone."""
    factor = np.float32(25 / level)
    return np.asarray(model(factor * plane[None, ..., None]))[0, ..., 0] / factor


def test_each_opponent_plane_is_restored_at_its_level(model, photo):
    planes = photo @ TO_OPPONENT.T.astype(np.float32)
    luma = np.sqrt(3) * network_of(model, planes[..., 0] / np.sqrt(3), 25 / np.sqrt(3))
    chroma = [np.asarray(model(planes[None, ..., k, None] + 0.5))[0, ..., 0] - 0.5 for k in (1, 2)]
    expected = np.stack([luma, *chroma], axis=-1) @ TO_OPPONENT.astype(np.float32)
    found = Restorer(model).values(photo)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    by_channels = Restorer(model, colour="channels").values(photo)
    assert np.abs(by_channels - found).max() > 0.001  # far above the rounding allowed for above


def test_a_level_of_its_own_for_each_plane(model, photo):
    planes = photo @ TO_OPPONENT.T.astype(np.float32)
    found = Restorer(model, noise_sigma=(30.0, 10.0, 0.0)).values(photo)
    restored = found @ TO_OPPONENT.T.astype(np.float32)
    luma = np.sqrt(3) * network_of(model, planes[..., 0] / np.sqrt(3), 30 / np.sqrt(3))
    np.testing.assert_allclose(restored[..., 0], luma, atol=3e-5)
    np.testing.assert_allclose(restored[..., 2], planes[..., 2], atol=1e-6)  # without noise
    assert np.abs(restored[..., 1] - planes[..., 1]).max() > 1e-3


def test_grey_stored_as_colour_is_restored_as_grey(model, photo):
    grey = photo[..., 0]
    found = nlrn_tf.restore(model, np.repeat(grey[..., None], 3, axis=-1))
    np.testing.assert_array_equal(found, nlrn_tf.restore(model, grey)[..., None].repeat(3, -1))


def test_alpha_stays_beside_opponent_axes(model, rng):
    image = rng.integers(1, 256, (20, 24, 4), np.uint8)
    found = nlrn_tf.restore(model, image)
    np.testing.assert_array_equal(found[..., 3], image[..., 3])
    np.testing.assert_array_equal(found[..., :3], nlrn_tf.restore(model, image[..., :3]))


@pytest.mark.parametrize("level", [5.0, 37.0, 75.0])
def test_a_level_in_the_call_is_that_of_a_scaled_network(tmp_path, model, photo, level):
    from nlrn_tf.weights.loading import save_model

    save_model(model, tmp_path / "a.keras")
    scaled = nlrn_tf.load_model(tmp_path / "a.keras", noise_sigma=level)
    assert scaled.config.noise_sigma == level
    found = nlrn_tf.restore(model, photo, noise_sigma=level)
    np.testing.assert_allclose(found, nlrn_tf.restore(scaled, photo), atol=3e-5)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_strength_is_a_straight_line_from_input_to_result(model, photo, strength, channels):
    image = photo[..., :channels]
    whole = Restorer(model).values(image)
    found = Restorer(model, strength=strength).values(image)
    np.testing.assert_allclose(found, image + strength * (whole - image), atol=1e-6)


def test_white_scales_the_values_and_not_the_alpha(model, rng):
    image = rng.integers(0, 4096, (20, 24, 4)).astype(np.uint16)
    image[..., 3] = 65535
    found = nlrn_tf.restore(model, image, white_level=4095)
    assert (found[..., 3] == 65535).all()
    assert found[..., :3].max() <= 4095
    as_float = nlrn_tf.restore(model, (image[..., :3] / 4095).astype(np.float32))
    np.testing.assert_allclose(found[..., :3] / 4095, as_float, atol=1 / 4095)


def test_progress_adds_up(model, photo):
    parts = []
    nlrn_tf.restore(model, photo, on_progress=parts.append, self_ensemble=True)
    assert sum(parts) == pytest.approx(1)
    assert len(parts) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_sigma": 0.0}, "noise_sigma=0"),
        ({"noise_sigma": 151.0}, "at most 150"),
        ({"noise_sigma": float("nan")}, "noise_sigma=nan"),
        ({"strength": -0.1}, r"strength=-0\.1"),
        ({"white_level": -1}, "white_level=-1"),
        ({"colour": "lab"}, "colour=lab"),
    ],
)
def test_wrong_options_are_named(model, options, message):
    with pytest.raises(NLRNError, match=message):
        Restorer(model, **options)


def test_a_level_needs_a_network_that_tells_its_own():
    with pytest.raises(NLRNError, match="tell their level"):
        Restorer(lambda images: images, noise_sigma=25.0)


def test_packaged_networks_have_companions_of_their_family_and_the_lite_one():
    full = nlrn_tf.load_model("denoise_s50")
    luma, chroma = colour.companions(full, 50.0)
    assert luma.packaged_name in ("denoise_s15", "denoise_s25")
    assert chroma.packaged_name == "denoise_lite_s25"
    lite = nlrn_tf.load_model("denoise_lite_s25")
    assert {m.packaged_name for m in colour.companions(lite, 25.0)} == {"denoise_lite_s25"}
