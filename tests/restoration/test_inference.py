import gc
import weakref

import keras
import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.layers.attention import blocks
from nlrn_tf.restoration.inference import apply_model


def convolution():
    model = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(1, 3, padding="same")]
    )
    return model


class Counting(keras.Model):
    """The identity; counts how often Python runs it."""

    runs = 0

    def call(self, images):
        self.runs += 1
        return images


def images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def test_output_is_that_of_the_model():
    model, batch = convolution(), images(2, 9, 14, 1)
    expected = keras.ops.convert_to_numpy(model(batch))
    np.testing.assert_allclose(apply_model(model, batch), expected, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiles under TensorFlow")
def test_keras_model_is_traced_once_for_all_sizes():
    model = Counting()
    for shape in [(1, 8, 8, 1), (1, 9, 30, 1), (4, 5, 5, 1)]:
        np.testing.assert_array_equal(apply_model(model, images(*shape)), images(*shape))
    assert model.runs == 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiles under TensorFlow")
def test_one_size_attends_densely_with_the_same_result(monkeypatch):
    """Images that fit into the window: a graph made for their size needs no windows."""
    in_windows, attention = [], blocks.attention

    def windowed(*arguments, **options):
        in_windows.append(1)
        return attention(*arguments, **options)

    monkeypatch.setattr(blocks, "attention", windowed)
    config = nlrn_tf.NLRNConfig(
        filters=4, embedding_size=2, num_states=2, window_size=9, attention="blocks"
    )
    model, batch = nlrn_tf.NLRN(config), images(3, 8, 9, 1)
    dense = apply_model(model, batch, one_size=True)
    assert not in_windows
    np.testing.assert_allclose(apply_model(model, batch), dense, atol=1e-5)
    assert in_windows


def test_changed_weights_are_used():
    model, batch = convolution(), images(1, 8, 8, 1)
    apply_model(model, batch)
    model.set_weights([np.zeros((3, 3, 1, 1)), np.ones(1)])
    np.testing.assert_array_equal(apply_model(model, batch), np.ones_like(batch))


def test_too_little_memory_is_named():
    def model(_):
        raise MemoryError

    with pytest.raises(NLRNError, match=r"memory for a piece of 7 x 8 pixels.*tile_size"):
        apply_model(model, images(1, 8, 7, 1))


def test_model_is_not_kept_alive():
    model = convolution()
    apply_model(model, images(1, 8, 8, 1))
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda batch: batch / np.float32(0), "not finite"),
        (lambda batch: batch[:, 1:], "shape"),
    ],
)
def test_wrong_output_is_refused(model, message):
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(NLRNError, match=message):
        apply_model(model, images(1, 8, 8, 1))
