"""Few factors for the correlation of many states.

`B` batch, `H, W` pixels, `D` channels of all states so far, `R` channels kept.
"""

from keras import ops

from nlrn_tf.layers.attention.operations import flatten_pixels

# Pixels that are sampled to see how the channels of an image vary: enough for that, and few enough
# to take no time.
SAMPLES = 4096

# Relative size of what is lost in the rounding of float32 sums.
ROUNDING = 1e-6

# When the correlation has the channels of more than MOST_STATES states, it is reduced to those of
# KEPT_STATES. Choosing channels takes longer than using a few more of them.
MOST_STATES, KEPT_STATES = 3, 2


def bounded(queries, keys, size):
    """Queries and keys with few enough channels for the next state.

    Args:
      queries, keys: tuples of `[B, H, W, .]`, the states so far.
      size: channels of a state.

    Returns:
      Tuples of queries and keys: the given ones, or `compressed` ones where there are many.
    """
    if sum(x.shape[-1] for x in queries) <= MOST_STATES * size:
        return queries, keys
    queries, keys = compressed(queries, keys, KEPT_STATES * size)
    return (queries,), (keys,)


def compressed(queries, keys, rank):
    """The best factors of `rank` channels for the products of all queries with all keys.

    The states of a network resemble each other, and so do their embeddings: with the authors'
    weights for sigma 15, 128 of the 768 channels of twelve states leave out 2 % of the logits
    (RMS), which changes no PSNR by more than 0.002 dB (`docs/measurements.md`). Exact when the
    products have that rank.

    This is balanced truncation. With Cholesky factors `L_q`, `L_k` of the second moments of queries
    and keys and the singular value decomposition `L_q^T L_k = U S V^T`, the logits `Q K^T` of all
    pairs of pixels are nearest to those of `Q L_k V_R S_R^-1/2` and `K L_q U_R S_R^-1/2`.

    Args:
      queries, keys: lists of `[B, H, W, .]`, D channels together.
      rank: R, at most D.

    Returns:
      Queries and keys, `[B, H, W, R]`, in the dtype of the first. No gradient goes through the
      choice of the channels.
    """
    queries, keys = ops.concatenate(queries, axis=-1), ops.concatenate(keys, axis=-1)
    root_queries, root_keys = _moment_root(queries), _moment_root(keys)
    left, singular, right = ops.linalg.svd(
        ops.matmul(ops.transpose(root_queries, (0, 2, 1)), root_keys)
    )
    # Singular values this small are rounding; their channels must not be blown up.
    singular = ops.maximum(singular, ROUNDING * singular[:, :1])
    scale = ops.rsqrt(singular[:, None, :rank])
    to_queries = ops.matmul(root_keys, ops.transpose(right, (0, 2, 1))[..., :rank]) * scale
    to_keys = ops.matmul(root_queries, left[..., :rank]) * scale
    return _projected(queries, to_queries), _projected(keys, to_keys)


def _moment_root(features):
    """The Cholesky factor of the second moments of `[B, H, W, D]`, float32 `[B, D, D]`."""
    _, height, width, channels = ops.shape(features)
    # An odd step does not fall on the same columns in each row of an image of even width.
    step = height * width // (2 * SAMPLES) * 2 + 1
    features = flatten_pixels(ops.stop_gradient(features))  # [B, H W, D]
    chosen = ops.arange(0, height * width, step, dtype="int32")
    samples = ops.cast(ops.take(features, chosen, axis=1), "float32")
    moments = ops.matmul(ops.transpose(samples, (0, 2, 1)), samples)
    trace = ops.trace(moments, axis1=1, axis2=2)[:, None, None]
    identity = ops.eye(channels, dtype="float32")
    # Nothing to choose by; values that are not finite are for the reader of the result to see.
    moments = ops.where(ops.logical_and(trace > 0, ops.isfinite(trace)), moments, identity)
    trace = ops.trace(moments, axis1=1, axis2=2)[:, None, None]
    return ops.linalg.cholesky(moments + ROUNDING * trace * identity)


def _projected(features, matrix):
    batch, height, width, _ = ops.shape(features)
    projected = ops.matmul(
        flatten_pixels(features), ops.cast(matrix, features.dtype)
    )  # [B, H W, R]
    return ops.reshape(projected, (batch, height, width, matrix.shape[-1]))  # [B, H, W, R]
