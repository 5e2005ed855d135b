"""Attention of each pixel to all others.

`B` batch, `H, W` pixels, `N = H W` of them, `L` embedding size, `M` channels of the values. The N^2
logits of an image are far larger than its other tensors, and a training step waits for the passes
over them.
"""

import numpy as np
from keras import ops

from nlrn_tf import backend
from nlrn_tf.layers.attention.operations import flatten_pixels, joined, softmax, window_indices

_OUTSIDE = -1e30  # a logit of no weight, finite: infinities have no difference


def obstacle(queries, keys, values, *, window_size, border, normalization):
    """Why the windows are not the whole image, or are not known to be, or None."""
    if fits(values.shape, window_size):
        return None
    height, width = values.shape[1:3]
    return f"an image of {height} x {width} pixels does not fit into a window of {window_size}"


def fits(shape, window_size) -> bool:
    """Whether images `[B, H, W, .]` are known to lie within one window."""
    height, width = shape[1:3]
    return None not in (height, width) and max(height, width) <= window_size


def attention(queries, keys, values, *, window_size, border, normalization):
    """Attention as `attend` defines it, where all windows are the whole image. Differentiable."""
    return weigh(logits_of(joined(queries), joined(keys)), values, normalization)


def logits_of(queries, keys):
    """The products of all `[B, H, W, L]` with all: float32 `[B, N, N]`."""
    queries, keys = flatten_pixels(queries), flatten_pixels(keys)
    return ops.cast(ops.matmul(queries, _transposed(keys)), "float32")


def weigh(logits, values, normalization):
    """Weighs `values` `[B, H, W, M]` by `logits` `[B, N, N]`; gives their shape and dtype."""
    if normalization == "softmax":
        weights = softmax(logits)
    else:
        weights = logits / ops.cast(ops.shape(logits)[-1], logits.dtype)
    attended = ops.matmul(ops.cast(weights, values.dtype), flatten_pixels(values))
    return ops.reshape(attended, ops.shape(values))  # [B, H, W, M]


def masked_start(features, window_size, border):
    """What `accumulating_attention` begins with where the windows are not the whole image.

    Args:
      features: `[B, H, W, C]` of known H and W, for their dtype.
      window_size, border: as of `attend`.
    """
    height, width = features.shape[1:3]
    rows = _in_window(height, window_size, border)[:, None, :, None]
    columns = _in_window(width, window_size, border)[None, :, None, :]
    is_inside = np.reshape(rows & columns, (1, height * width, height * width))
    logits = ops.where(is_inside, 0.0, _OUTSIDE)
    return ops.cast(logits, "float32"), ops.zeros((), features.dtype)


def _in_window(length, window_size, border):
    """Whether a position, of the first axis, has another in its window: bool `[length, length]`."""
    is_inside = np.zeros((length, length), bool)
    for position in range(length):
        is_inside[position, window_indices(position, length, window_size, border)] = True
    return is_inside


def accumulating_attention(correlation, queries, keys, values):
    """Softmax attention by the sum of this state's correlation and those before.

    The gradient is written out. It needs the weights of the attention in the dtype of the values
    and nothing else of that size, where automatic differentiation keeps float32 weights as well.
    The gradient of the sum is handed from state to state as if it were that of the weights, which
    have its shape and a small dtype.

    Args:
      correlation: what the state before returned; for the first () or `masked_start`.
      queries, keys: `[B, N, L]`.
      values: `[B, N, M]`, the same dtype.

    Returns:
      `[B, N, M]`, dtype of `values`, and the correlation: the summed logits `[B, N, N]`, float32
      from the second state on, and the weights `[B, N, N]`. Use neither for anything else.
    """
    logits = ops.stop_gradient(ops.matmul(queries, _transposed(keys)))
    summed, weights = logits, ops.zeros((), values.dtype)
    if correlation:
        summed, weights = correlation
        summed = logits = backend.in_one_pass(_sum)(summed, logits)
    attended, weights = _weigh(logits, weights, queries, keys, values)
    return attended, (summed, weights)


@ops.custom_gradient
def _weigh(logits, weights_before, queries, keys, values):
    is_first = len(weights_before.shape) == 0
    weights = ops.cast(softmax(logits), values.dtype)
    attended = ops.matmul(weights, values)

    def gradient(*upstream):
        upstream_attended, upstream_weights = upstream if len(upstream) == 2 else upstream[0]
        # Each row of the softmax' gradient sums to zero. What it lacks for that is the product
        # of the output with its gradient.
        row_sums = ops.sum(
            ops.cast(upstream_attended, "float32") * ops.cast(attended, "float32"),
            axis=-1,
            keepdims=True,
        )
        upstream_logits = backend.in_one_pass(_logit_gradient)(
            weights,
            ops.matmul(upstream_attended, _transposed(values)),
            row_sums,
            upstream_weights,
        )
        return (
            ops.zeros_like(logits),
            ops.zeros_like(weights_before) if is_first else upstream_logits,
            ops.matmul(upstream_logits, keys),
            ops.matmul(_transposed(upstream_logits), queries),
            ops.matmul(_transposed(weights), upstream_attended),
        )

    return (attended, weights), gradient


def _sum(summed, logits):
    return ops.cast(summed, "float32") + ops.cast(logits, "float32")


def _logit_gradient(weights, upstream_weights, row_sums, later_states):
    """The gradient of the summed logits, in the dtype of `weights`."""
    upstream = ops.cast(upstream_weights, "float32") - row_sums
    own = ops.cast(weights, "float32") * upstream
    return ops.cast(own + ops.cast(later_states, "float32"), weights.dtype)


def _transposed(matrices):
    return ops.transpose(matrices, (0, 2, 1))
