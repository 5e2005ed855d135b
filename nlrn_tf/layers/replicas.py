"""What a layer may ask of the replicas of a training step: means over them.

A replica computes on its share of the batch. The trainer says how the replicas of a step reach each
other (`nlrn_tf.training.distribution`); a layer knows nothing else of them.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

_mean: contextvars.ContextVar[Callable | None] = contextvars.ContextVar("mean", default=None)


@contextlib.contextmanager
def replicated(mean: Callable) -> Iterator[None]:
    """Within it layers are those of one replica of several.

    Args:
      mean: of a tensor, of the same shape on every replica; its mean over them, on each.
    """
    token = _mean.set(mean)
    try:
        yield
    finally:
        _mean.reset(token)


def mean_over_replicas() -> Callable | None:
    """The `mean` of `replicated`, None where there is one replica."""
    return _mean.get()
