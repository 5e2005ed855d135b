"""One training step as pure functions of a state, the same on TensorFlow and on JAX.

The state is described in `state.py`.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from nlrn_tf import backend
from nlrn_tf.model import GREY_LEVELS, NLRN
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.state import variables_of
from nlrn_tf.weights.shapes import is_of_norm

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
LOSS_SCALE_GROWTH_STEPS = 1000

_LOSS = "loss"  # beside the names of weights, which all have a "/"


class TrainingStep:
    """Adam on half the mean squared error, clipped at a global gradient norm.

    The loss is that of the paper (section 4: 1/2 MSE over the patch, or over its centre, see
    `loss_center`) in grey levels 0..255, the units of the network inside. A step whose loss or
    gradient is not finite changes nothing, except the loss scale in float16.
    """

    def __init__(self, model: NLRN, config: TrainingConfig, compiled: Callable = backend.compiled):
        """A step of `model`; `compiled` compiles its gradients, for replicas where there are any
        (`Distribution.compiled`)."""
        self._model = model
        self._config = config
        self._names = variables_of(model)
        self._accumulate = compiled(self._gradients)
        self._apply = backend.compiled(self._update)

    def __call__(self, state, batches, learning_rate):
        """Takes one step.

        Args:
          state: see `state.py`.
          batches: one pair (degraded, clean), each float32 `[B, P, P, 1]` in [0, 1], for each
            part that the gradient is accumulated over; of several workers each gives its share.
          learning_rate: a float.

        Returns:
          The next state, and metrics as scalar tensors: "loss" in squared grey levels, "mse" of
          images in [0, 1], "gradient_norm" before clipping, "finite" (1 or 0).
        """
        sums, statistics = None, state["non_trainable"]
        for degraded, clean in batches:
            state, parts = self._accumulate(state, degraded, clean)
            sums = parts if sums is None else {name: sums[name] + parts[name] for name in parts}
        # All in one call: outside compiled functions each operation waits for its own dispatch.
        count, rate = np.float32(len(batches)), np.float32(learning_rate)
        return self._apply(state, statistics, sums, count, rate)

    def _gradients(self, state, degraded, clean):
        """The state with new moving statistics, and the gradients by name, with the loss."""
        loss_scale = state["counters"]["loss_scale"]
        names, non_trainable_names = list(self._names["trainable"]), self._names["non_trainable"]

        def scaled_loss(trainable):
            restored, statistics = self._model.stateless_call(
                trainable,
                [state["non_trainable"][name] for name in non_trainable_names],
                degraded,
                training=True,
            )
            loss = 0.5 * self._mean_square(restored, clean)
            return loss * loss_scale, (loss, statistics)

        trainable = [state["trainable"][name] for name in names]
        (loss, statistics), gradients = backend.gradients_of(scaled_loss, trainable)
        parts = {n: gradient / loss_scale for n, gradient in zip(names, gradients, strict=True)}
        moved = dict(zip(non_trainable_names, statistics, strict=True))
        return {**state, "non_trainable": moved}, {**parts, _LOSS: loss}

    def _mean_square(self, restored, clean):
        """The mean squared error in grey levels of the known pixels, each image alike."""
        error = GREY_LEVELS * _central(restored - clean, self._config.loss_center)
        if not self._config.network.own_scales:
            return ops.mean(ops.square(error))
        known = ops.logical_not(ops.isnan(_central(clean, self._config.loss_center)))
        squares = ops.sum(ops.square(ops.where(known, error, 0.0)), axis=(1, 2, 3))
        return ops.mean(squares / ops.sum(ops.cast(known, "float32"), axis=(1, 2, 3)))

    def _update(self, state, statistics, sums, count, learning_rate):
        """The next state and the metrics.

        `statistics` are the moving ones before this step, `sums` the gradients by name and the
        loss, added up over `count` parts of the batch.
        """
        gradients = {name: total / count for name, total in sums.items()}
        loss = gradients.pop(_LOSS)
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients.values()))
        finite = ops.logical_and(ops.isfinite(norm), ops.isfinite(loss))
        factor = ops.minimum(1.0, self._config.clip_norm / (norm + 1e-12))
        clipped = {name: gradient * factor for name, gradient in gradients.items()}
        of_norms = self._config.norms_rate * learning_rate
        rates = {name: of_norms if is_of_norm(name) else learning_rate for name in clipped}
        stepped = _adam(state, clipped, rates)
        if state["ema"]:
            stepped["ema"] = self._averages(stepped)
        before = {**state, "non_trainable": statistics}
        kept = {
            part: _choose(finite, stepped[part], before[part])
            for part in state
            if part != "counters"
        }
        counters = self._counters(state["counters"], finite)
        return {**kept, "counters": counters}, {
            "loss": loss,
            "mse": 2 * loss / GREY_LEVELS**2,
            "gradient_norm": norm,
            "finite": ops.cast(finite, "float32"),
        }

    def _averages(self, state):
        # The decay rises with the steps, or the first weights would stay in the average.
        updates = state["counters"]["updates"] + 1
        decay = ops.minimum(self._config.ema_decay, (1 + updates) / (10 + updates))
        weights = {**state["trainable"], **state["non_trainable"]}
        return {
            name: average + (1 - decay) * (weights[name] - average)
            for name, average in state["ema"].items()
        }

    def _counters(self, counters, finite):
        updates = counters["updates"] + ops.cast(finite, "float32")
        if self._config.precision != "float16":
            return {**counters, "updates": updates}
        scale = counters["loss_scale"]
        since = ops.where(finite, counters["since_scaled"] + 1, 0.0)
        grown = ops.greater_equal(since, LOSS_SCALE_GROWTH_STEPS)
        scale = ops.where(finite, ops.where(grown, 2 * scale, scale), ops.maximum(scale / 2, 1.0))
        since = ops.where(grown, 0.0, since)
        return {"updates": updates, "loss_scale": scale, "since_scaled": since}


def _adam(state, gradients, rates):
    """The state after an update by Adam (Kingma and Ba 2015, algorithm 1), with a rate for each."""
    updates = state["counters"]["updates"] + 1
    momentum = {
        name: BETA_1 * state["momentum"][name] + (1 - BETA_1) * gradient
        for name, gradient in gradients.items()
    }
    velocity = {
        name: BETA_2 * state["velocity"][name] + (1 - BETA_2) * ops.square(gradient)
        for name, gradient in gradients.items()
    }
    bias_1, bias_2 = 1 - BETA_1**updates, 1 - BETA_2**updates
    trainable = {
        name: weight
        - rates[name] * (momentum[name] / bias_1) / (ops.sqrt(velocity[name] / bias_2) + EPSILON)
        for name, weight in state["trainable"].items()
    }
    return {**state, "trainable": trainable, "momentum": momentum, "velocity": velocity}


def _central(images, size):
    """The central `size` rows and columns of `[B, P, P, 1]`; all of them for 0."""
    if not size:
        return images
    start = (images.shape[1] - size) // 2
    return images[:, start : start + size, start : start + size]


def _choose(condition, new, old):
    return {name: ops.where(condition, new[name], old[name]) for name in old}
