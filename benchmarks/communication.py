"""Counts what the replicas of a training step tell each other.

  python benchmarks/communication.py
  python benchmarks/communication.py --num_states=12 --filters=128 --json=communication.json

One replica takes a step, and the tensors are counted that it has the mean of taken: the moments of
the batch norms, forwards and backwards, and the gradients. By a ring each of n replicas sends
2 (n - 1) / n times that much (Patarasuk and Yuan 2009); the seconds are those that a network of a
rate takes for it, without delays. Neither depends on the size of the batch and of the patches.
"""

import sys
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common
from nlrn_tf import cli

_NUM_STATES = flags.DEFINE_integer("num_states", 12, "Recurrent states.", lower_bound=1)
_FILTERS = flags.DEFINE_integer(
    "filters", 128, "Channels of the state; the embeddings have half.", lower_bound=2
)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")

REPLICAS = (2, 8, 64)
GIGABITS = (1, 10, 100)


def main(_: list[str]) -> None:
    cli.start_tensorflow()
    from benchmarks.message_sizes import message_sizes  # loads TensorFlow

    sizes = message_sizes(_NUM_STATES.value, _FILTERS.value)
    total = sum(map(sum, sizes.values()))
    rows = []
    for replicas in REPLICAS:
        sent = 2 * (replicas - 1) / replicas * total
        milliseconds = {f"ms at {rate} Gbit/s": sent * 8e-6 / rate for rate in GIGABITS}
        rows.append({"replicas": replicas, "MB sent by each": sent / 1e6, **milliseconds})
    settings = {
        "states": _NUM_STATES.value,
        "filters": _FILTERS.value,
        **{f"bytes of {name}": sum(bytes) for name, bytes in sizes.items()},
        **{f"messages of {name}": len(bytes) for name, bytes in sizes.items()},
    }
    common.report("Communication of a training step", settings, rows, _JSON.value)


if __name__ == "__main__":
    cli.run(main)
