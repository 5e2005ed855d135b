"""Attention of each pixel to the q x q window around it, block by block.

`B` batch, `H, W` pixels, `D` inner dimension of queries and keys, `M` channels of the values, `q`
window size; `K` keys of a block of queries, `P` channels of codes (`mask.py`).
"""

from keras import ops

from nlrn_tf import backend
from nlrn_tf.layers.attention.mask import key_codes, query_codes, zone_size
from nlrn_tf.layers.attention.operations import listed, numbers, softmax

# Queries are taken in blocks of BLOCK x BLOCK. A block needs the (BLOCK + q - 1)^2 keys around it,
# of which each query uses q^2: a larger block wastes products, a smaller one is inefficient.
BLOCK = 16

# How many blocks are worked on at once on TensorFlow: one keeps the cores busy while the other has
# nothing to share between them.
BLOCKS_AT_ONCE = 2


def obstacle(queries, keys, values, *, window_size, border, normalization):
    """Why this cannot be done in blocks: nothing prevents it."""
    return None


def attention(queries, keys, values, *, window_size, border, normalization):
    """Attention as `attend` defines it, in blocks of BLOCK x BLOCK queries.

    The blocks lie in strips of BLOCK rows. The keys of a strip are laid out column by column:
    those of a block are then consecutive in memory and used where they are. Besides the inputs and
    the output there are the (BLOCK + q - 1) W keys of a strip in memory and BLOCKS_AT_ONCE times
    the BLOCK^2 (BLOCK + q - 1)^2 logits of a block. Differentiable. On TensorFlow H and W may be
    unknown when the graph is made.
    """
    queries, keys = listed(queries), listed(keys)
    is_softmax = normalization == "softmax"
    batch, height, width, channels = ops.shape(values)
    rows = _Axis(height, window_size, border)
    columns = _Axis(width, window_size, border)
    queries = [ops.reshape(x, (-1, width, ops.shape(x)[-1])) for x in queries]  # [B H, W, D]
    keys = [_continued(x, rows, columns) for x in keys]
    values = _continued(values, rows, columns)
    dtype = queries[0].dtype
    column_codes = columns.shared_codes(dtype) if is_softmax else None

    def attend_strip(number):
        image, strip = number // rows.num_blocks, number % rows.num_blocks
        first_key = image * rows.num_kept + rows.first_key(strip)
        if is_softmax:
            row_codes = rows.block_codes(strip, dtype)
            codes_of_queries, codes_of_keys = _strip_codes(column_codes, row_codes)
        else:
            row_mask, codes_of_queries, codes_of_keys = rows.mask_of(strip), (), ()
        pixel_rows = image * height + ops.minimum(strip * BLOCK + numbers(BLOCK), height - 1)
        strip_queries = _strip([ops.take(x, pixel_rows, axis=0) for x in queries], codes_of_queries)
        strip_queries = ops.pad(strip_queries, ((0, columns.num_missing), (0, 0), (0, 0)))
        strip_keys = _strip(_rows(keys, first_key, rows.num_keys), codes_of_keys)
        strip_values = _strip(_rows([values], first_key, rows.num_keys))

        def attend_block(block):
            first_key = columns.first_key(block)
            block_keys = _columns(strip_keys, first_key, columns.num_keys)
            block_values = _columns(strip_values, first_key, columns.num_keys)
            logits = ops.matmul(
                _columns(strip_queries, block * BLOCK, BLOCK), ops.transpose(block_keys)
            )  # [BLOCK^2, K]
            if is_softmax:
                weights = softmax(logits)
            else:
                weights = _mean_weights(logits, columns.mask_of(block), row_mask)
            return ops.matmul(ops.cast(weights, block_values.dtype), block_values)

        return backend.map_range(
            attend_block, columns.num_blocks, values.dtype, at_once=BLOCKS_AT_ONCE
        )  # [W / BLOCK, BLOCK^2, M]

    strips = backend.map_range(attend_strip, batch * rows.num_blocks, values.dtype)
    # From column by column, as in the strips, to row by row, without the queries added to fill
    # whole blocks.
    shape = (batch, rows.num_blocks, columns.num_blocks * BLOCK, BLOCK, channels)
    attended = ops.transpose(ops.reshape(strips, shape), (0, 1, 3, 2, 4))  # [B, ., BLOCK, ., M]
    shape = (batch, rows.num_blocks * BLOCK, columns.num_blocks * BLOCK, channels)
    return ops.reshape(attended, shape)[:, :height, :width]  # [B, H, W, M]


class _Axis:
    """Blocks of queries along one side of the image, and the keys that each block needs.

    There are `num_kept` keys: with the border "clamp" those of the image; with "circular" those of
    the image continued periodically, from half a window before it.
    """

    def __init__(self, length, window_size, border):
        self.length = length
        self.window = _minimum(window_size, length)
        self.before = self.window // 2  # keys before the query, away from the border
        self.num_blocks = (length + BLOCK - 1) // BLOCK
        self.num_missing = self.num_blocks * BLOCK - length  # queries to whole blocks
        self.is_circular = border == "circular"
        needed = self.window + BLOCK - 1
        self.num_keys = needed if self.is_circular else _minimum(needed, length)
        self.num_kept = self.num_blocks * BLOCK + self.window - 1 if self.is_circular else length

    def first_key(self, block):
        """The first of the `num_keys` keys of a block."""
        start = self._window_start(block * BLOCK)
        return start if self.is_circular else ops.minimum(start, self.length - self.num_keys)

    def mask_of(self, block):
        """True `[BLOCK, num_keys]` where a query of the block has the key in its window."""
        return self._is_inside(block, self.first_key(block) + numbers(self.num_keys))

    def shared_codes(self, dtype):
        """Codes of the queries, `[length, P]`, and of the keys, `[num_kept, P]`, for any block.

        Zones take turns at the channels, of which there are enough for all zones of a block.
        """
        size = zone_size(dtype)
        count = (self.num_keys + size - 2) // size + 1
        turns = numbers(count)
        blocks = numbers(self.num_blocks)[:, None]
        first_zone = self.first_key(blocks) // size
        # ONNX rounds quotients of negative numbers up, so none is divided here.
        zones = first_zone + (turns + count - first_zone % count) % count
        queries = self._query_codes(blocks, zones * size, zones * size, dtype)
        queries = ops.reshape(queries, (self.num_blocks * BLOCK, 2 * count))  # from [., BLOCK, P]
        queries = queries[: self.length]
        keys = numbers(self.num_kept)[:, None]
        is_in_zone = ops.equal(keys // size % count, turns)
        offsets = keys % size
        left = key_codes(size - 1 - offsets, is_in_zone, dtype)
        return queries, ops.concatenate([left, key_codes(offsets, is_in_zone, dtype)], axis=-1)

    def block_codes(self, block, dtype):
        """Codes of the queries of a block, `[BLOCK, P]`, and of its keys, `[num_keys, P]`.

        Only keys at the ends, which are not in all windows, are in zones.
        """
        size = zone_size(dtype)
        num_outside = self.num_keys - self.window
        zones = numbers((num_outside + size - 1) // size) * size
        queries = self._query_codes(
            block, self.first_key(block) + zones, self.first_key(block) + self.window + zones, dtype
        )
        offsets = numbers(self.num_keys)[:, None] - zones
        codes = []
        for outward in (size - 1 - offsets, offsets - self.window):
            is_in_zone = ops.logical_and(outward >= 0, outward < size)
            codes.append(key_codes(outward, is_in_zone, dtype))
        return queries, ops.concatenate(codes, axis=-1)

    def _query_codes(self, block, left_zones, right_zones, dtype):
        """`[..., BLOCK, P]` for zones `[..., Z]` given by their lowest keys."""
        start = ops.expand_dims(self._window_start(block * BLOCK + numbers(BLOCK)), -1)
        left = ops.expand_dims(left_zones, -2) + zone_size(dtype) - start
        right = start + self.window - ops.expand_dims(right_zones, -2)
        return ops.concatenate([query_codes(left, dtype), query_codes(right, dtype)], axis=-1)

    def _is_inside(self, block, keys):
        """Which `keys` `[..., K]` the queries of a block `[...]` attend to, `[..., BLOCK, K]`."""
        start = self._window_start(block * BLOCK + numbers(BLOCK))
        start, keys = ops.expand_dims(start, -1), ops.expand_dims(keys, -2)
        return ops.logical_and(keys >= start, keys < start + self.window)

    def _window_start(self, query):
        if self.is_circular:
            return query
        return ops.clip(query - self.before, 0, self.length - self.window)


def _continued(keys, rows, columns):
    """`[B, H, W, D]`, continued at a circular border, as `[B num_kept, num_kept, D]`."""
    for number, axis in ((1, rows), (2, columns)):
        if axis.is_circular:
            indices = (numbers(axis.num_kept) + axis.length - axis.before) % axis.length
            keys = ops.take(keys, indices, axis=number)
    return ops.reshape(keys, (-1, columns.num_kept, ops.shape(keys)[-1]))  # rows of all images


def _strip_codes(column_codes, row_codes):
    """The codes of the queries and of the keys of a strip, each broadcast to `[R, W, P]`."""
    codes = []
    for columns, rows in zip(column_codes, row_codes, strict=True):
        # To whole multiples of BLOCK, so that blocks of keys are aligned in memory.
        count = ops.shape(columns)[-1] + ops.shape(rows)[-1]
        missing = (BLOCK - count % BLOCK) % BLOCK
        codes.append((columns[None], rows[:, None], ops.zeros((1, 1, missing), columns.dtype)))
    return codes


def _rows(features, first, count):
    """`count` rows of each of `features` `[., W, D]`; on TensorFlow no copy."""
    return [ops.slice(x, (first, 0, 0), (count, *ops.shape(x)[1:])) for x in features]


def _strip(features, codes=()):
    """`features` `[R, W, D]` and `codes`, broadcast to them, joined: `[W, R, D]`."""
    num_rows, width, _ = ops.shape(features[0])
    codes = [ops.broadcast_to(code, (num_rows, width, ops.shape(code)[-1])) for code in codes]
    return ops.transpose(ops.concatenate([*features, *codes], axis=-1), (1, 0, 2))


def _columns(strip, first, count):
    """`count` columns of a strip `[W, R, D]`, as pixels `[count R, D]`."""
    _, height, channels = ops.shape(strip)
    part = ops.slice(strip, (first, 0, 0), (count, height, channels))
    return ops.reshape(part, (count * height, channels))  # [count R, D]


def _mean_weights(logits, column_mask, row_mask):
    """The logits in the window divided by their number; pixels are counted column by column."""
    # [BLOCK, BLOCK, keys in a row, keys in a column]
    inside = ops.logical_and(column_mask[:, None, :, None], row_mask[None, :, None, :])
    inside = ops.cast(ops.reshape(inside, ops.shape(logits)), logits.dtype)  # [BLOCK^2, K]
    return logits * inside / ops.sum(inside, axis=-1, keepdims=True)


def _minimum(a, b):
    # Stays a Python number where both are: shapes must be static on JAX.
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)
