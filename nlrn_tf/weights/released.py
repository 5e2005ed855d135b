"""Importing the authors' released weights: TensorFlow 1 SavedModels and NLRN_v0 checkpoints.

Both name their variables alike. The batch norms of the recurrence are numbered in the order of
their use, three for each state: before the non-local module, before the first and before the
second convolution. The released graphs work on grey levels 0..255, as our network does inside, so
that the weights carry over as they are.
"""

import glob
import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.storage.reading import reading
from nlrn_tf.storage.schema import MisfitError
from nlrn_tf.weights.shapes import weight_shapes

NORMS = ("norm_non_local", "norm_a", "norm_b")


def import_saved_model(folder: str | os.PathLike, **config) -> NLRN:
    """The network of a released SavedModel folder; `config` as for `import_checkpoint`."""
    prefix = Path(folder) / "variables" / "variables"
    if not os.path.isfile(prefix.with_suffix(".index")):
        raise NLRNError(f"{folder}: not a SavedModel, there is no variables/variables.index in it")
    return import_checkpoint(prefix, **config)


def import_checkpoint(prefix: str | os.PathLike, **config) -> NLRN:
    """The network of a TensorFlow 1 checkpoint.

    Args:
      prefix: path of the checkpoint without `.index` or `.data-00000-of-00001`.
      **config: fields of `NLRNConfig` that the weights do not show, such as `task`,
        `noise_sigma` and `correlation_propagation`.

    Raises:
      NLRNError: the files cannot be read, or hold another network.
    """
    with reading(prefix, "not a readable TensorFlow checkpoint", "get the files again"):
        variables = _variables(Path(prefix))
    with reading(prefix, "not the variables of an NLRN", "give another checkpoint"):
        return _network(variables, config)


def _variables(prefix: Path) -> dict[str, np.ndarray]:
    """The variables of a network by name, without those of its optimiser."""
    reader = tf.train.load_checkpoint(os.fspath(prefix))
    types = reader.get_variable_to_dtype_map()
    shapes = {
        name: shape
        for name, shape in reader.get_variable_to_shape_map().items()
        if name.startswith("model/") and "Adam" not in name
    }
    files = prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*")
    there = sum(path.stat().st_size for path in files)
    needed = 4 * _count(shapes.values())
    if any(types[name] != tf.float32 for name in shapes):
        raise MisfitError("a variable is not float32")
    if needed > there:
        raise MisfitError(f"its variables take {needed} bytes, but there are {there}")
    return {name: reader.get_tensor(name) for name in shapes}


def _network(variables: dict[str, np.ndarray], config: dict) -> NLRN:
    norms = sum(name.startswith("model/rnn/batch_norm") for name in variables) // 4
    filters = variables["model/conv1/bias"].shape[0]
    network = NLRNConfig(
        filters=filters,
        embedding_size=variables["model/rnn/non_local_theta/bias"].shape[0],
        num_states=norms // len(NORMS),
        **config,
    )
    needed = _count(weight_shapes(network).values())
    there = _count(map(np.shape, variables.values()))
    if needed != there:
        raise MisfitError(f"a network of these sizes has {needed} weights, but there are {there}")
    model = NLRN(network)
    unread = dict(variables)
    for layer, name in _layers(model):
        _assign(layer, [name], unread)
    for offset, norm in enumerate(NORMS):
        names = [
            f"model/rnn/batch_normalization_{number}".removesuffix("_0")
            for number in range(offset, norms, len(NORMS))
        ]
        _assign(getattr(model.recurrent, norm), names, unread)
    if unread:
        raise ValueError(f"unexpected variable {min(unread)}")
    return model


def _count(shapes: Iterable[tuple[int, ...]]) -> int:
    return sum(map(math.prod, shapes))


def _layers(model: NLRN) -> list[tuple]:
    recurrent, non_local = model.recurrent, model.recurrent.non_local
    if non_local is None:
        raise ValueError("non_local_every=0, but the released networks have non-local modules")
    return [
        (model.norm_in, "model/batch_normalization"),
        (model.conv_in, "model/conv1"),
        (non_local.theta, "model/rnn/non_local_theta"),
        (non_local.phi, "model/rnn/non_local_phi"),
        (non_local.g, "model/rnn/non_local_g"),
        (recurrent.conv_a, "model/rnn/RB1_a"),
        (recurrent.conv_b, "model/rnn/RB1_b"),
        (model.norm_out, "model/batch_normalization_1"),
        (model.conv_out, "model/conv_end"),
    ]


def _assign(layer, names: list[str], unread: dict[str, np.ndarray]) -> None:
    """Moves the variables under `names`, one name for each state, from `unread` to `layer`."""
    for weight in layer.weights:
        values = [unread.pop(f"{name}/{weight.name}") for name in names]
        stacked = len(weight.shape) > values[0].ndim
        weight.assign(np.stack(values) if stacked else values[0])
