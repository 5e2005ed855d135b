"""The non-local module with correlation propagation (paper, section 3).

`B` batch, `H, W` pixels, `C` channels, `L` embedding size, `T` states, `q` window size.
"""

import keras
from keras import ops

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.attention.blocks import flatten_pixels, windowed_attention
from nlrn_tf.layers.attention.dense import accumulating_attention, attend
from nlrn_tf.layers.compression import bounded
from nlrn_tf.layers.statewise import StatewiseConv

LOW_PRECISION = ("bfloat16", "float16")


@keras.saving.register_keras_serializable("nlrn_tf")
class NonLocal(keras.layers.Layer):
    """`features + attention(features)` over the q x q window of each pixel (equations 4 to 7).

    Equation 6 of the paper prints `X_i W_g`; the embedding is that of the neighbour, `X_j W_g`.

    The correlation of the earlier states is handed from call to call. Its form depends on how the
    attention is done:

    - dense, when the image fits in the window: the summed logits, float32 `[B, H W, H W]`; in
      training an unrolled network what `accumulating_attention` returns;
    - windowed: the queries and keys of the states so far, since a sum of products is the product
      of the concatenated factors; that is 2 T L numbers for a pixel instead of q^2. An unrolled
      network lists them, and in low precision keeps few channels that nearly give the same products
      (`correlation.py`); a loop, whose shapes are fixed, keeps `[B, H, W, T, L]` with
      zeros for the states to come;
    - without propagation: nothing.
    """

    def __init__(self, config: NLRNConfig | dict, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = config if isinstance(config, NLRNConfig) else NLRNConfig(**config)
        self._similarity = self.config.similarity
        self._normalization = "mean" if "dot_product" in self._similarity else "softmax"

        def embedding(size, name, initializer="variance_scaling"):
            num_sets = 1 if self.config.tied_weights else self.config.num_states
            return StatewiseConv(size, 1, num_sets, initializer, name=name, dtype=self.dtype_policy)

        size = self.config.embedding_size
        embedded = "embedded" in self._similarity
        symmetric = "symmetric" in self._similarity
        self.theta = embedding(size, "theta") if embedded else None
        self.phi = embedding(size, "phi") if embedded and not symmetric else None
        # Zero, so that a new module starts as the identity.
        self.g = embedding(self.config.filters, "g", "zeros")

    def build(self, input_shape):
        for layer in (self.theta, self.phi, self.g):
            if layer is not None:
                layer.build(input_shape)

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
        queries, keys = self._embed(features, centred, origin, state)
        if self._normalization == "softmax":
            values = self.g.linear(centred, state)
        else:
            values = _embed_from(self.g, centred, origin, state)
        if self._is_dense(features):
            attended, correlation = self._attend_densely(
                queries, keys, values, correlation, training
            )
        else:
            attended, correlation = self._attend_in_windows(
                queries, keys, values, correlation, state
            )
            if not training:
                correlation = self._compressed(correlation)
        if self._normalization == "softmax":
            attended = ops.cast(attended, "float32") + _apply(self.g, origin, state)
        return features + ops.cast(attended, features.dtype), correlation

    def initial_correlation(self, features, training=False):
        """The correlation before the first state, for `features` `[B, H, W, C]`."""
        if not self.config.correlation_propagation or self._accumulates(training):
            return ()
        batch, height, width, _ = ops.shape(features)
        if self._is_dense(features):
            return (ops.zeros((batch, height * width, height * width), "float32"),)
        if self.config.unroll:
            return ()
        embeddings = (batch, height, width, self.config.num_states, self._inner_size())
        # The factors of the distances are float32: a low precision would round their norms.
        dtype = "float32" if self._similarity == "euclidean" else self.compute_dtype
        return tuple(ops.zeros(embeddings, dtype) for _ in ("queries", "keys"))

    def _attend_densely(self, queries, keys, values, correlation, training):
        batch, height, width, channels = ops.shape(values)
        queries, keys, values = (flatten_pixels(x) for x in (queries, keys, values))
        if self._accumulates(training):
            attended, correlation = accumulating_attention(correlation, queries, keys, values)
        else:
            logits = ops.cast(ops.matmul(queries, ops.transpose(keys, (0, 2, 1))), "float32")
            if self.config.correlation_propagation:
                logits = correlation[0] + logits
                correlation = (logits,)
            attended = attend(logits, values, self._normalization)
        return ops.reshape(attended, (batch, height, width, channels)), correlation

    def _accumulates(self, training):
        """Whether `accumulating_attention` is used where the image fits in the window."""
        propagates = self.config.unroll and self.config.correlation_propagation
        return training and propagates and self._normalization == "softmax"

    def _attend_in_windows(self, queries, keys, values, correlation, state):
        if self.config.correlation_propagation and self.config.unroll:
            past_queries, past_keys = correlation or ((), ())
            queries, keys = (*past_queries, queries), (*past_keys, keys)
            correlation = (queries, keys)
        elif self.config.correlation_propagation:
            correlation = self._store(queries, keys, correlation, state)
            inner = self.config.num_states * self._inner_size()
            queries, keys = (ops.reshape(x, (*ops.shape(x)[:3], inner)) for x in correlation)
        attended = windowed_attention(
            queries,
            keys,
            values,
            window_size=self.config.window_size,
            border=self.config.window_border,
            normalization=self._normalization,
        )
        return attended, correlation

    def _compressed(self, correlation):
        """The correlation in fewer channels where it has many, and is rounded anyway."""
        if self.compute_dtype not in LOW_PRECISION or not self.config.unroll or not correlation:
            return correlation
        return bounded(*correlation, self._inner_size())

    def _store(self, queries, keys, correlation, state):
        # Added and not written in place, which has no gradient on TensorFlow.
        place = ops.one_hot(state, self.config.num_states, dtype=queries.dtype)[:, None]
        return tuple(
            past + place * new[..., None, :]
            for past, new in zip(correlation, (queries, keys), strict=True)
        )

    def _origin(self, features):
        """What the embeddings are computed relative to: the mean, float32 `[B, 1, 1, C]`.

        Softmax does not see what all logits of a query have in common, and its weights sum to one:
        keys may be shifted, and values if they are shifted back after the attention. The features
        less their mean are small, so a low precision rounds them least. For the same reason no
        gradient goes through the mean.
        """
        mean = ops.mean(ops.cast(features, "float32"), axis=(1, 2), keepdims=True)
        return ops.stop_gradient(mean if self._normalization == "softmax" else 0 * mean)

    def _embed(self, features, centred, origin, state):
        """Queries and keys whose products are the logits of Table 1.

        With softmax the keys are shifted: the logits of a query all lack the same number.
        """
        if self._similarity == "euclidean":
            return _euclidean_factors(features)
        if self.theta is None:
            return ops.cast(features, self.compute_dtype), centred
        queries = _embed_from(self.theta, centred, origin, state)
        phi = self.phi or self.theta
        if self._normalization == "softmax":
            return queries, phi.linear(centred, state)
        return queries, _embed_from(phi, centred, origin, state)

    def _inner_size(self):
        if self.theta is not None:
            return self.config.embedding_size
        return self.config.filters + (self._similarity == "euclidean")

    def _is_dense(self, features):
        height, width = features.shape[1:3]
        limit = self.config.window_size
        return height is not None and width is not None and height <= limit and width <= limit

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}


def _apply(layer, origin, state):
    """The embedding of the origin itself, float32 `[B, 1, 1, C]`."""
    return layer.linear(origin, state) + ops.cast(layer.bias_of(state), "float32")


def _embed_from(layer, centred, origin, state):
    """`layer` applied to `centred + origin`."""
    shift = ops.cast(_apply(layer, origin, state), centred.dtype)
    return layer.linear(centred, state) + shift


def _euclidean_factors(features):
    """Factors of `-|x_i - x_j|^2 / h^2` with h^2 = C, up to a term that softmax removes.

    The term -|x_i|^2 is the same for all j. The paper leaves h open; with h^2 = C the exponent is
    the mean squared difference of the channels.
    """
    features = ops.cast(features, "float32")
    channels = features.shape[-1]
    norms = ops.sum(ops.square(features), axis=-1, keepdims=True)
    queries = ops.concatenate([2 / channels * features, -ops.ones_like(norms)], axis=-1)
    keys = ops.concatenate([features, norms / channels], axis=-1)
    return queries, keys
