"""Measures the windowed attention alone, beside the machine's own products of matrices.

  python benchmarks/attention.py
  python benchmarks/attention.py --size=512 --precisions=bfloat16 --json=attention.json

A row is the attention of that many states in turn, each with the correlation of those before, kept
as the network keeps it; seconds are those of a state. The GFLOP/s count, for a
state, 2 N q^2 (L + C): the products of its queries with the q^2 keys of their windows, and of the
weights with the values. What else is computed, the products with the keys of the states before and
with keys outside the windows, and the choice of the channels that are kept, counts as time only.
"share" is the part of the rate of a product of two 2048 x 2048 matrices of the same dtype, measured
before and after. "by" tells whether TensorFlow's operations attend or a kernel of the package, and
which: $NLRN_KERNEL forces one.
"""

import statistics
import sys
import time
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from nlrn_tf import cli

_SIZE = flags.DEFINE_integer("size", 256, "Side of the image in pixels.", lower_bound=1)
_WINDOW = flags.DEFINE_integer("window_size", 45, "Side of the windows in pixels.", lower_bound=1)
_STATES = flags.DEFINE_list("states", ["1", "4", "12"], "Numbers of states.")
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "bfloat16"], "Of all tensors.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Calls that the median is taken of.", lower_bound=1)
_MATRIX = flags.DEFINE_integer("matrix", 2048, "Side of the matrices.", lower_bound=1)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")

CHANNELS, EMBEDDING = 128, 64  # of the paper


def main(_: list[str]) -> None:
    cli.start_tensorflow()
    rows = []
    for dtype in _PRECISIONS.value:
        before = _matrix_rate(dtype)
        seconds = {
            (by, int(states)): _attention_seconds(int(states), dtype, by)
            for by in ("operations", _kernel(dtype))
            for states in _STATES.value
            if by
        }
        rate = statistics.mean((before, _matrix_rate(dtype)))
        useful = 2 * _SIZE.value**2 * _WINDOW.value**2 * (EMBEDDING + CHANNELS)
        rows += [
            {
                "precision": dtype,
                "by": by,
                "states": states,
                "seconds": taken,
                "GFLOP/s": useful / taken / 1e9,
                "matrices GFLOP/s": rate / 1e9,
                "share": useful / taken / rate,
            }
            for (by, states), taken in seconds.items()
        ]
    settings = {"image": f"{_SIZE.value}x{_SIZE.value}", "window": _WINDOW.value}
    settings |= {"channels": CHANNELS, "embedding": EMBEDDING, "repeats": _REPEATS.value}
    common.report("Windowed attention", settings, rows, _JSON.value)


def _kernel(dtype: str) -> str | None:
    """The variant of the kernel, None where there is none."""
    from nlrn_tf.layers.attention import kernel

    return kernel.variant_for(dtype, (EMBEDDING, CHANNELS))


def _attention_seconds(states: int, dtype: str, by: str) -> float:
    """For one of `states` in turn."""
    import tensorflow as tf

    backend = "blocks" if by == "operations" else "kernel"

    def features(channels):
        shape = (1, _SIZE.value, _SIZE.value, channels)
        return tf.cast(0.1 * tf.random.normal(shape), dtype)

    embedded = [(features(EMBEDDING), features(EMBEDDING)) for _ in range(states)]
    values = features(CHANNELS)
    attended = tf.function(lambda: _attended(embedded, values, backend), autograph=False)
    return _seconds(attended) / states


def _attended(embedded, values, backend: str):
    """What the states attend to, by their queries and keys, as in a network of twelve states."""
    import tensorflow as tf

    from nlrn_tf.config import NLRNConfig
    from nlrn_tf.layers.propagation import propagation

    config = NLRNConfig(
        filters=CHANNELS,
        embedding_size=EMBEDDING,
        window_size=_WINDOW.value,
        unroll=True,
        attention=backend,
    )
    shape = (None, None, None, CHANNELS)
    form = propagation(config, shape, dtype=values.dtype.name, training=False)
    correlation, attended = form.start(values), []
    for state, (queries, keys) in enumerate(embedded):
        with tf.control_dependencies(attended[-1:]):  # in turn
            queries = tf.identity(queries)
        new, correlation = form.attend(correlation, state, queries, keys, values)
        attended.append(new)
    return attended


def _matrix_rate(dtype: str) -> float:
    """FLOP/s."""
    import tensorflow as tf

    side = _MATRIX.value
    matrix = tf.cast(tf.random.normal((side, side)), dtype)
    return 2 * side**3 / _seconds(tf.function(lambda: tf.matmul(matrix, matrix)))


def _seconds(function, *arguments) -> float:
    """The median time of a call, after a first one."""
    import tensorflow as tf

    taken = []
    for _ in range(1 + _REPEATS.value):
        start = time.perf_counter()
        tf.nest.map_structure(lambda x: x.numpy(), function(*arguments))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    cli.run(main)
