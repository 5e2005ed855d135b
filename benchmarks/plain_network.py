"""The network of the paper and a step of its training, in the obvious TensorFlow operations.

What a reader of the paper would write: one operation for each term of an equation, nothing
rearranged. It shares no code with `nlrn_tf`, so the benchmark of the training step measures against
it and the tests check the project's step with it. Shapes: `B` batch, `H, W` pixels, `C` filters,
`L` embedding size, `T` states.
"""

import tensorflow as tf

EPSILON, MOMENTUM = 1e-3, 0.99  # of the batch norms
BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-8


class PlainNetwork:
    """NLRN in training: all batch norms normalise by the batch.

    Args:
      weights: arrays by the names of `nlrn_tf.NLRN`'s variables, such as
        "recurrent/norm_a/gamma" `[T, C]` and "recurrent/conv_a/kernel" `[1, 3, 3, C, C]`.
      dtype: of the recurrence; the first and last convolution, the batch norms, the logits and the
        softmax are float32.
      unroll: runs the states as a Python loop instead of `tf.while_loop`.
    """

    def __init__(self, weights: dict, dtype: str = "float32", unroll: bool = False):
        self.weights = {
            name: tf.Variable(_without_set_axis(name, value), trainable="moving_" not in name)
            for name, value in weights.items()
        }
        self.dtype = tf.as_dtype(dtype)
        self.unroll = unroll
        self.num_states = self.weights["recurrent/norm_a/gamma"].shape[0]

    def __call__(self, images):
        """Restores `images`, float32 `[B, H, W, 1]` in [0, 1].

        Returns:
          The same shape, and float32 `[T, 2, C]` (T = 1 outside the recurrence): the mean and
          variance that each batch norm used, by its name.
        """
        features, used_in = self._norm("norm_in", 255 * images, 0)
        first = tf.cast(self._conv("conv_in", features), self.dtype)
        last, statistics = self._recurrence(first)
        features, used_out = self._norm("norm_out", tf.cast(last, tf.float32), 0)
        residual = self._conv("conv_out", tf.nn.relu(features))
        statistics |= {"norm_in": used_in[None], "norm_out": used_out[None]}
        return images + residual / 255, statistics

    def _recurrence(self, first):
        norms = ("recurrent/norm_non_local", "recurrent/norm_a", "recurrent/norm_b")
        batch, height, width, _ = first.shape

        def step(number, state, logits, used):
            features, used_non_local = self._norm(norms[0], state, number)
            features, logits = self._non_local(tf.nn.relu(features), logits)
            features, used_a = self._norm(norms[1], features, number)
            features = self._conv("recurrent/conv_a", features)
            features, used_b = self._norm(norms[2], features, number)
            state = self._conv("recurrent/conv_b", tf.nn.relu(features)) + first
            new = (used_non_local, used_a, used_b)
            used = tuple(old.write(number, x) for old, x in zip(used, new, strict=True))
            return number + 1, state, logits, used

        arrays = tuple(tf.TensorArray(tf.float32, self.num_states) for _ in norms)
        logits = tf.zeros((batch, height * width, height * width))
        carry = (0, first, logits, arrays)
        if self.unroll:
            for _ in range(self.num_states):
                carry = step(*carry)
        else:
            carry = tf.while_loop(lambda number, *_: number < self.num_states, step, carry)
        used = {name: array.stack() for name, array in zip(norms, carry[3], strict=True)}
        return carry[1], used

    def _non_local(self, features, logits):
        """Equations 4 to 7: `features` `[B, H, W, C]`, summed `logits` `[B, H W, H W]`."""
        batch, height, width, channels = features.shape

        def embedded(name):
            embedding = self._conv(f"recurrent/non_local/{name}", features)
            return tf.reshape(embedding, (batch, height * width, embedding.shape[-1]))

        products = tf.matmul(embedded("theta"), embedded("phi"), transpose_b=True)
        logits += tf.cast(products, tf.float32)
        weights = tf.cast(tf.nn.softmax(logits), self.dtype)
        attended = tf.matmul(weights, embedded("g"))
        return features + tf.reshape(attended, (batch, height, width, channels)), logits

    def _norm(self, name, features, number):
        gamma, beta = (tf.gather(self.weights[f"{name}/{x}"], number) for x in ("gamma", "beta"))
        exact = tf.cast(features, tf.float32)
        mean, variance = tf.nn.moments(exact, (0, 1, 2))
        normalized = tf.nn.batch_normalization(exact, mean, variance, beta, gamma, EPSILON)
        return tf.cast(normalized, features.dtype), tf.stop_gradient(tf.stack([mean, variance]))

    def _conv(self, name, features):
        kernel = tf.cast(self.weights[f"{name}/kernel"], features.dtype)
        bias = tf.cast(self.weights[f"{name}/bias"], features.dtype)
        return tf.nn.bias_add(tf.nn.conv2d(features, kernel, 1, "SAME"), bias)


class PlainStep:
    """A training step: half the mean squared error in grey levels, a clipped gradient, Adam.

    Args:
      network: what is trained.
      learning_rate: of Adam.
      clip_norm: global norm at which the gradient is clipped (0.5 in the paper).
      ema_decay: of the averages of all weights; 0 keeps none.
    """

    def __init__(self, network: PlainNetwork, learning_rate, clip_norm=0.5, ema_decay=0.0):
        self.network = network
        self._rate, self._clip_norm, self._ema_decay = learning_rate, clip_norm, ema_decay
        self._trained = [weight for weight in network.weights.values() if weight.trainable]
        self._momentum = [tf.Variable(tf.zeros_like(weight)) for weight in self._trained]
        self._velocity = [tf.Variable(tf.zeros_like(weight)) for weight in self._trained]
        self._steps = tf.Variable(0.0)
        averaged = network.weights if ema_decay else {}
        self.averages = {name: tf.Variable(weight) for name, weight in averaged.items()}

    @tf.function
    def __call__(self, degraded, clean):
        """One step on float32 `[B, P, P, 1]`; returns the loss and the norm of the gradient."""
        with tf.GradientTape() as tape:
            restored, statistics = self.network(degraded)
            loss = 0.5 * tf.reduce_mean(tf.square(255 * (restored - clean)))
        gradients = tape.gradient(loss, self._trained)
        gradients, norm = tf.clip_by_global_norm(gradients, self._clip_norm)
        self._steps.assign_add(1)
        self._adam(gradients)
        self._move_statistics(statistics)
        self._move_averages()
        return loss, norm

    def _adam(self, gradients):
        # As in algorithm 1 of Kingma and Ba. Keras' Adam is their variant whose epsilon counts for
        # more in the first steps, which takes other steps.
        bias_1, bias_2 = 1 - BETA_1**self._steps, 1 - BETA_2**self._steps
        columns = (self._trained, gradients, self._momentum, self._velocity)
        for weight, gradient, momentum, velocity in zip(*columns, strict=True):
            gradient = tf.convert_to_tensor(gradient)
            momentum.assign(BETA_1 * momentum + (1 - BETA_1) * gradient)
            velocity.assign(BETA_2 * velocity + (1 - BETA_2) * tf.square(gradient))
            root = tf.sqrt(velocity / bias_2)
            weight.assign_sub(self._rate * (momentum / bias_1) / (root + ADAM_EPSILON))

    def _move_statistics(self, statistics):
        for name, used in statistics.items():
            for number, kind in enumerate(("mean", "variance")):
                moving = self.network.weights[f"{name}/moving_{kind}"]
                moving.assign(MOMENTUM * moving + (1 - MOMENTUM) * used[:, number])

    def _move_averages(self):
        decay = tf.minimum(self._ema_decay, (1 + self._steps) / (10 + self._steps))
        for name, average in self.averages.items():
            average.assign(decay * average + (1 - decay) * self.network.weights[name])


def _without_set_axis(name, value):
    """Convolutions that all states share are kept with a first axis of size 1."""
    is_shared = name.startswith("recurrent/") and name.endswith(("kernel", "bias"))
    return value[0] if is_shared else value
