"""The mask of windowed attention as further channels, "codes", of the queries and keys.

Their product leaves the logit of a key in the window of the query as it is, and lowers those of
other keys so far that softmax gives them no weight. That saves a pass over the logits, which are
far larger than all other tensors.

Going outward along one axis, a key at `x` is masked from some bound `b` on. The cost

    -exp(a (x - b + 1/2)) = exp(a (x - c)) * -exp(a (c - b + 1/2))

takes a single channel for all keys of a zone around `c`. It is at least `exp(a / 2)` for a masked
key and at most `exp(-a / 2)` for another. A zone is as large as the range of the factors allows.
"""

import keras
from keras import ops

# The keys in a zone and the steepness `a`. The exponent of a factor is up to half their product.
# Costs are 7e5 and 1e-6 in float32 and bfloat16, 2e4 and 5e-5 in float16.
_ZONES = {"float32": (6, 27.0), "bfloat16": (6, 27.0), "float16": (1, 20.0), "float64": (6, 230.0)}


def zone_size(dtype):
    """The number of consecutive keys that share a channel."""
    return _ZONES[keras.backend.standardize_dtype(dtype)][0]


def key_codes(offsets, is_in_zone, dtype):
    """`[K, Z]` for keys at `offsets` `[K, 1 or Z]` outward from the first key of their zone."""
    codes = _exponential(offsets, -(zone_size(dtype) - 1) / 2, dtype)
    return ops.where(is_in_zone, codes, ops.zeros_like(codes))


def query_codes(bounds, dtype):
    """`[..., Z]` for first masked keys at `bounds`, outward from the first key of each zone."""
    size = zone_size(dtype)
    codes = -_exponential(-ops.maximum(bounds, 0), size / 2, dtype)
    return ops.where(bounds < size, codes, ops.zeros_like(codes))


def _exponential(positions, shift, dtype):
    name = keras.backend.standardize_dtype(dtype)
    size, steepness = _ZONES[name]
    positions = ops.cast(positions, "float64" if name == "float64" else "float32") + shift
    return ops.cast(ops.exp(steepness * ops.clip(positions, -size / 2, size / 2)), dtype)
