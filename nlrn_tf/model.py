"""NLRN: Non-Local Recurrent Network for Image Restoration (Liu et al., NeurIPS 2018).

Read next: `layers/recurrent.py`, `layers/non_local.py`, `layers/propagation.py`,
`layers/attention/attend.py`.
"""

import keras
from keras import ops

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.layers.enlarging import SubpixelConv, bicubic_subpixels, shuffled
from nlrn_tf.layers.recurrent import Recurrent
from nlrn_tf.layers.statewise import StatewiseBatchNorm
from nlrn_tf.tasks.super_resolution import AFTER

GREY_LEVELS = 255.0


@keras.saving.register_keras_serializable("nlrn_tf")
class NLRN(keras.Model):
    """Predicts the clean image as the degraded one plus a residual (paper, section 4).

    With `upsample` "after" it is the bicubically enlarged one plus a residual, and the recurrence
    runs on the small one.

    The network works in grey levels 0..255, as the released one does, so that a new network,
    whose residual is of the order of one grey level, starts near the identity. The first and last
    convolution are done in float32 under any precision: a low precision would round the image.

    Args:
      config: the architecture.

    Attributes:
      packaged_name: of the packaged weights that it has, None for others (`load_model` sets it).
    """

    packaged_name: str | None = None

    def __init__(self, config: NLRNConfig | dict | None = None, **kwargs):
        # Not Keras' defaults, which people set for other programs.
        super().__init__(autocast=False, **{"dtype": "float32", **kwargs})
        self.config = config if isinstance(config, NLRNConfig) else NLRNConfig(**(config or {}))
        self.norm_in = StatewiseBatchNorm(name="norm_in", dtype="float32")
        self.conv_in = _conv3x3(self.config.filters, "conv_in")
        self.recurrent = Recurrent(self.config, name="recurrent", dtype=self.dtype_policy)
        self.norm_out = StatewiseBatchNorm(name="norm_out", dtype="float32")
        self.conv_out: keras.layers.Layer
        if self.config.upsample == AFTER:
            if not self.config.scales:
                raise NLRNError("upsample=after: is for networks with scales; give at least one")
            self.conv_out = SubpixelConv(self.config.scales, name="conv_out")
        else:
            self.conv_out = _conv3x3(1, "conv_out")
        self.build((None, None, None, 1))

    def build(self, input_shape):
        if self.built:
            return
        features = (*input_shape[:-1], self.config.filters)
        self.norm_in.build(input_shape)
        self.conv_in.build(input_shape)
        self.recurrent.build(features)
        self.norm_out.build(features)
        self.conv_out.build(features)
        self.built = True

    def call(self, images, training=False, scale=None):
        """Restores `images` `[B, H, W, 1]`, float32 in [0, 1]; any H, W >= 1.

        Args:
          images: the degraded ones; for super-resolution bicubically enlarged, or with `upsample`
            "after" as small as they are.
          training: whether batch norms normalise by the batch and move their statistics.
          scale: with `upsample` "after", which of the scales; by default the first.

        Returns:
          The same shape, float32, not clipped. With `upsample` "after" `[B, scale H, scale W, 1]`,
          and in training `subpixels`.
        """
        images = ops.cast(images, "float32")
        features = self._features(images, training)
        if not self.config.own_scales:
            return images + self.conv_out(features) / GREY_LEVELS
        if training:
            return self._subpixels(images, features, self.config.scales)
        scale = self.config.scales[0] if scale is None else scale
        return shuffled(self._subpixels(images, features, [scale]), scale)

    def subpixels(self, images):
        """The sub-pixels of all scales in order, of a network with `upsample` "after".

        Args:
          images: float32 `[B, H, W, 1]` in [0, 1].

        Returns:
          float32 `[B, H, W, sum of scale^2]`, not clipped.
        """
        return self._subpixels(images, self._features(images, False), self.config.scales)

    def _features(self, images, training):
        """What the last convolution gets, `[B, H, W, filters]`."""
        if images.shape[-1] != 1 or len(images.shape) != 4:
            raise ValueError(f"images must be [B, H, W, 1], got {tuple(images.shape)}")
        features, used_in = self.norm_in(GREY_LEVELS * images, training=training)
        # In inference sums of states stay in float32, whatever the precision of the products. In
        # training that would cost time and is lost in the noise of the gradient.
        state = ops.cast(self.conv_in(features), self.compute_dtype if training else "float32")
        state = ops.cast(self.recurrent(state, training=training), "float32")
        features, used_out = self.norm_out(state, training=training)
        if training:
            self.norm_in.update(used_in[None])
            self.norm_out.update(used_out[None])
        return ops.relu(features)

    def _subpixels(self, images, features, scales):
        parts = [
            bicubic_subpixels(images, scale) + self.conv_out(features, scale=scale) / GREY_LEVELS
            for scale in scales
        ]
        return ops.concatenate(parts, axis=-1)

    def freeze_norms(self) -> None:
        """Makes training normalise by the moving statistics, as inference does, and keep them."""
        for norm in (self.norm_in, *self.recurrent.norms, self.norm_out):
            norm.frozen = True

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}


def _conv3x3(filters, name):
    return keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        data_format="channels_last",
        kernel_initializer="variance_scaling",
        name=name,
        dtype="float32",
    )
