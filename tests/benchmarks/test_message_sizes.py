"""What replicas tell each other, against the numbers that the network has."""

from benchmarks.message_sizes import message_sizes


def test_moments_and_gradients_are_counted():
    """Two moments of each channel of a norm: in float64 forwards, in float32 backwards."""
    states, channels, embedding = 2, 6, 3
    sizes = message_sizes(states, channels)
    norms = 3 * states + 1  # and that of the images, with one channel
    assert len(sizes["moments"]) == 2 * (norms + 1)
    assert sum(sizes["moments"]) == 2 * (8 + 4) * (norms * channels + 1)

    kernels = 9 * channels + 2 * 9 * channels**2 + 9 * channels  # in, a, b, out
    biases = 3 * channels + 1
    module = 2 * (channels * embedding + embedding) + channels**2 + channels  # theta, phi, g
    scales_and_offsets = 2 * (norms * channels + 1)
    loss = 1
    numbers = kernels + biases + module + scales_and_offsets + loss
    assert sizes["gradients"] == [4 * numbers]
