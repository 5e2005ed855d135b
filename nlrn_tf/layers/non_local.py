"""The non-local module with correlation propagation (paper, section 3).

`B` batch, `H, W` pixels, `C` channels, `L` channels of queries and keys.
"""

from collections.abc import Callable

import keras
from keras import ops

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.propagation import propagation
from nlrn_tf.layers.similarity import similarity_of
from nlrn_tf.layers.statewise import StatewiseConv


@keras.saving.register_keras_serializable("nlrn_tf")
class NonLocal(keras.layers.Layer):
    """`features + attention(features)` over the q x q window of each pixel (equations 4 to 7).

    Equation 6 of the paper prints `X_i W_g`; the embedding is that of the neighbour, `X_j W_g`.

    Embeddings are computed relative to an origin: with softmax the mean of the features, which are
    small without it, so that a low precision rounds them least. Softmax does not see what all
    logits of a query have in common, and its weights sum to one: keys may lack the origin, and
    values if it is given back after the attention.

    Attributes:
      observer: where there is one, it is called with what each state attends by and to: queries,
        keys and values of the state, and the result (`nlrn_tf.studies.maps`).
    """

    observer: Callable | None = None

    def __init__(self, config: NLRNConfig | dict, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = config if isinstance(config, NLRNConfig) else NLRNConfig(**config)
        self._similarity = similarity_of(self.config)
        self._is_softmax = self._similarity.normalization == "softmax"

        def embedding(size, name, initializer="variance_scaling"):
            num_sets = 1 if self.config.tied_weights else self.config.num_states
            return StatewiseConv(size, 1, num_sets, initializer, name=name, dtype=self.dtype_policy)

        size = self.config.embedding_size
        self.theta = embedding(size, "theta") if self._similarity.has_theta else None
        self.phi = embedding(size, "phi") if self._similarity.has_phi else None
        # Zero, so that a new module starts as the identity.
        self.g = embedding(self.config.filters, "g", "zeros")

    def build(self, input_shape):
        for layer in (self.theta, self.phi, self.g):
            if layer is not None:
                layer.build(input_shape)

    def initial_correlation(self, features, training=False):
        """The correlation before the first state, for `features` `[B, H, W, C]`."""
        return self._propagation(features, training).start(features)

    def call(self, features, correlation, state=0, training=False):
        """One state.

        Args:
          features: `[B, H, W, C]`.
          correlation: what the call of the state before returned, at first `initial_correlation`.
          state: number of the state from 0; an integer or a tensor.

        Returns:
          `[B, H, W, C]` and the correlation for the next state.
        """
        origin = self._origin(features)
        centred = ops.cast(ops.cast(features, "float32") - origin, self.compute_dtype)
        queries, keys = self._factors(features, centred, origin, state)
        if self._is_softmax:
            values = self.g.linear(centred, state)
        else:
            values = _embedded(self.g, centred, origin, state)
        attended, correlation = self._propagation(features, training).attend(
            correlation, state, queries, keys, values
        )
        if self.observer is not None:
            self.observer(queries, keys, values, attended)
        if self._is_softmax:
            attended = ops.cast(attended, "float32") + _embedded_origin(self.g, origin, state)
        return features + ops.cast(attended, features.dtype), correlation

    def _propagation(self, features, training):
        return propagation(self.config, features.shape, dtype=self.compute_dtype, training=training)

    def _origin(self, features):
        """What the embeddings are computed relative to, float32 `[B, 1, 1, C]`.

        The result depends on it by rounding only, so no gradient goes through it.
        """
        mean = ops.mean(ops.cast(features, "float32"), axis=(1, 2), keepdims=True)
        return ops.stop_gradient(mean if self._is_softmax else 0 * mean)

    def _factors(self, features, centred, origin, state):
        """Queries and keys `[B, H, W, L]`, whose products are the logits of Table 1.

        Where the keys are shifted, the logits of a query all lack the same number.
        """
        similarity = self._similarity
        dtype = similarity.factor_dtype or self.compute_dtype
        theta, phi = self.theta, self.phi or self.theta
        features = ops.cast(features, dtype)  # once, so that its gradient is rounded once
        queries = features if theta is None else _embedded(theta, centred, origin, state)
        if similarity.shifts_keys:
            keys = centred if phi is None else phi.linear(centred, state)
        else:
            keys = features if phi is None else _embedded(phi, centred, origin, state)
        return similarity.factors(ops.cast(queries, dtype), ops.cast(keys, dtype))

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}


def _embedded_origin(layer, origin, state):
    """float32 `[B, 1, 1, C]`."""
    return layer.linear(origin, state) + ops.cast(layer.bias_of(state), "float32")


def _embedded(layer, centred, origin, state):
    """`layer` applied to `centred + origin`, in the dtype of `centred`."""
    shift = ops.cast(_embedded_origin(layer, origin, state), centred.dtype)
    return layer.linear(centred, state) + shift
