"""How large a network is: parameters, depth and multiply-adds, as Table 3 of the paper counts."""

import math

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.similarity import similarity_of
from nlrn_tf.model import NLRN
from nlrn_tf.training.settings import TrainingConfig

# A step computes the gradients of the weights and of the features besides the output, each of
# which takes as many products.
_PASSES_OF_A_STEP = 3


def parameters(config: NLRNConfig) -> tuple[int, int]:
    """The parameters of the convolutions, and the scales and offsets of the batch norms."""
    variables = NLRN(config).trainable_variables
    sizes = [(math.prod(variable.shape), "norm" in variable.path) for variable in variables]
    return sum(n for n, is_norm in sizes if not is_norm), sum(n for n, is_norm in sizes if is_norm)


def effective_depth(config: NLRNConfig) -> int:
    """The convolutions from input to output, with one for each non-local module (paper: 38)."""
    return 2 + 2 * config.num_states + _states_with_module(config)


def multiply_adds(config: NLRNConfig, neighbours: int | None = None) -> int:
    """The products for one pixel of what the network gets.

    Args:
      config: the architecture. Correlation propagation counts as the sum that it is. With
        `upsample` "after" the sub-pixels of all scales count, as in training.
      neighbours: pixels that each one attends to; by default those of the window.
    """
    channels = config.filters
    neighbours = config.window_size**2 if neighbours is None else neighbours
    similarity = similarity_of(config)
    embeddings = similarity.has_theta + similarity.has_phi
    module = channels * (embeddings * config.embedding_size + channels)
    module += neighbours * (similarity.inner_size(config) + channels)
    outputs = sum(scale**2 for scale in config.own_scales) or 1
    ends = 9 * channels * (1 + outputs)
    residual_blocks = config.num_states * 2 * 9 * channels**2
    return ends + residual_blocks + _states_with_module(config) * module


def training_operations(config: TrainingConfig) -> float:
    """Floating-point operations of a training of `config.steps` steps, two for a multiply-add."""
    steps, total, start = config.steps * config.accumulate, 0.0, 0.0
    for phase in config.phases():
        sizes = {name: getattr(phase, name) for name in ("filters", "embedding_size", "num_states")}
        network = NLRNConfig(
            **sizes,
            similarity=config.network.similarity,
            non_local_every=config.network.non_local_every,
            upsample=config.network.upsample,
            scales=config.network.scales,
        )
        pixels = phase.patch_size**2
        products = multiply_adds(network, pixels) * pixels * phase.batch_size
        total += (phase.end - start) * steps * products
        start = phase.end
    return 2 * _PASSES_OF_A_STEP * total


def _states_with_module(config: NLRNConfig) -> int:
    return math.ceil(config.num_states / config.non_local_every) if config.non_local_every else 0
