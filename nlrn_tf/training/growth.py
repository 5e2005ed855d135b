"""Growing a network by more recurrent states and by more channels.

More states: the convolutions are shared, so a new state only needs batch norms. Those of the last
state of its kind, with or without the non-local module, are copied with their Adam moments and
averages. (With untied weights, so are its convolutions.)

Untied weights: each state gets a copy of the convolutions that all had shared.

More channels, with the same output up to rounding (Net2Net: Chen, Goodfellow, Shlens,
ICLR 2016, section 2.2): each channel is copied, and what reads it is shared out between the
copies, at random, so that they learn different things. Adam starts
from zero.
"""

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.training.state import State, variables_of, zeros_like


def grow_state(state: State, model: NLRN, seed: int = 0) -> State:
    """The training state of a smaller network fitted to `model`.

    Args:
      state: of a network with as many states or fewer, and with as many channels or with those of
        `model` divided by one whole number.
      model: has a non-local module with embeddings, where it has one.
      seed: of the shares.

    Raises:
      NLRNError: the arrays differ in more than the number of states and channels.
    """
    period = model.config.non_local_every or 1
    variables = variables_of(model)
    filters = np.shape(state["trainable"]["conv_in/kernel"])[-1]
    factor = model.config.filters // filters
    if factor > 1:
        state = _widened_state(state, variables["ema"], factor, seed)
    grown = {
        part: {
            name: _repeat_last(np.asarray(array), tuple(variables[part][name].shape), period)
            for name, array in state[part].items()
        }
        for part in variables
    }
    return {**grown, "counters": state["counters"]}


def _widened_state(state: State, variables: dict, factor: int, seed: int) -> State:
    def widened(arrays):
        rng = np.random.default_rng(seed)  # the average is shared out as the weights are
        return {
            name: _widened(array, variables[name], factor, rng) for name, array in arrays.items()
        }

    weights = widened(state["trainable"])
    return {
        "trainable": weights,
        "non_trainable": widened(state["non_trainable"]),
        "momentum": zeros_like(weights),
        "velocity": zeros_like(weights),
        "ema": widened(state["ema"]),
        "counters": {**state["counters"], "updates": np.float32(0)},
    }


def _widened(array, variable, factor: int, rng: np.random.Generator) -> np.ndarray:
    array = np.asarray(array)
    if array.shape[-1] * factor == variable.shape[-1]:
        array = np.concatenate([array] * factor, axis=-1)
    if variable.name == "kernel" and array.shape[-2] * factor == variable.shape[-2]:
        shares = rng.dirichlet(np.ones(factor), array.shape)  # [*shape, factor], sums to 1
        array = np.concatenate([array * shares[..., part] for part in range(factor)], axis=-2)
    if "/theta/" in variable.path or "/phi/" in variable.path:
        array = array / np.sqrt(factor)  # the products of the copies add up
    return array.astype("float32")


def _repeat_last(array: np.ndarray, shape: tuple[int, ...], period: int) -> np.ndarray:
    if array.shape == shape:
        return array
    if array.ndim != len(shape) or array.shape[1:] != shape[1:] or array.shape[0] > shape[0]:
        raise NLRNError(f"weights of shape {array.shape} cannot grow to {shape}")
    added = np.arange(shape[0] - len(array)) % min(period, len(array))
    return np.concatenate([array, array[-min(period, len(array)) :][added]])
