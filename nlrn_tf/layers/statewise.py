"""Layers with one set of parameters for each recurrent state, stacked along the first axis.

Stacking lets one loop over the states pick its parameters by the number of the state, which may be
a tensor. `B, H, W, C` are batch, height, width, channels; `T` the number of states.
"""

import keras
from keras import ops

from nlrn_tf.layers import batch_norm
from nlrn_tf.layers.convolution import convolve
from nlrn_tf.layers.replicas import mean_over_replicas


@keras.saving.register_keras_serializable("nlrn_tf")
class StatewiseBatchNorm(keras.layers.Layer):
    """Batch normalisation with scale, offset and moving statistics of its own for each state.

    Sharing them between the states does not train. The statistics are computed
    in float32 whatever the compute dtype is, of the whole batch where replicas share one.
    Epsilon 1e-3, momentum 0.99 as released. Where `frozen` is set, training too normalises by the
    moving statistics, and leaves them as they are.
    """

    def __init__(self, num_states=1, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.num_states = num_states
        self.momentum = momentum
        self.epsilon = epsilon
        self.frozen = False

    def build(self, input_shape):
        def weight(name, initializer, trainable):
            return self.add_weight(
                shape=(self.num_states, input_shape[-1]),
                initializer=initializer,
                trainable=trainable,
                autocast=False,
                dtype="float32",
                name=name,
            )

        self.gamma = weight("gamma", "ones", True)
        self.beta = weight("beta", "zeros", True)
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def call(self, inputs, state=0, training=False):
        """Normalises `[B, H, W, C]` by the statistics of the batch or the moving ones.

        Returns:
          The normalised inputs, in their dtype, and float32 `[2, C]`: the mean and variance
          used. `update` takes those of all states.
        """
        gamma, beta = self.gamma[state], self.beta[state]
        if training and not self.frozen:
            outputs, mean, variance = batch_norm.normalize_by_batch(
                inputs, gamma, beta, self.epsilon, mean_over_replicas()
            )
        else:
            mean, variance = self.moving_mean[state], self.moving_variance[state]
            outputs = batch_norm.normalize(inputs, mean, variance, gamma, beta, self.epsilon)
        return outputs, ops.stop_gradient(ops.stack([mean, variance]))

    def update(self, statistics):
        """Moves the moving averages towards `[T, 2, C]`, the statistics of one training batch."""
        if self.frozen:
            return
        for moving, batch in (
            (self.moving_mean, statistics[:, 0]),
            (self.moving_variance, statistics[:, 1]),
        ):
            moving.assign(self.momentum * moving + (1 - self.momentum) * batch)

    def get_config(self):
        return {
            **super().get_config(),
            "num_states": self.num_states,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable("nlrn_tf")
class StatewiseConv(keras.layers.Layer):
    """Zero-padded convolution with bias, with one set of weights for all states or one for each.

    Args:
      filters: output channels.
      kernel_size: side of the square kernel, in pixels.
      num_sets: 1 when all states share the weights, else the number of states.
      kernel_initializer: of each set.
      by_kernel: whether compiled code may be used (`nlrn_tf.layers.convolution`).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        num_sets=1,
        kernel_initializer="variance_scaling",
        by_kernel=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.num_sets = num_sets
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.by_kernel = by_kernel

    def build(self, input_shape):
        kernel = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(
            shape=(self.num_sets, *kernel), initializer=self._initial_kernels, name="kernel"
        )
        self.bias = self.add_weight(
            shape=(self.num_sets, self.filters), initializer="zeros", name="bias"
        )

    def _initial_kernels(self, shape, dtype):
        # One by one: an initializer would take the axis of the sets for a part of the kernel.
        sets = [self.kernel_initializer.clone()(shape[1:], dtype=dtype) for _ in range(shape[0])]
        return ops.stack(sets)

    def call(self, inputs, state=0, training=False):
        """`[B, H, W, C]` to `[B, H, W, filters]`."""
        return self.linear(inputs, state, training) + ops.cast(self.bias_of(state), inputs.dtype)

    def linear(self, inputs, state=0, training=False):
        """The convolution without its bias, in the dtype of `inputs`."""
        kernel = self.kernel[self._set_of(state)]
        return convolve(inputs, kernel, by_kernel=self.by_kernel, training=training)

    def bias_of(self, state):
        """`[filters]`."""
        return self.bias[self._set_of(state)]

    def _set_of(self, state):
        return 0 if self.num_sets == 1 else state

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "num_sets": self.num_sets,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "by_kernel": self.by_kernel,
        }
