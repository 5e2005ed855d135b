import dataclasses

import pytest

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError


def test_the_defaults_are_the_papers():
    config = NLRNConfig()
    assert (config.filters, config.embedding_size) == (128, 64)
    assert (config.num_states, config.window_size) == (12, 45)
    assert config.correlation_propagation
    assert config.tied_weights
    assert config.similarity == "embedded_gaussian"


def test_to_dict_round_trips():
    config = NLRNConfig(task="sr", scales=(2, 3), window_border="circular", non_local_every=2)
    assert NLRNConfig(**config.to_dict()) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filters", 0),
        ("window_size", 4.5),
        ("num_states", True),
        ("window_border", "mirror"),
        ("similarity", "cosine"),
        ("task", "deblur"),
        ("noise_sigma", -1.0),
        ("scales", (1,)),
        ("non_local_every", -1),
        ("unroll", 1),
        ("attention", "fastest"),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(NLRNError, match=name):
        dataclasses.replace(NLRNConfig(), **{name: value})
