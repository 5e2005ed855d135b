"""The end of a network that works on the small image: sub-pixels, shuffled into a larger one.

The s^2 sub-pixels of a pixel are those of the enlarged image that lie in it, row by row: an
efficient sub-pixel convolution (Shi et al., CVPR 2016) for each scale s.

`B` batch, `H, W` pixels of the small image.
"""

import keras
import numpy as np
from keras import ops

from nlrn_tf.imaging.bicubic import KERNEL_REACH, cubic


@keras.saving.register_keras_serializable("nlrn_tf")
class SubpixelConv(keras.layers.Layer):
    """A zero-padded 3x3 convolution to the sub-pixels of each of some scales, in float32."""

    def __init__(self, scales, **kwargs):
        super().__init__(autocast=False, **{"dtype": "float32", **kwargs})
        self.scales = tuple(scales)
        self.convs = [
            keras.layers.Conv2D(
                scale**2,
                3,
                padding="same",
                data_format="channels_last",
                kernel_initializer="variance_scaling",
                name=f"x{scale}",
                dtype="float32",
            )
            for scale in self.scales
        ]

    def build(self, input_shape):
        for conv in self.convs:
            conv.build(input_shape)

    def call(self, features, scale):
        """`[B, H, W, C]` to `[B, H, W, scale^2]`; `scale` is one of the scales."""
        return self.convs[self.scales.index(scale)](features)

    def get_config(self):
        return {**super().get_config(), "scales": self.scales}


def bicubic_subpixels(images, scale: int):
    """The sub-pixels of MATLAB's `imresize(image, scale, 'bicubic')`.

    Args:
      images: float32 `[B, H, W, 1]`.
      scale: a whole number above 1.

    Returns:
      float32 `[B, H, W, scale^2]`, not clipped.
    """
    weights = _phase_weights(scale)
    _, height, width, _ = ops.shape(images)
    # Sums of shifted images and not convolutions, which a low precision would round.
    columns = ops.take(images, _mirrored(width), axis=2)
    columns = sum(
        columns[:, :, tap : tap + width] * row[None, :] for tap, row in enumerate(weights)
    )
    rows = ops.take(columns, _mirrored(height), axis=1)[:, :, :, None]
    rows = sum(rows[:, tap : tap + height] * row[:, None] for tap, row in enumerate(weights))
    return ops.reshape(rows, (-1, height, width, scale**2))


def shuffled(subpixels, scale: int):
    """`[B, H, W, scale^2]` to `[B, scale H, scale W, 1]`."""
    _, height, width, _ = ops.shape(subpixels)
    apart = ops.reshape(subpixels, (-1, height, width, scale, scale))
    return ops.reshape(
        ops.transpose(apart, (0, 1, 3, 2, 4)), (-1, height * scale, width * scale, 1)
    )


def _phase_weights(scale: int) -> np.ndarray:
    """What each of five pixels in a row gives to the sub-pixels of the middle one: `[5, scale]`."""
    places = (np.arange(scale) + 0.5) / scale - 0.5
    taps = np.arange(-KERNEL_REACH, KERNEL_REACH + 1)[:, None]
    return cubic(places - taps, np.where).astype("float32")


def _mirrored(size):
    """The numbers of the pixels of a row that is continued on both sides as in a mirror."""
    # Two periods added: remainders of negative numbers are another thing in ONNX.
    places = ops.mod(ops.arange(size + 2 * KERNEL_REACH) + (4 * size - KERNEL_REACH), 2 * size)
    return ops.minimum(places, 2 * size - 1 - places)
