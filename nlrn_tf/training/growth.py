"""Growing a network by more recurrent states and by more channels.

More states: the convolutions are shared, so a new state needs but its batch norms: those of the
last state of its kind, with or without the non-local module, are copied with their Adam moments
and averages. (With untied weights, so are its convolutions.)

More channels, without a change of the output but for rounding (Net2Net: Chen, Goodfellow, Shlens,
ICLR 2016, section 2.2): each channel is copied, and what reads it is shared out between the
copies, at random, so that they learn different things. Adam starts anew.
"""

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN


def grow_state(state: dict[str, list], model: NLRN, seed: int = 0) -> dict[str, list]:
    """The training state (`step.py`) of a smaller network fitted to `model`.

    Args:
      state: of a network with as many states or fewer, and with as many channels or with those of
        `model` divided by one whole number.
      model: has a non-local module with embeddings, where it has one.
      seed: of the shares.

    Raises:
      NLRNError: the arrays differ in more than the number of states and channels.
    """
    period = model.config.non_local_every or 1
    trainable, non_trainable = model.trainable_variables, model.non_trainable_variables
    filters = np.shape(state["trainable"][-2])[-2]  # that the last convolution reads
    factor = model.config.filters // filters
    if factor > 1:
        state = _widened_state(state, trainable, non_trainable, factor, seed)
    variables = {
        "trainable": trainable,
        "non_trainable": non_trainable,
        "momentum": trainable,
        "velocity": trainable,
        "ema": trainable + non_trainable if state["ema"] else [],
    }
    grown = {
        name: [
            _repeat_last(np.asarray(array), tuple(variable.shape), period)
            for array, variable in zip(state[name], variables[name], strict=True)
        ]
        for name in variables
    }
    return {**grown, "counters": [np.asarray(counter) for counter in state["counters"]]}


def _widened_state(state, trainable, non_trainable, factor: int, seed: int) -> dict[str, list]:
    def widened(arrays, variables):
        rng = np.random.default_rng(seed)  # the average is shared out as the weights are
        return [_widened(a, v, factor, rng) for a, v in zip(arrays, variables, strict=True)]

    weights = widened(state["trainable"], trainable)
    _, loss_scale, steps_at_scale = state["counters"]
    return {
        "trainable": weights,
        "non_trainable": widened(state["non_trainable"], non_trainable),
        "momentum": [np.zeros_like(array) for array in weights],
        "velocity": [np.zeros_like(array) for array in weights],
        "ema": widened(state["ema"], trainable + non_trainable) if state["ema"] else [],
        "counters": [np.float32(0), loss_scale, steps_at_scale],
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
