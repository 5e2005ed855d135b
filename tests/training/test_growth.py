"""Growth of a network by channels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.growth import grow_state
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.state import first_state, name_of
from nlrn_tf.training.trainer import train
from nlrn_tf.weights.loading import save_model
from tests.support.training import SMALL, new_model

AVERAGED = dataclasses.replace(SMALL, ema_decay=0.9)


def wider(factor):
    return dataclasses.replace(SMALL, filters=(6 * factor,), embedding_size=(3 * factor,))


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


def widened(narrow, factor):
    """A wider network with the weights of the narrow one, and its training state."""
    wide = new_model(wider(factor), num_states=3)
    state = grow_state(first_state(narrow, AVERAGED), wide)
    for variable in wide.variables:
        variable.assign((state["trainable"] | state["non_trainable"])[name_of(variable)])
    return wide, state


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(9, 8), (12, 19)], ids=["dense", "windowed"])
def test_the_output_is_the_same(rng, narrow, factor, training, size):
    wide, _ = widened(narrow, factor)
    images = rng.random((2, *size, 1)).astype("float32")
    expected = narrow(images, training=training) - images
    change = wide(images, training=training) - images
    np.testing.assert_allclose(change, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("every", [1, 2])
def test_untied_the_output_is_the_same_and_each_state_has_weights_of_its_own(rng, training, every):
    config = dataclasses.replace(
        SMALL, network=dataclasses.replace(SMALL.network, non_local_every=every), ema_decay=0.9
    )
    tied = new_model(config, num_states=4)
    tied.set_weights([rng.uniform(0.2, 0.6, w.shape) for w in tied.get_weights()])
    network = dataclasses.replace(config.network, tied_weights=False)
    untied = new_model(dataclasses.replace(config, network=network), num_states=4)
    state = grow_state(first_state(tied, config), untied)
    for variable in untied.variables:
        variable.assign((state["trainable"] | state["non_trainable"])[name_of(variable)])
    assert len(state["ema"]["recurrent/conv_a/kernel"]) == 4
    images = rng.random((2, 9, 8, 1)).astype("float32")
    expected = tied(images, training=training) - images
    change = untied(images, training=training) - images
    np.testing.assert_allclose(change, expected, atol=1e-4 * np.abs(expected).max())


def test_the_average_is_widened_alike_and_adam_starts_anew(narrow):
    before = first_state(narrow, AVERAGED)
    before["momentum"] = {name: array + 1 for name, array in before["momentum"].items()}
    before["counters"]["updates"] += 100
    state = grow_state(before, new_model(wider(2), num_states=3))
    weights = state["trainable"] | state["non_trainable"]
    assert set(weights) == set(state["ema"])
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, state["ema"][name])
    for part in ("momentum", "velocity"):
        assert not any(np.any(array) for array in state[part].values())
    assert state["counters"]["updates"] == 0


def test_the_copies_learn_different_things(rng, narrow):
    wide, _ = widened(narrow, 2)
    images = rng.random((2, 9, 9, 1)).astype("float32")
    kernel = wide.recurrent.conv_a.kernel.value
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(wide(images, training=True)))
    gradient = tape.gradient(loss, kernel).numpy()
    first, second = gradient[..., :6], gradient[..., 6:]
    assert np.abs(first - second).max() > 0.1 * np.abs(gradient).max()


def test_a_run_that_starts_from_a_narrower_network_and_widens_it_twice(photos, tmp_path):
    save_model(new_model(SMALL), tmp_path / "narrow.keras")
    config = dataclasses.replace(
        AVERAGED,
        filters=(12, 24),
        embedding_size=(6, 12),
        num_states=(2, 3),
        phase_ends=(0.5,),
        steps=4,
        checkpoint_steps=1,
        keep_checkpoints=9,
    )
    options = {"workdir": tmp_path / "run", "data_dir": photos}
    train(config, init_weights=str(tmp_path / "narrow.keras"), **options)
    model = nlrn_tf.load_model(tmp_path / "run" / "weights.keras")
    assert (model.config.filters, model.config.embedding_size) == (24, 12)
    assert model.config.num_states == 3
    after = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert (after.filters, after.embedding_size) == (24, 12)
    for step in (3, 4):
        (tmp_path / "run" / "checkpoints" / f"step-{step:08d}.npz").unlink()
    (tmp_path / "run" / "weights.keras").unlink()
    assert latest_checkpoint(tmp_path / "run" / "checkpoints").filters == 12
    train(config, **options)
    again = latest_checkpoint(tmp_path / "run" / "checkpoints")
    for name, array in after.state["trainable"].items():
        np.testing.assert_array_equal(array, again.state["trainable"][name])


@pytest.mark.parametrize("size", [(9, 6), (12, 3), (13, 6), (4, 2)])
def test_other_widths_are_refused(photos, tmp_path, size):
    filters, embedding_size = size
    with pytest.raises(NLRNError, match=r"filters=.* give the same multiple"):
        TrainingConfig(filters=(6, filters), embedding_size=(3, embedding_size), phase_ends=(0.5,))
    config = dataclasses.replace(SMALL, filters=(filters,), embedding_size=(embedding_size,))
    save_model(new_model(SMALL), tmp_path / "narrow.keras")
    options = {"workdir": tmp_path / "run", "data_dir": photos}
    with pytest.raises(NLRNError, match=r"narrow\.keras: has 6 filters .* give for filters"):
        train(config, init_weights=str(tmp_path / "narrow.keras"), **options)


def test_a_run_goes_on_at_a_multiple_of_its_width_only(photos, tmp_path):
    options = {"workdir": tmp_path / "run", "data_dir": photos}
    train(dataclasses.replace(SMALL, steps=1), **options)
    with pytest.raises(NLRNError, match=r"run: has 6 filters .* not 9 and 6"):
        train(dataclasses.replace(SMALL, filters=(9,), embedding_size=(6,), steps=2), **options)
    train(dataclasses.replace(wider(2), steps=2), **options)
    assert latest_checkpoint(tmp_path / "run" / "checkpoints").filters == 12
