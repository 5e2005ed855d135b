"""The definition against the sums of the paper, pixel by pixel in NumPy."""

import numpy as np
import pytest

from nlrn_tf.layers.attention import reference


def _window(position, length, size, border):
    """The pixels of a window along one axis; an even one has its odd pixel before the query."""
    size = min(size, length)
    first = position - size // 2
    if border == "clamp":
        first = max(first, 0) if first + size <= length else length - size
    return [(first + step) % length for step in range(size)]


@pytest.mark.parametrize("border", ["clamp", "circular"])
@pytest.mark.parametrize("normalization", ["softmax", "mean"])
@pytest.mark.parametrize(("height", "width", "window_size"), [(4, 7, 3), (5, 3, 4), (3, 3, 9)])
def test_each_pixel_is_the_weighted_sum_over_its_window(
    rng, height, width, window_size, border, normalization
):
    queries, keys, values = (rng.normal(size=(2, height, width, n)) for n in (3, 3, 2))
    output = reference.attention(
        queries,
        keys,
        values,
        window_size=window_size,
        border=border,
        normalization=normalization,
    )
    for image, y, x in np.ndindex(2, height, width):
        places = [
            (image, v, u)
            for v in _window(y, height, window_size, border)
            for u in _window(x, width, window_size, border)
        ]
        logits = np.array([queries[image, y, x] @ keys[place] for place in places])
        weights = np.exp(logits) / np.exp(logits).sum()
        if normalization == "mean":
            weights = logits / len(places)
        expected = sum(w * values[place] for w, place in zip(weights, places, strict=True))
        np.testing.assert_allclose(output[image, y, x], expected, atol=1e-6)
