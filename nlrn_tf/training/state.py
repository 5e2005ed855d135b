"""The state of training: everything that a step changes, by name.

A state is a dictionary of dictionaries of arrays or tensors:

    trainable      weights that the gradient moves, by name such as "recurrent/conv_a/kernel"
    non_trainable  moving statistics of the batch norms, by name
    momentum       Adam's first moments, by the names of `trainable`
    velocity       Adam's second moments, by the names of `trainable`
    ema            moving averages of `trainable` and `non_trainable`; empty without EMA
    counters       "updates" made, "loss_scale", and "since_scaled", the updates since the loss
                   scale changed; float32
"""

import collections

import numpy as np
from keras import ops

from nlrn_tf.config import NLRNConfig
from nlrn_tf.model import NLRN
from nlrn_tf.storage.schema import MisfitError
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.weights.shapes import Shapes, is_trainable, weight_shapes

State = dict[str, dict]

PARTS = ("trainable", "non_trainable", "momentum", "velocity", "ema", "counters")

FIRST_LOSS_SCALE = np.float32(2**12)


def first_state(model: NLRN, config: TrainingConfig) -> State:
    """The state before the first step, as NumPy arrays."""
    trainable = _arrays(model.trainable_variables)
    non_trainable = _arrays(model.non_trainable_variables)
    scale = FIRST_LOSS_SCALE if config.precision == "float16" else np.float32(1)
    return {
        "trainable": trainable,
        "non_trainable": non_trainable,
        "momentum": zeros_like(trainable),
        "velocity": zeros_like(trainable),
        "ema": {**trainable, **non_trainable} if config.ema_decay else {},
        "counters": first_counters(scale),
    }


def first_counters(loss_scale: np.float32) -> dict[str, np.float32]:
    """The counters before the first update."""
    return {"updates": np.float32(0), "loss_scale": loss_scale, "since_scaled": np.float32(0)}


def zeros_like(arrays: dict) -> dict[str, np.ndarray]:
    """Zeros of the same names and shapes."""
    return {name: np.zeros_like(array) for name, array in arrays.items()}


def name_of(variable) -> str:
    """The name of a variable in a state: its path without the name of the network."""
    return variable.path.split("/", 1)[1]


def variables_of(model: NLRN) -> dict[str, dict]:
    """The variables of a network by part of the state and name, in the order of the network."""
    trainable = {name_of(variable): variable for variable in model.trainable_variables}
    non_trainable = {name_of(variable): variable for variable in model.non_trainable_variables}
    return {
        "trainable": trainable,
        "non_trainable": non_trainable,
        "momentum": trainable,
        "velocity": trainable,
        "ema": trainable | non_trainable,
    }


def weights(state: State) -> dict:
    """The weights that restore best: the averages where there are any, else the present ones."""
    return state["ema"] or state["trainable"] | state["non_trainable"]


def to_numpy(state: State) -> State:
    """The same state as NumPy arrays."""
    return {
        part: {name: ops.convert_to_numpy(value) for name, value in values.items()}
        for part, values in state.items()
    }


def check_state(state: State, network: NLRNConfig, has_averages: bool) -> None:
    """Compares a state with the network that it is for, before that is built.

    Args:
      state: NumPy arrays; with names, or with numbers as in checkpoints of version 0.1.
      network: of the run as it is now.
      has_averages: whether the run keeps averages of the weights.

    Raises:
      MisfitError: an array is missing, unknown, or of another shape or dtype.
    """
    for part, expected in _shapes_of_state(network, has_averages).items():
        found = {name: array.shape for name, array in state.get(part, {}).items()}
        if is_numbered(state):
            numbers = [f"{number:03d}" for number in range(len(expected))]
            same = sorted(found) == numbers
            same = same and _counted(found) == _counted(expected)
        else:
            same = found == expected
        if not same:
            raise MisfitError(_difference(part, found, expected))
        for name, array in state.get(part, {}).items():
            if array.dtype != np.float32:
                raise MisfitError(f"{part}/{name} is of {array.dtype}, not float32")


def is_numbered(state: State) -> bool:
    """Whether the arrays have numbers for names, as in checkpoints of version 0.1."""
    return "000" in state.get("trainable", {})


def named(state: State, model: NLRN) -> State:
    """A numbered state with the names that the arrays have in `model`, a network of any size."""
    order = {part: list(names) for part, names in variables_of(model).items()}
    order["counters"] = list(first_counters(np.float32(1)))
    return {
        part: {order[part][int(number)]: value for number, value in values.items()}
        for part, values in state.items()
    }


def _shapes_of_state(network: NLRNConfig, has_averages: bool) -> dict[str, Shapes]:
    shapes = weight_shapes(network)
    trainable = {name: shape for name, shape in shapes.items() if is_trainable(name)}
    counters: Shapes = dict.fromkeys(first_counters(np.float32(1)), ())
    return {
        "trainable": trainable,
        "non_trainable": {name: shapes[name] for name in shapes if name not in trainable},
        "momentum": trainable,
        "velocity": trainable,
        "ema": shapes if has_averages else {},
        "counters": counters,
    }


def _counted(shapes: Shapes) -> collections.Counter:
    return collections.Counter(shapes.values())


def _difference(part: str, found: Shapes, expected: Shapes) -> str:
    if not found or not expected:
        return f"it has {len(found)} arrays of {part}, but {len(expected)} are needed"
    names = [n for n in {**expected, **found} if found.get(n) != expected.get(n)]
    name = ascii(names[0])[1:-1][:80]
    shapes = [shapes.get(names[0], "none") for shapes in (found, expected)]
    return f"{part}/{name} has shape {shapes[0]}, but {shapes[1]} is needed"


def _arrays(variables) -> dict[str, np.ndarray]:
    return {name_of(variable): ops.convert_to_numpy(variable) for variable in variables}
