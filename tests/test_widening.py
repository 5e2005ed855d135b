"""Growth of a network by channels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.packaged import save_model
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.trainer import train
from nlrn_tf.training.widening import widen
from tests.training_support import SMALL, new_model


@pytest.fixture
def narrow(rng):
    """All weights random, so that a channel that is left out shows."""
    model = new_model(SMALL, num_states=3)
    model.set_weights(
        [rng.uniform(0.2, 1.2, w.shape) * rng.choice([-1, 1], w.shape) for w in model.get_weights()]
    )
    for variable in model.variables:
        if variable.name == "moving_variance":
            variable.assign(np.abs(variable))
    return model


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(9, 8), (12, 19)], ids=["dense", "windowed"])
def test_the_output_is_the_same(rng, narrow, factor, training, size):
    wide = widen(narrow, 6 * factor, 3 * factor)
    assert (wide.config.filters, wide.config.embedding_size) == (6 * factor, 3 * factor)
    images = rng.random((2, *size, 1)).astype("float32")
    expected = narrow(images, training=training) - images
    change = wide(images, training=training) - images
    np.testing.assert_allclose(change, expected, atol=1e-4 * np.abs(expected).max())


def test_the_copies_learn_different_things(rng, narrow):
    wide = widen(narrow, 12, 6)
    images = rng.random((2, 9, 9, 1)).astype("float32")
    kernel = wide.recurrent.conv_a.kernel.value
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(wide(images, training=True)))
    gradient = tape.gradient(loss, kernel).numpy()
    first, second = gradient[..., :6], gradient[..., 6:]
    assert np.abs(first - second).max() > 0.1 * np.abs(gradient).max()


def test_other_multiples_are_refused(narrow):
    for sizes in ((9, 6), (12, 3), (13, 6)):
        with pytest.raises(NLRNError, match="give the same multiple"):
            widen(narrow, *sizes)


def test_training_goes_on_from_a_narrower_network(tmp_path, rng):
    images = rng.integers(0, 256, (3, 40, 40), np.uint8)
    for name, image in zip("abc", images, strict=True):
        nlrn_tf.images.write_image(tmp_path / "photos" / f"{name}.png", image)
    save_model(new_model(SMALL), tmp_path / "narrow.keras")
    config = dataclasses.replace(SMALL, filters=12, embedding_size=6, num_states=(3,), steps=1)
    train(
        config,
        workdir=tmp_path / "run",
        data_dir=tmp_path,
        init_weights=str(tmp_path / "narrow.keras"),
    )
    model = nlrn_tf.load_model(tmp_path / "run" / "weights.keras")
    assert (model.config.filters, model.config.num_states) == (12, 3)
    assert latest_checkpoint(tmp_path / "run" / "checkpoints").num_states == 3
