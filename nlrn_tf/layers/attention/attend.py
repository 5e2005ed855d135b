"""Attention of each pixel to the q x q window around it: the one door to all ways of doing it.

`B` batch, `H, W` pixels, `D` inner dimension of queries and keys, `M` channels of the values, `q`
window size. A way is a module with two functions of the arguments of `attend`: `obstacle` says why
it cannot do it, and `attention` does it.
"""

from nlrn_tf.config import ATTENTIONS
from nlrn_tf.errors import NLRNError
from nlrn_tf.layers.attention import blocks, dense, kernel, reference

# In order of preference. The definition comes last and is never needed: blocks can do everything.
_MODULES = {"kernel": kernel, "dense": dense, "blocks": blocks, "reference": reference}


def attend(queries, keys, values, *, window_size, border, normalization, backend=None):
    """Weighs the values in the window of each pixel by the products of its query with the keys.

    "softmax" weighs by the softmax of the logits over the window (paper, equation 5), "mean" by the
    logits divided by their number (the dot products of Table 1).

    Args:
      queries, keys: `[B, H, W, D]`, or lists of such tensors, whose channels are taken together.
      values: `[B, H, W, M]`.
      window_size: q >= 1. A side of the image shorter than q is covered whole.
      border: "clamp" slides the window inwards at the border of the image, "circular" wraps it
        around.
      normalization: "softmax" or "mean".
      backend: one of `nlrn_tf.config.ATTENTIONS`; None takes the fastest compatible one.

    Returns:
      `[B, H, W, M]`, dtype of `values`.

    Raises:
      NLRNError: the backend cannot do this, or there is none of that name.
    """
    options = {"window_size": window_size, "border": border, "normalization": normalization}
    if backend is None:
        backend = compatible_backends(queries, keys, values, **options)[0]
    if backend not in _MODULES:
        raise NLRNError(f"attention={backend!r}: must be one of {', '.join(ATTENTIONS)}")
    reason = _MODULES[backend].obstacle(queries, keys, values, **options)
    if reason:
        raise NLRNError(f"attention={backend!r} is not possible here: {reason}")
    return _MODULES[backend].attention(queries, keys, values, **options)


def compatible_backends(queries, keys, values, *, window_size, border, normalization) -> list[str]:
    """The backends that can do what `attend` is asked for, the fastest first.

    "kernel" is compiled code for processors that have what it needs; "dense" attends to the whole
    image, where that is known to fit into the window; "blocks" can do everything; "reference" is
    the slow definition.
    """
    options = {"window_size": window_size, "border": border, "normalization": normalization}
    return [
        name
        for name, module in _MODULES.items()
        if not module.obstacle(queries, keys, values, **options)
    ]
