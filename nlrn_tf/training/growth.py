"""Growing a network by more recurrent states.

The convolutions are shared, so a new state needs but its batch norms: those of the last state of
its kind, with or without the non-local module, are copied with their Adam moments and averages.
(With untied weights, so are its convolutions.)
"""

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN


def grow_state(state: dict[str, list], model: NLRN) -> dict[str, list]:
    """The training state (`step.py`) of a smaller network fitted to `model`.

    Raises:
      NLRNError: the arrays differ in more than the number of states.
    """
    trainable = [tuple(v.shape) for v in model.trainable_variables]
    non_trainable = [tuple(v.shape) for v in model.non_trainable_variables]
    shapes = {
        "trainable": trainable,
        "non_trainable": non_trainable,
        "momentum": trainable,
        "velocity": trainable,
        "ema": trainable + non_trainable if state["ema"] else [],
        "counters": [()] * 3,
    }
    return {
        name: [
            _repeat_last(np.asarray(array), shape, model.config.non_local_every or 1)
            for array, shape in zip(state[name], shapes[name], strict=True)
        ]
        for name in shapes
    }


def _repeat_last(array: np.ndarray, shape: tuple[int, ...], period: int) -> np.ndarray:
    if array.shape == shape:
        return array
    if array.ndim != len(shape) or array.shape[1:] != shape[1:] or array.shape[0] > shape[0]:
        raise NLRNError(f"weights of shape {array.shape} cannot grow to {shape}")
    added = np.arange(shape[0] - len(array)) % min(period, len(array))
    return np.concatenate([array, array[-min(period, len(array)) :][added]])
