"""The names and shapes of all weights of a network, known before any is made."""

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.similarity import similarity_of

Shapes = dict[str, tuple[int, ...]]

_MOVING = ("moving_mean", "moving_variance")


def weight_shapes(config: NLRNConfig) -> Shapes:
    """The shape of each weight by name, such as "recurrent/conv_a/kernel"."""
    filters, states = config.filters, config.num_states
    sets = (1,) if config.tied_weights else (states,)
    shapes = {
        **_convolution("conv_in", (), 3, 1, filters),
        **_norm("norm_in", 1, 1),
        **_norm("norm_out", 1, filters),
    }
    outputs = {f"conv_out/x{scale}": scale**2 for scale in config.own_scales}
    for name, channels in (outputs or {"conv_out": 1}).items():
        shapes |= _convolution(name, (), 3, filters, channels)
    for norm in ("norm_non_local", "norm_a", "norm_b"):
        shapes |= _norm(f"recurrent/{norm}", states, filters)
    for name in ("conv_a", "conv_b"):
        shapes |= _convolution(f"recurrent/{name}", sets, 3, filters, filters)
    if config.non_local_every:
        similarity, size = similarity_of(config), config.embedding_size
        embeddings = {"g": filters}
        embeddings |= {"theta": size} if similarity.has_theta else {}
        embeddings |= {"phi": size} if similarity.has_phi else {}
        for name, channels in embeddings.items():
            shapes |= _convolution(f"recurrent/non_local/{name}", sets, 1, filters, channels)
    return shapes


def is_trainable(name: str) -> bool:
    """Whether the gradient moves a weight of this name."""
    return not name.endswith(_MOVING)


def is_of_norm(name: str) -> bool:
    """Whether a weight of this name belongs to a batch norm."""
    return "norm_" in name


def _convolution(name: str, sets: tuple[int, ...], side: int, inputs: int, outputs: int) -> Shapes:
    kernel = (*sets, side, side, inputs, outputs)
    return {f"{name}/kernel": kernel, f"{name}/bias": (*sets, outputs)}


def _norm(name: str, states: int, channels: int) -> Shapes:
    parts = ("gamma", "beta", *_MOVING)
    return {f"{name}/{part}": (states, channels) for part in parts}
