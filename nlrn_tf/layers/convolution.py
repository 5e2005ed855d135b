"""Zero-padded convolution, by compiled code where that is faster.

`B` batch, `H, W` pixels, `C` input and `M` output channels.
"""

import functools

import keras
import numpy as np
from keras import ops

from nlrn_tf.layers import compiled

# Of CONVOLUTION_CHANNELS and CONVOLUTION_TILE in problem.h.
CHANNELS = 16
TILE = 4
BAND_TILES = 4  # rows of tiles in a piece of the work


def convolve(inputs, weights, *, by_kernel: bool = True, training: bool = False):
    """The cross-correlation that networks call a convolution, with zeros around the image.

    The kernel takes 3x3 weights, by Winograd's F(4x4, 3x3) in float32: a quarter of the products.
    In bfloat16 TensorFlow's operation is faster with AMX, and in a training step everywhere.

    Args:
      inputs: `[B, H, W, C]`, of any floating dtype. The weights are cast to it.
      weights: `[k, k, C, M]`.
      by_kernel: whether a kernel may be used; it cannot be a part of a saved graph.
      training: whether a gradient follows.

    Returns:
      `[B, H, W, M]`, dtype of `inputs`. Differentiable.
    """
    variant = _variant_for(inputs, weights, training) if by_kernel else None
    if variant is None:
        weights = ops.cast(weights, inputs.dtype)
        return ops.conv(inputs, weights, padding="same", data_format="channels_last")
    convolved = _by_kernel(variant)(ops.cast(inputs, "float32"), ops.cast(weights, "float32"))
    return ops.cast(convolved, inputs.dtype)


def _variant_for(inputs, weights, training=False):
    height, width, *channels = weights.shape
    if (height, width) != (3, 3) or any(count % CHANNELS for count in channels):
        return None
    variants = compiled.variants()
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    pays = dtype == "bfloat16" and "amx" not in variants and not training
    if dtype != "float32" and not pays:
        return None
    return next((name for name in variants if name != "amx"), None)


@functools.cache
def _by_kernel(variant):
    """The convolution of float32 tensors by a kernel, with its gradient."""
    import tensorflow as tf

    @tf.custom_gradient
    def convolved(inputs, weights):
        def gradient(upstream):
            # Transposed: of the outputs to the inputs, with the kernel turned by half a turn.
            turned = tf.transpose(weights[::-1, ::-1], (0, 1, 3, 2))
            of_weights = tf.raw_ops.Conv2DBackpropFilter(
                input=inputs,
                filter_sizes=weights.shape,
                out_backprop=upstream,
                strides=[1] * 4,
                padding="SAME",
            )
            return convolved(upstream, turned), of_weights

        task = functools.partial(_convolve_batch, variant)
        outputs = tf.numpy_function(task, (inputs, weights), tf.float32, stateful=False)
        return tf.ensure_shape(outputs, (*inputs.shape[:-1], weights.shape[-1])), gradient

    return convolved


def _convolve_batch(variant, images, weights):
    """Of float32 NumPy arrays `[B, H, W, C]` and `[3, 3, C, M]`."""
    images, weights = np.ascontiguousarray(images), np.ascontiguousarray(weights)
    batch, height, width, inputs = images.shape
    outputs = weights.shape[-1]
    convolved = compiled.aligned_empty((batch, height, width, outputs), np.float32)
    size = compiled.kernels.num_transformed(inputs, outputs)
    transformed = compiled.aligned_empty((size,), np.float32)
    compiled.kernels.transform_weights(variant, weights, transformed, inputs, outputs)
    for image, result in zip(images, convolved, strict=True):

        def convolve_rows(first, last, image=image, result=result):
            arrays = (image, transformed, result)
            rows = (first * TILE, min(last * TILE, height))
            compiled.kernels.convolve_rows(variant, *arrays, height, width, inputs, outputs, *rows)

        if image.size:
            compiled.for_bands(convolve_rows, -(-height // TILE), BAND_TILES)
    return convolved
