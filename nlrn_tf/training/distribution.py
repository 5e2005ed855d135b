"""Training on several devices and machines: all that the trainer knows of them.

A step is taken by replicas, each on a device and on its equal share of every batch. Gradients, and
the moments of batch norms, are means over the replicas, so that the step is the one that a single
device takes with the whole batch. Each process keeps one state and updates it by itself, from the
same gradients.
"""

import contextlib
import json
import signal
import sys
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from nlrn_tf import backend
from nlrn_tf.errors import NLRNError, reason_of
from nlrn_tf.layers.replicas import replicated
from nlrn_tf.settings import require
from nlrn_tf.training.checkpoint import Checkpoint
from nlrn_tf.training.cluster import VARIABLE, Cluster, cluster
from nlrn_tf.training.quiet import native_errors_held_back
from nlrn_tf.training.settings import TrainingConfig

# What TensorFlow raises in a step when another worker is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Distribution:
    """One device; the base of the others.

    Attributes:
      replicas: how many share a batch.
      workers: processes.
      worker: the number of this process; worker 0 is the chief, which alone writes files.
      unrolls: whether the states must be unrolled in the graph.
    """

    replicas = workers = 1
    worker = 0
    unrolls = False

    @property
    def is_chief(self) -> bool:
        return self.worker == 0

    def compiled(self, gradients: Callable) -> Callable:
        """A compiled function that takes means over the replicas.

        Args:
          gradients: of a state, and of degraded and clean images `[B, P, P, 1]`. Returns the state
            with new statistics, and gradients by name, means over the images.

        Returns:
          The same as a function of the batch of this worker, with means over all workers.
        """
        return backend.compiled(gradients)

    def gathered(self, *numbers: float) -> np.ndarray:
        """The numbers of each worker, float64 `[workers, len(numbers)]`; at least one number."""
        return np.array([numbers], np.float64)

    def wait(self) -> None:
        """Returns when every worker has called it."""
        self.gathered(0)

    @contextlib.contextmanager
    def watching_others(self) -> Iterator[None]:
        """Turns what TensorFlow raises when another worker is lost into an `NLRNError`."""
        yield

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """Lets the other workers do the same after the chief."""
        if not self.is_chief:
            self.wait()
        yield
        if self.is_chief:
            self.wait()

    def require_same(self, config: TrainingConfig, run: Checkpoint) -> None:
        """Raises NLRNError unless all workers have the same settings and the same checkpoint."""
        settings = zlib.crc32(json.dumps(config.flat(), sort_keys=True).encode())
        told = self.gathered(settings, run.step, run.examples)
        for worker, others in enumerate(told):
            if others[0] != told[0, 0]:
                raise NLRNError(
                    f"distribute=multi_worker: worker {worker} has other settings than the chief; "
                    "give all of them the same command, and a precision other than auto"
                )
            if tuple(others) != tuple(told[0]):
                raise NLRNError(
                    f"distribute=multi_worker: worker {worker} does not see the checkpoints of the "
                    "chief; give a workdir that all of them share"
                )


def distribution(config: TrainingConfig) -> Distribution:
    """How `config.distribute` trains in this process. Before anything else of TensorFlow.

    Raises:
      NLRNError: there are no other devices, `TF_CONFIG` is wrong, another worker cannot be reached,
        or a batch size cannot be divided by the number of replicas.
    """
    found = _found(config.distribute)
    fits = all(size % found.replicas == 0 for size in config.batch_size)
    allowed = f"multiples of {found.replicas}, which is how many replicas share a batch"
    require(config, "batch_size", fits, allowed)
    return found


def _found(name: str) -> Distribution:
    if name == "none":
        return Distribution()
    if name == "mirrored" and backend.name() == "jax":
        return _JaxDevices()
    backend.require_tensorflow(f"distribute={name}")
    return _Mirrored() if name == "mirrored" else _Workers(cluster())


class _JaxDevices(Distribution):
    """The devices of this process, over which JAX spreads the arrays."""

    def __init__(self):
        self.replicas = len(_several(backend.jax_devices()))

    def compiled(self, gradients):
        return backend.compiled_for_jax_devices(gradients)


class _Strategy(Distribution):
    """Replicas of a `tf.distribute.Strategy`."""

    # A replica cannot wait for the others within a loop of a graph.
    unrolls = True

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self.replicas = strategy.num_replicas_in_sync
        self._local = self.replicas // self.workers

    def compiled(self, gradients):
        def replica(state, *batches):
            with replicated(_mean_over_replicas):
                state, parts = gradients(state, *map(self._share, batches))
            values = [tf.identity(value) for value in parts.values()]
            means = tf.distribute.get_replica_context().all_reduce("MEAN", values)
            return state, dict(zip(parts, means, strict=True))

        def step(state, *batches):
            return self._first(self._strategy.run(replica, (state, *batches)))

        return tf.function(step, autograph=False)

    def _share(self, batch):
        """The images of the replica that asks, of those of this worker."""
        size = batch.shape[0] // self._local
        number = tf.distribute.get_replica_context().replica_id_in_sync_group % self._local
        return batch[number * size : (number + 1) * size]

    def _first(self, results):
        """What the first replica of this worker has returned; the others have the same."""
        return tf.nest.map_structure(
            lambda result: self._strategy.experimental_local_results(result)[0], results
        )


class _Mirrored(_Strategy):
    """The devices of this process."""

    def __init__(self):
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name for device in _several(devices)]
        super().__init__(tf.distribute.MirroredStrategy(names))


class _Workers(_Strategy):
    """The devices of several processes, which have found each other by `TF_CONFIG`."""

    def __init__(self, cluster: Cluster):
        self.workers, self.worker = len(cluster.addresses), cluster.worker
        address = cluster.addresses[self.worker]
        print(f"worker {self.worker} ({address}) waits for the others", file=sys.stderr, flush=True)
        with native_errors_held_back(), _interrupted_at_once():
            try:
                super().__init__(tf.distribute.MultiWorkerMirroredStrategy())
            except (tf.errors.OpError, ValueError, RuntimeError) as error:
                raise NLRNError(
                    f"{VARIABLE}: worker {self.worker} at {address} cannot join the others "
                    f"({reason_of(error)}); is the port in use, or another worker gone?"
                ) from error
        self._sum = tf.function(self._summed, autograph=False)

    def gathered(self, *numbers):
        table = np.zeros((self.workers, len(numbers)))
        table[self.worker] = numbers
        return self._sum(tf.constant(table)).numpy() / self._local

    def _summed(self, table):
        def replica(table):
            return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(table))

        return self._first(self._strategy.run(replica, (table,)))

    @contextlib.contextmanager
    def watching_others(self):
        with native_errors_held_back():
            try:
                yield
            except tf.errors.OpError as error:
                if not isinstance(error, _LOST) and "ollective" not in str(error):
                    raise
                raise NLRNError(
                    f"distribute=multi_worker: worker {self.worker} has lost another worker; start "
                    "all of them again to go on from the last checkpoint"
                ) from error


@contextlib.contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Ctrl-C ends the process; Python would not hear of it before native code has ended."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _several(devices: list) -> list:
    if len(devices) < 2:
        raise NLRNError(
            f"distribute=mirrored is not allowed: give none, as {backend.name()} has one device "
            f"here, {getattr(devices[0], 'name', devices[0])}"
        )
    return devices


def _mean_over_replicas(value: tf.Tensor) -> tf.Tensor:
    # The identity puts it on the device of the replica, which it is to be reduced on.
    return tf.distribute.get_replica_context().all_reduce("MEAN", tf.identity(value))
