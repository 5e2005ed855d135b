"""What a run begins with: the distribution of new weights, and what given ones have seen."""

import dataclasses

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.start import fresh_run, network_config
from nlrn_tf.weights.loading import save_model
from tests.support.training import SMALL

PAPER = dataclasses.replace(SMALL, filters=(128,), embedding_size=(64,), num_states=(1,))


@pytest.mark.parametrize(
    ("initializer", "first", "theta", "last"),
    [("fan_in", 0.328, 0.087, 0.030), ("xavier", 0.0416, 0.102, 0.0416)],
)
def test_kernels_have_the_standard_deviation_of_their_initializer(initializer, first, theta, last):
    """sqrt(2 / (inputs + outputs)) for xavier; those of fan_in are what was measured before."""
    weights = fresh_run(dataclasses.replace(PAPER, initializer=initializer), None).state
    kernels = weights["trainable"]
    for name, expected in (("conv_in", first), ("conv_out", last)):
        assert kernels[f"{name}/kernel"].std() == pytest.approx(expected, rel=0.06), name
    found = kernels["recurrent/non_local/theta/kernel"].std()
    assert found == pytest.approx(theta, rel=0.06)
    assert not kernels["recurrent/non_local/g/kernel"].any()


def test_xavier_is_bounded_and_follows_the_seed():
    config = dataclasses.replace(PAPER, initializer="xavier")
    kernels = [
        fresh_run(dataclasses.replace(config, seed=seed), None).state["trainable"]["conv_in/kernel"]
        for seed in (0, 0, 1)
    ]
    limit = np.sqrt(6 / (9 * (1 + 128)))
    assert 0.98 * limit < np.abs(kernels[0]).max() <= limit
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_untied_states_start_differently():
    config = dataclasses.replace(SMALL, initializer="xavier")
    config = TrainingConfig.of(**{**config.flat(), "tied_weights": False})
    first, second = fresh_run(config, None).state["trainable"]["recurrent/conv_a/kernel"]
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(first.std(), np.sqrt(2 / (9 * 12)), rtol=0.15)


def test_shared_weights_may_become_each_states_own_but_not_the_other_way(tmp_path):
    paths = {}
    for tied in (True, False):
        network = dataclasses.replace(SMALL.network, tied_weights=tied, num_states=2)
        paths[tied] = tmp_path / f"{tied}.keras"
        save_model(NLRN(network), paths[tied])
    untied = TrainingConfig.of(**{**SMALL.flat(), "tied_weights": False})
    assert len(fresh_run(untied, paths[True]).state["trainable"]["recurrent/conv_a/kernel"]) == 1
    with pytest.raises(NLRNError, match="has tied_weights=False, but True is to be trained"):
        fresh_run(SMALL, paths[False])


def test_what_given_weights_have_seen_is_kept():
    sizes = {"filters": (64,), "embedding_size": (32,), "num_states": (8,)}
    network = dataclasses.replace(SMALL.network, non_local_every=2, tied_weights=False)
    config = dataclasses.replace(SMALL, network=network, **sizes)
    run = fresh_run(config, "denoise_lite_s25")
    seen = network_config(config, run).trained_on
    assert seen == ("BSDS500/train", "BSDS500/test", "photos")
