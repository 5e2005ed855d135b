"""Sub-pixels against MATLAB's bicubic, TensorFlow's shuffle and the network without its end."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import nlrn_tf
from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.layers.enlarging import SubpixelConv, bicubic_subpixels, shuffled
from nlrn_tf.weights.loading import save_model

SIZES = {"filters": 6, "embedding_size": 3, "num_states": 2, "window_size": 5}
CONFIG = NLRNConfig(**SIZES, scales=(2, 3, 4), upsample="after")


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 5))
def test_bicubic_subpixels_are_matlabs(height, width, scale):
    images = np.random.default_rng([height, width]).random((2, height, width)).astype("float32")
    enlarged = shuffled(bicubic_subpixels(images[..., None], scale), scale)
    expected = [imresize(image, scale) for image in images]
    np.testing.assert_allclose(np.asarray(enlarged)[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 5])
def test_shuffling_is_depth_to_space(scale, rng):
    subpixels = rng.random((2, 4, 3, scale**2)).astype("float32")
    expected = tf.nn.depth_to_space(subpixels, scale)
    np.testing.assert_array_equal(shuffled(subpixels, scale), expected)


def test_each_scale_has_a_convolution_of_its_own(rng):
    layer = SubpixelConv((2, 3))
    layer.build((None, None, None, 6))
    features = rng.random((1, 5, 4, 6)).astype("float32")
    for scale, conv in zip((2, 3), layer.convs, strict=True):
        expected = tf.nn.conv2d(features, conv.kernel, 1, "SAME") + conv.bias
        assert expected.shape[-1] == scale**2
        np.testing.assert_allclose(layer(features, scale=scale), expected, atol=1e-6)
    assert SubpixelConv.from_config(layer.get_config()).scales == (2, 3)


def _randomized(config):
    model = nlrn_tf.NLRN(config)
    rng = np.random.default_rng(3)
    model.set_weights([w + rng.uniform(0.02, 0.1, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("shape", [(2, 7, 8), (1, 1, 1), (1, 1, 6)])
def test_an_image_is_what_the_sub_pixels_of_its_scale_are(shape, rng):
    model = _randomized(CONFIG)
    images = rng.random((*shape, 1)).astype("float32")
    subpixels = np.asarray(model.subpixels(images))
    assert subpixels.shape == (*shape, 4 + 9 + 16)
    batch, height, width = shape
    for scale, first in ((2, 0), (3, 4), (4, 13)):
        enlarged = np.asarray(model(images, scale=scale))
        assert enlarged.shape == (batch, scale * height, scale * width, 1)
        for number in range(scale**2):
            down, right = divmod(number, scale)
            found = enlarged[:, down::scale, right::scale, 0]
            np.testing.assert_allclose(found, subpixels[..., first + number], atol=1e-5)
    np.testing.assert_array_equal(model(images), model(images, scale=2))


def test_the_recurrence_is_that_of_the_network_that_gets_enlarged_images(rng):
    """With the weights of one sub-pixel for its end it adds the same to an image."""
    model = _randomized(CONFIG)
    other = nlrn_tf.NLRN(NLRNConfig(**SIZES))
    shared = {w.path.split("/", 1)[1]: w for w in model.weights}
    for weight in other.weights:
        name = weight.path.split("/", 1)[1]
        if not name.startswith("conv_out"):
            weight.assign(shared[name])
    conv = model.conv_out.convs[1]  # of scale 3
    images = rng.random((1, 9, 8, 1)).astype("float32")
    added = np.asarray(model.subpixels(images))[..., 4:13] - bicubic_subpixels(images, 3)
    for number in (0, 5):
        other.conv_out.kernel.assign(conv.kernel[..., number : number + 1])
        other.conv_out.bias.assign(conv.bias[number : number + 1])
        np.testing.assert_allclose(added[..., number], (other(images) - images)[..., 0], atol=1e-5)


def test_in_training_it_gives_the_sub_pixels_and_moves_its_statistics(rng):
    model = _randomized(CONFIG)
    before = np.array(model.norm_out.moving_mean)
    images = rng.random((3, 6, 6, 1)).astype("float32")
    assert model(images, training=True).shape == (3, 6, 6, 29)
    assert np.abs(model.norm_out.moving_mean - before).max() > 0


def test_a_saved_network_is_the_same(tmp_path, rng):
    model = _randomized(CONFIG)
    save_model(model, tmp_path / "x.keras")
    loaded = nlrn_tf.load_model(tmp_path / "x.keras")
    assert loaded.config.upsample == "after"
    images = rng.random((1, 6, 5, 1)).astype("float32")
    np.testing.assert_array_equal(loaded(images, scale=3), model(images, scale=3))
    assert isinstance(keras.saving.load_model(tmp_path / "x.keras"), nlrn_tf.NLRN)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(NLRNError, match="upsample=after: is for networks with scales"):
        nlrn_tf.NLRN(NLRNConfig(upsample="after"))
    for scales in ((2, 2.5), (2, 3, 2)):
        with pytest.raises(NLRNError, match="is not allowed: give different whole numbers"):
            NLRNConfig(upsample="after", scales=scales)
    with pytest.raises(NLRNError, match="upsample=between is not allowed"):
        NLRNConfig(upsample="between")
