"""Measures the training step of the project, or the plain one, in a process of its own.

A process has one figure for its peak memory, so each version gets its own. No flags are defined
here: several benchmarks use it.
"""

import dataclasses
import time

import numpy as np

from benchmarks.common import in_a_process, peak_mib
from nlrn_tf import cli
from nlrn_tf.precision import POLICIES

PROJECT, PLAIN, PLAIN_UNROLLED = "project", "plain", "plain, unrolled"
WARM_UP_STEPS = 2  # the first one makes the graph

# Biases that the next batch norm, or the softmax, takes out again. Their gradient is
# rounding alone, of which Adam makes steps, so they are free to differ.
FREE_WEIGHTS = (
    "conv_in/bias",
    "recurrent/conv_a/bias",
    "recurrent/conv_b/bias",
    "recurrent/non_local/phi/bias",
    "recurrent/non_local/g/bias",
)


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What is trained, and for how many steps; the defaults are the paper's."""

    patch_size: int = 45
    batch_size: int = 16
    num_states: int = 12
    filters: int = 128
    precision: str = "bfloat16"
    ema_decay: float = 0.0
    steps: int = 20
    learning_rate: float = 1e-3

    @property
    def embedding_size(self) -> int:
        return max(1, self.filters // 2)  # as in the paper: 64 of 128

    @property
    def flops(self) -> float:
        """Of a step, with N = `patch_size`^2 keys for each pixel.

        Counted are the products of the recurrence, for each pixel and state: two 3x3 convolutions,
        2 * 9 C C * 2; the embeddings, 2 C (2 L + C); the attention, 2 N (L + C). The gradient takes
        twice as many. The rest (two convolutions of one channel, norms, softmax, Adam) is not.
        """
        c, size, pixels = self.filters, self.embedding_size, self.patch_size**2
        convolutions = 2 * 9 * c * c * 2
        embeddings = 2 * c * (2 * size + c)
        attention = 2 * pixels * (size + c)
        state = (convolutions + embeddings + attention) * pixels * self.batch_size
        return 3.0 * state * self.num_states


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Of one version.

    Attributes:
      seconds: of each step after the warm-up.
      losses: of all steps, in squared grey levels.
      memory_mib: peak of the process above what it had when the first step began.
      before, after: the weights by name, before the first step and after the last.
    """

    seconds: list[float]
    losses: list[float]
    memory_mib: float
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]

    @property
    def seconds_per_step(self) -> float:
        return float(np.median(self.seconds))


def measured(version: str, settings: StepSettings) -> Measurement:
    """Takes `settings.steps` steps in a process of its own; more than `WARM_UP_STEPS`.

    Raises:
      NLRNError: the process was ended from outside, as it is when memory runs out.
    """
    return in_a_process(
        f"the {version} training step", "Try a smaller --batch_size", _measure, version, settings
    )


def _measure(version: str, settings: StepSettings) -> Measurement:
    cli.start_tensorflow()
    model = new_network(settings)
    before = weights_of(model)
    if version == PROJECT:
        step, weights = project_step(model, settings)
    else:
        step, weights = plain_step(model, settings, unroll=version == PLAIN_UNROLLED)
    batches = [training_batch(settings, number) for number in range(settings.steps)]
    start_memory = peak_mib()
    seconds, losses = [], []
    for batch in batches:
        start = time.perf_counter()
        loss, _ = step(*batch)
        losses.append(float(loss))  # waits for the step
        seconds.append(time.perf_counter() - start)
    memory = peak_mib() - start_memory
    return Measurement(seconds[WARM_UP_STEPS:], losses, memory, before, weights())


def weight_differences(one: Measurement, other: Measurement) -> dict[str, float]:
    """How far two versions' weights are apart, in parts of how far the first one's have moved.

    Returns:
      By name of the weight, but not of `FREE_WEIGHTS` and the moving means that contain them: the
      Euclidean norm of the difference divided by that of the movement.
    """
    return {
        name: float(_distance(one.after[name], other.after[name]) / _distance(one.after[name], old))
        for name, old in one.before.items()
        if name not in FREE_WEIGHTS and not name.endswith("moving_mean")
    }


def new_network(settings: StepSettings):
    """A new `NLRN`, the same for the same settings."""
    import keras

    import nlrn_tf

    config = nlrn_tf.NLRNConfig(
        filters=settings.filters,
        embedding_size=settings.embedding_size,
        num_states=settings.num_states,
        window_size=settings.patch_size,
        unroll=True,
    )
    keras.utils.set_random_seed(1)
    return nlrn_tf.NLRN(config, dtype=POLICIES[settings.precision])


def project_step(model, settings: StepSettings):
    """`nlrn_tf.training.step.TrainingStep` as a function of a batch.

    Returns:
      A function (degraded, clean) -> (loss, norm of the gradient) and one that gives the weights by
      name; the averages are "ema/" and the name.
    """
    from nlrn_tf.training.settings import TrainingConfig
    from nlrn_tf.training.state import first_state
    from nlrn_tf.training.step import TrainingStep

    config = TrainingConfig(
        precision=settings.precision,
        learning_rate=settings.learning_rate,
        ema_decay=settings.ema_decay,
    )
    training_step = TrainingStep(model, config)
    state = first_state(model, config)

    def step(degraded, clean):
        nonlocal state
        state, metrics = training_step(state, [(degraded, clean)], settings.learning_rate)
        return metrics["loss"], metrics["gradient_norm"]

    def weights():
        averages = {f"ema/{name}": value for name, value in state["ema"].items()}
        values = state["trainable"] | state["non_trainable"] | averages
        return {name: np.asarray(value) for name, value in values.items()}

    return step, weights


def plain_step(model, settings: StepSettings, unroll: bool = False):
    """The same as `project_step` with `plain_network.PlainStep`, from the weights of `model`."""
    from benchmarks.plain_network import PlainNetwork, PlainStep

    network = PlainNetwork(weights_of(model), settings.precision, unroll)
    step = PlainStep(network, settings.learning_rate, ema_decay=settings.ema_decay)

    def weights():
        averages = {f"ema/{name}": value for name, value in step.averages.items()}
        return {name: value.numpy() for name, value in (network.weights | averages).items()}

    return step, weights


def weights_of(model) -> dict[str, np.ndarray]:
    """The weights of an `NLRN` by name, such as "recurrent/conv_a/kernel"."""
    from nlrn_tf.training.state import name_of

    return {name_of(variable): variable.numpy() for variable in model.variables}


def training_batch(settings: StepSettings, number: int):
    """(degraded, clean), float32 `[B, P, P, 1]`: waves with noise of sigma 25, by their number."""
    import tensorflow as tf

    rng = np.random.default_rng(number)
    y, x = np.mgrid[: settings.patch_size, : settings.patch_size]
    size = (2, settings.batch_size, 1, 1)
    (slope_y, slope_x), (phase_y, phase_x) = rng.uniform(0.1, 1, size), rng.uniform(0, 6, size)
    clean = 0.5 + 0.3 * np.sin(slope_y * y + phase_y) * np.sin(slope_x * x + phase_x)
    noisy = clean + rng.normal(0, 25 / 255, clean.shape)
    return tuple(tf.constant(images[..., None], tf.float32) for images in (noisy, clean))


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return np.linalg.norm((one - other.reshape(one.shape)).ravel().astype(np.float64))
