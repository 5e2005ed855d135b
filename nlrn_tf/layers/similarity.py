"""The correlations of Table 1: how two pixels are compared.

A new one is an entry here, and its name in `nlrn_tf.config.SIMILARITIES`.
"""

import dataclasses
from collections.abc import Callable

from keras import ops

from nlrn_tf.config import NLRNConfig


def products(queries, keys):
    """The embedded pixels themselves: the logits are their inner products."""
    return queries, keys


def negative_distances(queries, keys):
    """Factors of `-|q_i - k_j|^2 / h^2` with h^2 = C, up to a term that softmax removes.

    The term `-|q_i|^2` is the same for all j. The paper leaves h open; with h^2 = C, the number of
    channels, the exponent is their mean squared difference.

    Args:
      queries, keys: `[B, H, W, C]`.

    Returns:
      Both `[B, H, W, C + 1]`.
    """
    channels = keys.shape[-1]
    norms = ops.sum(ops.square(keys), axis=-1, keepdims=True)  # [B, H, W, 1]
    queries = ops.concatenate([2 / channels * queries, -ops.ones_like(norms)], axis=-1)
    return queries, ops.concatenate([keys, norms / channels], axis=-1)


@dataclasses.dataclass(frozen=True)
class Similarity:
    """How the logit of two pixels is made of their features.

    Attributes:
      has_theta: queries are embedded by the convolution theta; else they are the features.
      has_phi: keys are embedded by a convolution of their own, phi; else as the queries are.
      normalization: "softmax" (equation 5), or "mean" over the window.
      shifts_keys: the same vector may be taken away from all keys of an image, in the space of
        features before the embedding. So it is where softmax follows and the logit is linear in
        the key, since all logits of a query then lack the same number.
      factors: makes of the embedded queries and keys, `[B, H, W, .]`, those whose inner products
        are the logits.
      extra_channels: that `factors` adds.
      factor_dtype: of what `factors` gets and gives; None stands for the precision of the network.
    """

    has_theta: bool
    has_phi: bool
    normalization: str = "softmax"
    shifts_keys: bool = False
    factors: Callable = products
    extra_channels: int = 0
    factor_dtype: str | None = None

    def inner_size(self, config: NLRNConfig) -> int:
        """The channels of the factors."""
        size = config.embedding_size if self.has_theta else config.filters
        return size + self.extra_channels


_SIMILARITIES = {
    "embedded_gaussian": Similarity(has_theta=True, has_phi=True, shifts_keys=True),
    "symmetric_embedded_gaussian": Similarity(has_theta=True, has_phi=False, shifts_keys=True),
    "gaussian": Similarity(has_theta=False, has_phi=False, shifts_keys=True),
    "embedded_dot_product": Similarity(has_theta=True, has_phi=True, normalization="mean"),
    "dot_product": Similarity(has_theta=False, has_phi=False, normalization="mean"),
    "euclidean": Similarity(
        has_theta=False,
        has_phi=False,
        factors=negative_distances,
        extra_channels=1,
        factor_dtype="float32",  # a low precision would round the squared norms
    ),
}


def similarity_of(config: NLRNConfig) -> Similarity:
    """The entry that `config` names."""
    return _SIMILARITIES[config.similarity]
