"""Growing a network by more channels, without a change of what it computes.

A narrow network takes many more steps in the same time, and a wider one can go on from where it
ends (Net2Net: Chen, Goodfellow, Shlens, ICLR 2016, section 2.2). Each channel is copied, and what
reads it is shared out between the copies, at random, so that they learn different things.
"""

import dataclasses

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN


def widen(model: NLRN, filters: int, embedding_size: int, seed: int = 0) -> NLRN:
    """A network with more channels and the same output but for rounding.

    Args:
      model: with embedded similarity.
      filters, embedding_size: of the new network, the same multiple of those of `model`.
      seed: of the shares.

    Raises:
      NLRNError: they are not.
    """
    old = model.config
    factor = filters // old.filters
    if (filters, embedding_size) != (factor * old.filters, factor * old.embedding_size):
        raise NLRNError(
            f"--filters={filters} --embedding_size={embedding_size}: the network to start from has "
            f"{old.filters} and {old.embedding_size}; give the same multiple of both"
        )
    config = dataclasses.replace(old, filters=filters, embedding_size=embedding_size)
    wide = NLRN(config, dtype=model.dtype_policy)
    rng = np.random.default_rng(seed)
    for variable, source in zip(wide.variables, model.variables, strict=True):
        array = np.asarray(source)
        for axis, (size, wanted) in enumerate(zip(array.shape, variable.shape, strict=True)):
            if size != wanted:
                is_input = variable.name == "kernel" and axis == array.ndim - 2
                array = (
                    _shared_out(array, axis, factor, rng)
                    if is_input
                    else _copied(array, axis, factor)
                )
        if "/theta/" in variable.path or "/phi/" in variable.path:
            array = array / np.sqrt(factor)  # the products of the copies add up
        variable.assign(array)
    return wide


def _copied(array: np.ndarray, axis: int, factor: int) -> np.ndarray:
    return np.concatenate([array] * factor, axis=axis)


def _shared_out(array: np.ndarray, axis: int, factor: int, rng: np.random.Generator) -> np.ndarray:
    shares = rng.dirichlet(np.ones(factor), array.shape)  # [*shape, factor], sums to 1
    return np.concatenate([array * shares[..., part] for part in range(factor)], axis=axis)
