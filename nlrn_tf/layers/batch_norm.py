"""Batch normalisation of features, by given statistics or by those of the batch.

Of TensorFlow its fused operation is taken; on other backends the formula.
"""

from collections.abc import Callable

from nlrn_tf import backend


def normalize(inputs, mean, variance, gamma, beta, epsilon: float):
    """Batch normalisation of `[B, H, W, C]` by given float32 statistics `[C]`.

    Returns:
      `[B, H, W, C]`, dtype of `inputs`; computed in float32.
    """
    if backend.name() == "tensorflow":
        return _fused_batch_norm(inputs, gamma, beta, epsilon, mean, variance)[0]
    from keras import ops

    scale = gamma * ops.rsqrt(variance + epsilon)
    outputs = ops.cast(inputs, "float32") * scale + (beta - mean * scale)
    return ops.cast(outputs, inputs.dtype)


def normalize_by_batch(
    inputs, gamma, beta, epsilon: float, mean_over_replicas: Callable | None = None
):
    """Batch normalisation of `[B, H, W, C]` over batch and pixels.

    Args:
      inputs: `[B, H, W, C]`; the share of this replica where there are several.
      gamma, beta, epsilon: scale and offset `[C]`, and what is added to the variance.
      mean_over_replicas: of a tensor, where several replicas share the batch in equal parts. Only
        on TensorFlow: under JAX an array is the whole batch, wherever its parts are.

    Returns:
      `[B, H, W, C]`, dtype of `inputs`, and the float32 mean and (biased) variance `[C]` of the
      whole batch.
    """
    from keras import ops

    if mean_over_replicas:
        return _normalize_by_shared_batch(inputs, gamma, beta, epsilon, mean_over_replicas)
    if backend.name() == "tensorflow":
        outputs, mean, variance = _fused_batch_norm(inputs, gamma, beta, epsilon)
        size = ops.shape(inputs)
        count = ops.cast(size[0] * size[1] * size[2], "float32")
        # The operation returns the unbiased variance, but normalises by the biased one.
        return outputs, mean, variance * (count - 1) / count
    features = ops.cast(inputs, "float32")
    mean = ops.mean(features, axis=(0, 1, 2))
    variance = ops.mean(ops.square(features - mean), axis=(0, 1, 2))
    return normalize(inputs, mean, variance, gamma, beta, epsilon), mean, variance


def _fused_batch_norm(inputs, gamma, beta, epsilon, mean=(), variance=()):
    """One TensorFlow operation for all of it, by the batch where no statistics are given.

    A training step takes a quarter less time than with the operations one by one.
    """
    import tensorflow as tf

    return tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=gamma,
        offset=beta,
        mean=tf.convert_to_tensor(mean, tf.float32),
        variance=tf.convert_to_tensor(variance, tf.float32),
        epsilon=epsilon,
        is_training=isinstance(mean, tuple),
    )[:3]


def _normalize_by_shared_batch(inputs, gamma, beta, epsilon, mean_over_replicas):
    """`normalize_by_batch` where each replica has a part of the batch; on TensorFlow.

    The gradient is written out: the operations one by one would keep several times as much, and the
    fused one has no gradient for the statistics that it is given. With x' the normalised inputs it
    is gamma / deviation (dy - mean(dy) - x' mean(dy x')), both means over the whole batch
    (Ioffe and Szegedy 2015, section 3).
    """
    import tensorflow as tf

    @tf.custom_gradient
    def normalized(inputs, gamma, beta):
        mean, variance = tf.nn.moments(tf.cast(inputs, tf.float32), (0, 1, 2))
        # In float64, or the difference would lose the variance of nearly flat features.
        moments = tf.cast(tf.stack([mean, variance]), tf.float64)
        moments = mean_over_replicas(tf.stack([moments[0], moments[1] + moments[0] ** 2]))
        mean = tf.cast(moments[0], tf.float32)
        variance = tf.cast(moments[1] - moments[0] ** 2, tf.float32)
        outputs = _fused_batch_norm(inputs, gamma, beta, epsilon, mean, variance)[0]

        def gradient(of_outputs, *_):
            of_inputs, of_gamma, of_beta = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=of_outputs,
                x=inputs,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.constant([], tf.float32),
                epsilon=epsilon,
                is_training=False,
            )[:3]
            count = tf.cast(tf.size(inputs[..., 0]), tf.float32)
            means = mean_over_replicas(tf.stack([of_beta, of_gamma]) / count)
            inverse = tf.math.rsqrt(variance + epsilon)
            slope = gamma * inverse**2 * means[1]
            through_moments = gamma * inverse * means[0] - slope * mean
            return (
                of_inputs
                - tf.cast(tf.cast(inputs, tf.float32) * slope + through_moments, inputs.dtype),
                of_gamma,
                of_beta,
            )

        return (outputs, mean, variance), gradient

    return normalized(inputs, gamma, beta)
