"""Sizes of networks against the paper's Table 3 and against the network's own shapes."""

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.config import SIMILARITIES
from nlrn_tf.datasets.benchmarks import paper_sizes
from nlrn_tf.studies.complexity import (
    effective_depth,
    multiply_adds,
    parameters,
    training_operations,
)
from nlrn_tf.training.settings import TrainingConfig


def test_the_paper_network_is_that_of_table_3():
    config = nlrn_tf.NLRNConfig()
    assert parameters(config) == (330_625, 9_474)
    assert round(parameters(config)[0], -4) == paper_sizes()["nlrn_400_images"]["params"]
    assert effective_depth(config) == 38


@pytest.mark.parametrize(("every", "depth"), [(0, 26), (1, 38), (2, 32), (3, 30), (5, 29)])
def test_depth_counts_the_states_with_the_module(every, depth):
    assert effective_depth(nlrn_tf.NLRNConfig(non_local_every=every)) == depth


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_each_weight_of_a_convolution_is_one_product_a_pixel_and_state(similarity):
    """The attention, which has no weights, is what is left; twice the window, twice of it."""
    sizes = {"filters": 6, "embedding_size": 3, "num_states": 4, "similarity": similarity}
    config = nlrn_tf.NLRNConfig(**sizes)
    kernels = {
        v.path: int(np.prod(v.shape))
        for v in nlrn_tf.NLRN(config).trainable_variables
        if v.name == "kernel"
    }
    expected = sum(
        size * (1 if "conv_in" in path or "conv_out" in path else 4)
        for path, size in kernels.items()
    )
    assert multiply_adds(config, 0) == expected
    attention = multiply_adds(config) - expected
    assert attention > 45**2 * 4 * 6
    assert multiply_adds(config, 2 * 45**2) - expected == 2 * attention


def test_the_ends_of_a_network_that_enlarges_have_weights_for_each_sub_pixel():
    sizes = {"filters": 6, "embedding_size": 3, "num_states": 4}
    before, after = (
        nlrn_tf.NLRNConfig(**sizes, scales=(2, 4), upsample=upsample)
        for upsample in ("before", "after")
    )
    more = 9 * 6 * (4 + 16 - 1)
    assert multiply_adds(after) - multiply_adds(before) == more
    assert parameters(after)[0] - parameters(before)[0] == more + (4 + 16 - 1)


def test_a_step_of_the_paper_takes_what_was_measured():
    """7.4 seconds at 225 GFLOP/s."""
    operations = training_operations(TrainingConfig(steps=1))
    assert operations == pytest.approx(7.4 * 225e9, rel=0.02)


def test_phases_count_by_their_share():
    short = TrainingConfig(steps=10, num_states=(6,))
    whole = TrainingConfig(steps=10)
    grown = TrainingConfig(steps=10, num_states=(6, 12), phase_ends=(0.5,))
    expected = (training_operations(short) + training_operations(whole)) / 2
    assert training_operations(grown) == pytest.approx(expected)
