"""The shapes that are known beforehand are those of real networks."""

import pytest

from nlrn_tf.config import SIMILARITIES, NLRNConfig
from nlrn_tf.model import NLRN
from nlrn_tf.training.state import variables_of
from nlrn_tf.weights.shapes import is_trainable, weight_shapes

NETWORKS = [
    *({"similarity": similarity} for similarity in SIMILARITIES),
    {"tied_weights": False},
    {"non_local_every": 2, "num_states": 5},
    {"non_local_every": 0, "tied_weights": False},
    {"correlation_propagation": False, "unroll": True},
]


@pytest.mark.parametrize("changes", NETWORKS, ids=str)
def test_the_shapes_are_those_of_a_network(changes):
    config = NLRNConfig(**{"filters": 6, "embedding_size": 4, "num_states": 3, **changes})
    variables = variables_of(NLRN(config))
    expected = {name: tuple(variable.shape) for name, variable in variables["ema"].items()}
    assert weight_shapes(config) == expected
    assert {name for name in expected if is_trainable(name)} == set(variables["trainable"])
