"""A denoiser for another noise level than the one it was trained for."""

import dataclasses

import keras
import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.precision import POLICIES
from nlrn_tf.tasks.registry import task_of
from nlrn_tf.weights.level_choice import checked_level, scaled_to
from nlrn_tf.weights.rebuilding import rebuild


def at_level(model: NLRN, noise_sigma: float) -> NLRN:
    """The network for another noise level, by scaling the image.

    A denoiser f0 for sigma0 serves sigma as f(y) = f0(a y) / a with a = sigma0 / sigma: scaled by
    a, the noise has the level that f0 knows. The scale is absorbed into the first batch norm and
    the last convolution, so the network costs, saves and exports as before. The batch norm
    computes gamma (x - mean) / sqrt(variance + epsilon) + beta; with x = a y that is the same of
    y with mean / a, variance / a^2 and

        gamma' = a gamma sqrt((variance / a^2 + epsilon) / (variance + epsilon)).

    The identity y of the residual network needs no change, its residual is divided by a. At low
    levels only a share of the residual is applied (`level_choice.scaled_to`), by the last
    convolution too.

    Args:
      model: a denoiser whose `config.noise_sigma` says its level.
      noise_sigma: the new level in grey levels of 0..255.

    Returns:
      A new network of the same precision, whose `config.noise_sigma` is the new level.

    Raises:
      NLRNError: a level that is not in (0, 150], no denoiser, or one of unknown level.
    """
    noise_sigma = checked_level(noise_sigma)
    task = task_of(model.config)
    if task.setting != "noise_sigma":
        raise NLRNError(
            f"noise_sigma={noise_sigma:g}: is for denoisers; the network is for {task.name}"
        )
    if model.config.noise_sigma is None:
        raise NLRNError(
            f"noise_sigma={noise_sigma:g}: the network does not say which level it was trained for"
        )
    trained = model.config.trained_sigma or model.config.noise_sigma
    config = dataclasses.replace(model.config, noise_sigma=noise_sigma, trained_sigma=trained)
    precision = {policy: name for name, policy in POLICIES.items()}[model.dtype_policy.name]
    scaled = rebuild(model, config, precision)
    before, share_before = scaled_to(model.config.noise_sigma, trained)
    after, share_after = scaled_to(noise_sigma, trained)
    scale = np.float64(before) / after
    _scale_input(scaled.norm_in, scale)
    for weight in scaled.conv_out.weights:
        weight.assign(_float64(weight) / scale * (share_after / share_before))
    return scaled


def _scale_input(norm, scale: float) -> None:
    """Makes a batch norm take x / scale for x."""
    mean, variance = _float64(norm.moving_mean), _float64(norm.moving_variance)
    smaller = variance / scale**2
    gain = scale * np.sqrt((smaller + norm.epsilon) / (variance + norm.epsilon))
    norm.gamma.assign(_float64(norm.gamma) * gain)
    norm.moving_mean.assign(mean / scale)
    norm.moving_variance.assign(smaller)


def _float64(weight) -> np.ndarray:
    return keras.ops.convert_to_numpy(weight).astype(np.float64)
