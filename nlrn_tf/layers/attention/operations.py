"""What the ways of attention share. `B` batch, `H, W` pixels, `C` channels."""

from keras import ops


def numbers(count):
    """0 to `count` - 1 as int32; Keras alone makes int16 of them where its `floatx` is float16."""
    return ops.arange(count, dtype="int32")


def listed(features):
    """A tensor as a list of one; a list as it is."""
    return list(features) if isinstance(features, (list, tuple)) else [features]


def joined(features):
    """The channels of a list of tensors taken together."""
    features = listed(features)
    return features[0] if len(features) == 1 else ops.concatenate(features, axis=-1)


def flatten_pixels(features):
    """`[B, H, W, C]` as `[B, H W, C]`."""
    batch, height, width, channels = ops.shape(features)
    return ops.reshape(features, (batch, height * width, channels))  # [B, H W, C]


def softmax(logits):
    """Over the last axis."""
    # Keras warns of an axis of size 1, which a single pixel has.
    return ops.ones_like(logits) if logits.shape[-1] == 1 else ops.softmax(logits, axis=-1)


def window_indices(position, length, window_size, border):
    """The rows, or columns, in the window of one; all `length` where the window is larger."""
    window = min(window_size, length)
    start = position - window // 2
    if border == "clamp":
        start = min(max(start, 0), length - window)
        return list(range(start, start + window))
    return [index % length for index in range(start, start + window)]
