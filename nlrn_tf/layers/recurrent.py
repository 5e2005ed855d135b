"""The recurrence over the states (paper, section 3.3 and figure 2 c)."""

import keras
from keras import ops

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.non_local import NonLocal
from nlrn_tf.layers.statewise import StatewiseBatchNorm, StatewiseConv


@keras.saving.register_keras_serializable("nlrn_tf")
class Recurrent(keras.layers.Layer):
    """Runs `num_states` states from the first one.

    State t, with convolutions that are shared and batch norms of its own:

        u = relu(norm_non_local(s))
        v = u + attention(u)
        s = conv_b(relu(norm_b(conv_a(norm_a(v))))) + s0

    There is no relu before `conv_a`, and the skip of `v` starts after the first relu, as in the
    released network.
    """

    def __init__(self, config: NLRNConfig | dict, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = config if isinstance(config, NLRNConfig) else NLRNConfig(**config)
        states, filters = self.config.num_states, self.config.filters
        num_sets = 1 if self.config.tied_weights else states
        policy = self.dtype_policy
        by_kernel = self.config.attention in (None, "kernel")

        def conv3x3(name):
            return StatewiseConv(filters, 3, num_sets, by_kernel=by_kernel, name=name, dtype=policy)

        self.norm_non_local = StatewiseBatchNorm(states, name="norm_non_local", dtype=policy)
        self.non_local = None
        if self.config.non_local_every:
            self.non_local = NonLocal(self.config, name="non_local", dtype=policy)
        self.norm_a = StatewiseBatchNorm(states, name="norm_a", dtype=policy)
        self.conv_a = conv3x3("conv_a")
        self.norm_b = StatewiseBatchNorm(states, name="norm_b", dtype=policy)
        self.conv_b = conv3x3("conv_b")

    def build(self, input_shape):
        layers = (self.norm_non_local, self.norm_a, self.conv_a, self.norm_b, self.conv_b)
        for layer in (*layers, *([self.non_local] if self.non_local else [])):
            layer.build(input_shape)

    def call(self, first_state, training=False):
        """`[B, H, W, C]` to the last state, of the same shape."""
        num_states = self.config.num_states
        correlation = ()
        if self.non_local:
            correlation = self.non_local.initial_correlation(first_state, training)
        statistics = tuple(
            ops.zeros((num_states, 2, self.config.filters), "float32") if training else ()
            for _ in range(3)
        )

        def step(number, carry):
            state, correlation, sums = carry
            state, correlation, used = self._step(number, state, first_state, correlation, training)
            if training:
                place = ops.one_hot(number, num_states, dtype="float32")[:, None, None]
                sums = tuple(total + place * new for total, new in zip(sums, used, strict=True))
            return state, correlation, sums

        carry = (first_state, correlation, statistics)
        if self.config.unroll:
            for number in range(num_states):
                carry = step(number, carry)
        else:
            carry = ops.fori_loop(0, num_states, step, carry)
        if training:
            self._update_norms(carry[2])
        return carry[0]

    def _step(self, number, state, first_state, correlation, training):
        features, used_non_local = self.norm_non_local(state, state=number, training=training)
        features = ops.relu(features)
        features, correlation = self._apply_non_local(number, features, correlation, training)
        features, used_a = self.norm_a(features, state=number, training=training)
        features = self.conv_a(features, state=number, training=training)
        features, used_b = self.norm_b(features, state=number, training=training)
        features = self.conv_b(ops.relu(features), state=number, training=training)
        state = ops.cast(features, first_state.dtype) + first_state
        return state, correlation, (used_non_local, used_a, used_b)

    def _apply_non_local(self, number, features, correlation, training):
        def with_module():
            return self.non_local(features, correlation, state=number, training=training)

        every = self.config.non_local_every
        if every == 1:
            return with_module()
        if every == 0:
            return features, correlation
        if isinstance(number, int):
            return (features, correlation) if number % every else with_module()
        return ops.cond(ops.equal(number % every, 0), with_module, lambda: (features, correlation))

    @property
    def norms(self) -> tuple[StatewiseBatchNorm, ...]:
        """The batch norms, in the order in which a state applies them."""
        return self.norm_non_local, self.norm_a, self.norm_b

    def _update_norms(self, statistics):
        for norm, batch in zip(self.norms, statistics, strict=True):
            norm.update(batch)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
