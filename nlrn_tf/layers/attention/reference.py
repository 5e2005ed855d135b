"""The definition of windowed attention, for tests: slow, and easy to check by reading.

`B` batch, `H, W` pixels, `D` inner dimension, `M` channels of the values, `q` window size.
"""

from keras import ops

from nlrn_tf.layers.attention.operations import flatten_pixels, joined, softmax, window_indices


def obstacle(queries, keys, values, *, window_size, border, normalization):
    """Why this cannot be done by definition, or None."""
    if None in values.shape[1:3]:
        return "it needs an image of known height and width"
    return None


def attention(queries, keys, values, *, window_size, border, normalization):
    """Gathers the window of each pixel: `H W q^2` keys in memory. Differentiable.

    The arguments and the result are those of `attend`, in any floating-point dtype.
    """
    queries, keys = joined(queries), joined(keys)
    height, width = values.shape[1:3]
    rows_of = [window_indices(y, height, window_size, border) for y in range(height)]
    columns_of = [window_indices(x, width, window_size, border) for x in range(width)]
    windows = [
        [row * width + column for row in rows_of[y] for column in columns_of[x]]
        for y in range(height)
        for x in range(width)
    ]  # [H W, q^2]
    window_keys = ops.take(flatten_pixels(keys), windows, axis=1)  # [B, H W, q^2, D]
    window_values = ops.take(flatten_pixels(values), windows, axis=1)  # [B, H W, q^2, M]
    logits = ops.sum(flatten_pixels(queries)[:, :, None] * window_keys, axis=-1)  # [B, H W, q^2]
    weights = softmax(logits) if normalization == "softmax" else logits / len(windows[0])
    attended = ops.sum(ops.cast(weights, values.dtype)[..., None] * window_values, axis=2)
    return ops.reshape(attended, ops.shape(values))  # [B, H, W, M]
