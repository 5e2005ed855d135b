"""One training step as pure functions of a state, the same on TensorFlow and on JAX.

A state is a dictionary of lists of tensors, in the order of the model's variables:

    trainable      weights that the gradient moves
    non_trainable  moving statistics of the batch norms
    momentum       Adam's first moments of `trainable`
    velocity       Adam's second moments of `trainable`
    ema            moving averages of `trainable`, then `non_trainable`; empty without EMA
    counters       [updates made, loss scale, updates since the loss scale changed], float32
"""

import numpy as np
from keras import ops

from nlrn_tf import backend
from nlrn_tf.model import GREY_LEVELS, NLRN
from nlrn_tf.training.settings import TrainingConfig

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
FIRST_LOSS_SCALE = np.float32(2**12)
LOSS_SCALE_GROWTH_STEPS = 1000


def first_state(model: NLRN, config: TrainingConfig) -> dict[str, list]:
    """The state before the first step, as NumPy arrays."""
    trainable = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    non_trainable = [ops.convert_to_numpy(v) for v in model.non_trainable_variables]
    zeros = [np.zeros_like(array) for array in trainable]
    scale = FIRST_LOSS_SCALE if config.precision == "float16" else np.float32(1)
    return {
        "trainable": trainable,
        "non_trainable": non_trainable,
        "momentum": zeros,
        "velocity": [array.copy() for array in zeros],
        "ema": [a.copy() for a in trainable + non_trainable] if config.ema_decay else [],
        "counters": [np.float32(0), scale, np.float32(0)],
    }


class TrainingStep:
    """Adam on half the mean squared error, clipped at a global gradient norm.

    The loss is that of the paper (section 4: 1/2 MSE over the patch) in grey levels 0..255, the
    units of the network inside. A step whose loss or gradient is not finite changes nothing but,
    in float16, the loss scale.
    """

    def __init__(self, model: NLRN, config: TrainingConfig):
        self._model = model
        self._config = config
        self._accumulate = backend.compiled(self._gradients)
        self._apply = backend.compiled(self._update)

    def __call__(self, state, batches, learning_rate):
        """Takes one step.

        Args:
          state: as described above.
          batches: one pair (degraded, clean), each float32 `[B, P, P, 1]` in [0, 1], for each
            part that the gradient is accumulated over.
          learning_rate: a float.

        Returns:
          The next state, and metrics as scalar tensors: "loss" in squared grey levels, "mse" of
          images in [0, 1], "gradient_norm" before clipping, "finite" (1 or 0).
        """
        sums, statistics = None, state["non_trainable"]
        for degraded, clean in batches:
            state, parts = self._accumulate(state, degraded, clean)
            sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
        *gradients, loss = [total / len(batches) for total in sums]
        state, norm, finite = self._apply(
            state, statistics, gradients, loss, np.float32(learning_rate)
        )
        mse = 2 * loss / GREY_LEVELS**2
        return state, {"loss": loss, "mse": mse, "gradient_norm": norm, "finite": finite}

    def _gradients(self, state, degraded, clean):
        """The state with new moving statistics, and [gradients..., loss]."""
        loss_scale = state["counters"][1]

        def scaled_loss(trainable):
            restored, non_trainable = self._model.stateless_call(
                trainable, state["non_trainable"], degraded, training=True
            )
            loss = 0.5 * ops.mean(ops.square(GREY_LEVELS * (restored - clean)))
            return loss * loss_scale, (loss, non_trainable)

        (loss, non_trainable), gradients = backend.gradients_of(scaled_loss, state["trainable"])
        gradients = [gradient / loss_scale for gradient in gradients]
        return {**state, "non_trainable": non_trainable}, [*gradients, loss]

    def _update(self, state, statistics, gradients, loss, learning_rate):
        """The next state; `statistics` are the moving ones before this step."""
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
        finite = ops.logical_and(ops.isfinite(norm), ops.isfinite(loss))
        factor = ops.minimum(1.0, self._config.clip_norm / (norm + 1e-12))
        stepped = _adam(state, [gradient * factor for gradient in gradients], learning_rate)
        if state["ema"]:
            stepped["ema"] = self._averages(stepped)
        before = {**state, "non_trainable": statistics}
        kept = {
            name: _choose(finite, stepped[name], before[name])
            for name in state
            if name != "counters"
        }
        counters = self._counters(state["counters"], finite)
        return {**kept, "counters": counters}, norm, ops.cast(finite, "float32")

    def _averages(self, state):
        # The decay rises with the steps, or the first weights would stay in the average.
        updates = state["counters"][0] + 1
        decay = ops.minimum(self._config.ema_decay, (1 + updates) / (10 + updates))
        weights = state["trainable"] + state["non_trainable"]
        return [
            average + (1 - decay) * (weight - average)
            for average, weight in zip(state["ema"], weights, strict=True)
        ]

    def _counters(self, counters, finite):
        updates, scale, since = counters
        updates = updates + ops.cast(finite, "float32")
        if self._config.precision != "float16":
            return [updates, scale, since]
        since = ops.where(finite, since + 1, 0.0)
        grown = ops.greater_equal(since, LOSS_SCALE_GROWTH_STEPS)
        scale = ops.where(finite, ops.where(grown, 2 * scale, scale), ops.maximum(scale / 2, 1.0))
        return [updates, scale, ops.where(grown, 0.0, since)]


def _adam(state, gradients, learning_rate):
    """The state after an update by Adam (Kingma and Ba 2015, algorithm 1)."""
    updates = state["counters"][0] + 1
    momentum = [
        BETA_1 * m + (1 - BETA_1) * g for m, g in zip(state["momentum"], gradients, strict=True)
    ]
    velocity = [
        BETA_2 * v + (1 - BETA_2) * ops.square(g)
        for v, g in zip(state["velocity"], gradients, strict=True)
    ]
    bias_1, bias_2 = 1 - BETA_1**updates, 1 - BETA_2**updates
    trainable = [
        weight - learning_rate * (m / bias_1) / (ops.sqrt(v / bias_2) + EPSILON)
        for weight, m, v in zip(state["trainable"], momentum, velocity, strict=True)
    ]
    return {**state, "trainable": trainable, "momentum": momentum, "velocity": velocity}


def _choose(condition, new, old):
    return [ops.where(condition, a, b) for a, b in zip(new, old, strict=True)]
