"""Attention of each pixel to the q x q window around it.

Shapes: `B` batch, `H, W` pixels, `D` inner dimension of queries and keys, `M` channels of the
values, `q` window size.

`windowed_attention_reference` is the slow, obvious definition; `windowed_attention` computes the
same in blocks, with memory linear in the image. `normalization="softmax"` weighs by the softmax of
the logits over the window (paper equation 5), "mean" by the logits divided by their number
(the dot products of Table 1).
"""

import keras
from keras import ops

# Queries are taken in blocks of BLOCK x BLOCK. A block needs the (BLOCK + q - 1)^2 keys around it,
# of which each query uses q^2: a larger block wastes products, a smaller one is inefficient.
BLOCK = 16

# So many blocks are worked on together: their logits should fit into the cache of a CPU.
GROUP = 4

# Added to the logit of a key outside the window; exp() of it is 0 in every dtype.
MASKED = {"float32": -1e30, "bfloat16": -1e30, "float16": -3e4, "float64": -1e30}


def windowed_attention_reference(
    queries, keys, values, *, window_size, border="clamp", normalization="softmax"
):
    """Attention by gathering the window of each pixel, for tests: `H W q^2` keys in memory.

    Args:
      queries, keys: `[B, H, W, D]`.
      values: `[B, H, W, M]`.
      window_size: q >= 1. A side of the image shorter than q is covered whole.
      border: "clamp" or "circular".
      normalization: "softmax" or "mean".

    Returns:
      `[B, H, W, M]`, dtype of `values`.
    """
    height, width = queries.shape[1:3]
    rows_of = [_window_indices(y, height, window_size, border) for y in range(height)]
    columns_of = [_window_indices(x, width, window_size, border) for x in range(width)]
    windows = [
        [row * width + column for row in rows_of[y] for column in columns_of[x]]
        for y in range(height)
        for x in range(width)
    ]  # [H W, q^2]
    window_keys = ops.take(_flatten_pixels(keys), windows, axis=1)  # [B, H W, q^2, D]
    window_values = ops.take(_flatten_pixels(values), windows, axis=1)
    logits = ops.sum(_flatten_pixels(queries)[:, :, None] * window_keys, axis=-1)
    weights = _softmax(logits) if normalization == "softmax" else logits / len(windows[0])
    attended = ops.sum(weights[..., None] * window_values, axis=2)
    return ops.reshape(attended, ops.shape(values))


def dense_attention(queries, keys, values, *, normalization="softmax"):
    """Attention of each query to all keys.

    Args:
      queries: `[B, H, W, D]`.
      keys: `[B, H', W', D]`.
      values: `[B, H', W', M]`.
      normalization: "softmax" or "mean".

    Returns:
      `[B, H, W, M]`, dtype of `values`.
    """
    logits = ops.matmul(
        _flatten_pixels(queries), ops.transpose(_flatten_pixels(keys), (0, 2, 1))
    )  # [B, H W, H' W']
    return attend(logits, values, (ops.shape(queries)[1], ops.shape(queries)[2]), normalization)


def attend(logits, values, size, normalization="softmax"):
    """Weighs `values` `[B, H', W', M]` by `logits` `[B, H W, H' W']`; gives `[B, *size, M]`."""
    channels = values.shape[-1]
    values = _flatten_pixels(values)
    if normalization == "softmax":
        weights = _softmax(logits)
    else:
        weights = logits / ops.cast(ops.shape(logits)[-1], logits.dtype)
    attended = ops.matmul(ops.cast(weights, values.dtype), values)
    return ops.reshape(attended, (-1, *size, channels))


def windowed_attention(
    queries, keys, values, *, window_size, border="clamp", normalization="softmax"
):
    """The same as `windowed_attention_reference` in blocks of BLOCK x BLOCK queries.

    `queries` and `keys` may be lists of `[B, H, W, D]`, whose channels are then taken together.

    GROUP blocks are worked on at a time, so that beside the inputs and the output there are
    `B GROUP BLOCK^2 (BLOCK + q - 1)^2` logits in memory. Differentiable. On TensorFlow H and W may
    be unknown when the graph is made.
    """
    batch, height, width, channels = ops.shape(values)
    rows = _Axis(height, window_size, border)
    columns = _Axis(width, window_size, border)
    num_blocks = rows.num_blocks * columns.num_blocks
    size = _minimum(GROUP, num_blocks)
    num_groups = (num_blocks + size - 1) // size
    queries, keys, values = (_flatten_pixels(_joined(x)) for x in (queries, keys, values))

    def attend_group(number):
        block = ops.minimum(number * size + ops.arange(size), num_blocks - 1)
        row, column = block // columns.num_blocks, block % columns.num_blocks
        query_pixels = _pixels(rows.queries_of(row), columns.queries_of(column), width)
        key_pixels = _pixels(rows.keys_of(row), columns.keys_of(column), width)
        return _attend_blocks(
            ops.take(queries, query_pixels, axis=1),
            ops.take(keys, key_pixels, axis=1),
            ops.take(values, key_pixels, axis=1),
            rows.mask_of(row),
            columns.mask_of(column),
            normalization,
        )  # [B, GROUP, BLOCK^2, M]

    groups = _map_in_turn(attend_group, num_groups, values.dtype)
    blocks = ops.reshape(
        ops.transpose(groups, (1, 0, 2, 3, 4)), (batch, num_groups * size, BLOCK, BLOCK, channels)
    )[:, :num_blocks]
    shape = (batch, rows.num_blocks, columns.num_blocks, BLOCK, BLOCK, channels)
    attended = ops.transpose(ops.reshape(blocks, shape), (0, 1, 3, 2, 4, 5))
    shape = (batch, rows.num_blocks * BLOCK, columns.num_blocks * BLOCK, channels)
    return ops.reshape(attended, shape)[:, :height, :width]


class _Axis:
    """Blocks of queries along one side of the image, and the keys that each block needs.

    A key is counted from the first key of its block: `keys_of` gives its index in the image.
    """

    def __init__(self, length, window_size, border):
        self.length = length
        self.border = border
        self.window = _minimum(window_size, length)
        self.before = self.window // 2  # keys before the query, away from the border
        self.num_blocks = (length + BLOCK - 1) // BLOCK
        needed = self.window + BLOCK - 1
        self.num_keys = needed if border == "circular" else _minimum(needed, length)

    def queries_of(self, block):
        """Indices `[G, BLOCK]` in the image of the queries of blocks `[G]`."""
        return ops.minimum(block[:, None] * BLOCK + ops.arange(BLOCK), self.length - 1)

    def keys_of(self, block):
        """Indices `[G, keys]` in the image of the keys of blocks `[G]`."""
        indices = self._first_key(block)[:, None] + ops.arange(self.num_keys)
        return indices % self.length if self.border == "circular" else indices

    def mask_of(self, block):
        """True `[G, BLOCK, keys]` where a query of the blocks `[G]` has the key in its window."""
        start = self._window_start(self.queries_of(block)) - self._first_key(block)[:, None]
        key = ops.arange(self.num_keys)
        start = start[..., None]
        return ops.logical_and(key >= start, key < start + self.window)

    def _window_start(self, query):
        start = query - self.before
        if self.border == "clamp":
            start = ops.clip(start, 0, self.length - self.window)
        return start

    def _first_key(self, block):
        start = self._window_start(block * BLOCK)
        if self.border == "clamp":
            start = ops.minimum(start, self.length - self.num_keys)
        return start


def _attend_blocks(queries, keys, values, row_mask, column_mask, normalization):
    """Attention of `[B, G, BLOCK^2, D]` queries to the `[B, G, K, ...]` keys of their block.

    The masks of the two axes are added to the logits by the product itself: each query carries the
    one-hot codes of its row and column, each key the penalty that these select. That saves a pass
    over the logits, which are far larger than everything else.
    """
    dtype = values.dtype
    if normalization == "softmax":
        codes, penalties = _query_codes(queries), _key_penalties(row_mask, column_mask, dtype)
        queries = ops.concatenate([queries, codes], axis=-1)
        keys = ops.concatenate([keys, _like(keys, penalties)], axis=-1)
    logits = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))  # [B, G, BLOCK^2, K]
    if normalization == "softmax":
        weights = _softmax(logits)
    else:
        inside = ops.cast(_mask_per_pair(row_mask, column_mask), dtype)
        weights = logits * inside / ops.sum(inside, axis=-1, keepdims=True)
    return ops.matmul(ops.cast(weights, dtype), values)


def _query_codes(queries):
    """One-hot codes of the row and the column of each query in its block, `[B, G, ., 2 BLOCK]`."""
    one_hot = ops.eye(BLOCK, dtype=queries.dtype)
    codes = [ops.repeat(one_hot, BLOCK, axis=0), ops.tile(one_hot, (BLOCK, 1))]
    return _like(queries, ops.concatenate(codes, axis=-1))


def _key_penalties(row_mask, column_mask, dtype):
    """What each key (row-major) costs each query row, then column: `[G, K, 2 BLOCK]`."""
    masked = MASKED[keras.backend.standardize_dtype(dtype)]
    row_penalty, column_penalty = (
        ops.transpose(masked * ops.cast(ops.logical_not(mask), dtype), (0, 2, 1))
        for mask in (row_mask, column_mask)
    )  # [G, keys, BLOCK]
    num_blocks, key_rows, block = ops.shape(row_penalty)
    key_columns = ops.shape(column_penalty)[1]
    shape = (num_blocks, key_rows, key_columns, block)
    per_row = ops.broadcast_to(row_penalty[:, :, None], shape)
    per_column = ops.broadcast_to(column_penalty[:, None], shape)
    both = ops.concatenate([per_row, per_column], axis=-1)
    return ops.reshape(both, (num_blocks, key_rows * key_columns, 2 * block))


def _mask_per_pair(row_mask, column_mask):
    """Which queries may attend to which keys (both row-major): `[G, BLOCK^2, K]`."""
    num_blocks, block, key_rows = ops.shape(row_mask)
    key_columns = ops.shape(column_mask)[2]
    inside = ops.logical_and(
        row_mask[:, :, None, :, None], column_mask[:, None, :, None, :]
    )  # [G, BLOCK, BLOCK, key rows, key columns]
    return ops.reshape(inside, (num_blocks, block * block, key_rows * key_columns))


def _like(features, codes):
    """`codes` broadcast over the leading axes of `features`."""
    return ops.broadcast_to(codes, (*ops.shape(features)[:-1], codes.shape[-1]))


def _joined(features):
    """A list of features as one, along the channels."""
    return ops.concatenate(features, -1) if isinstance(features, (list, tuple)) else features


def _pixels(rows, columns, width):
    """Numbers of the pixels at `rows` `[G, R]` x `columns` `[G, S]` of blocks, `[G, R * S]`."""
    pixels = rows[:, :, None] * width + columns[:, None, :]
    num_blocks, num_rows, num_columns = ops.shape(pixels)
    return ops.reshape(pixels, (num_blocks, num_rows * num_columns))


def _softmax(logits):
    # Keras warns of an axis of size 1, which a single pixel has.
    return ops.ones_like(logits) if logits.shape[-1] == 1 else ops.softmax(logits, axis=-1)


def _flatten_pixels(features):
    batch, height, width, channels = ops.shape(features)
    return ops.reshape(features, (batch, height * width, channels))


def _map_in_turn(function, count, dtype):
    """Stacks `function(i)` for i < count, one after the other.

    TensorFlow's own `map_fn` (behind `ops.map`) runs ten turns at once, with ten times the memory.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.map_fn(
            function,
            tf.range(count),
            parallel_iterations=1,
            fn_output_signature=dtype,
        )
    return ops.map(function, ops.arange(count))


def _minimum(a, b):
    # Stays a Python number where both are: shapes must be static on JAX.
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)


def _window_indices(position, length, window_size, border):
    window = min(window_size, length)
    start = position - window // 2
    if border == "clamp":
        start = min(max(start, 0), length - window)
        return list(range(start, start + window))
    return [index % length for index in range(start, start + window)]
