"""A denoiser for another noise level than the one it was trained for."""

import dataclasses

import keras
import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.precision import POLICIES
from nlrn_tf.weights.level_choice import checked_level
from nlrn_tf.weights.loading import rebuild

MAX_SCALE = 3.0  # of the image; by more `for_noise` does not scale it


def at_level(model: NLRN, noise_sigma: float) -> NLRN:
    """The network for another noise level, by scaling the image.

    A denoiser f0 for sigma0 serves sigma as f(y) = f0(a y) / a with a = sigma0 / sigma: scaled by
    a, the noise has the level that f0 knows. The scale is absorbed into the first batch norm and
    the last convolution, so the network costs, saves and exports as before. The batch norm
    computes gamma (x - mean) / sqrt(variance + epsilon) + beta; with x = a y that is the same of
    y with mean / a, variance / a^2 and

        gamma' = a gamma sqrt((variance / a^2 + epsilon) / (variance + epsilon)).

    The identity y of the residual network needs no change, its residual is divided by a.

    Args:
      model: a denoiser whose `config.noise_sigma` says its level.
      noise_sigma: the new level in grey levels of 0..255.

    Returns:
      A new network of the same precision, whose `config.noise_sigma` is the new level.

    Raises:
      NLRNError: a level that is not in (0, 150], no denoiser, or one of unknown level.
    """
    noise_sigma = checked_level(noise_sigma)
    if model.config.task == "sr":
        raise NLRNError(f"noise_sigma={noise_sigma:g}: is for denoisers; the network is for sr")
    if model.config.noise_sigma is None:
        raise NLRNError(
            f"noise_sigma={noise_sigma:g}: the network does not say which level it was trained for"
        )
    config = dataclasses.replace(model.config, noise_sigma=noise_sigma)
    scaled = rebuild(model, config, _precision_of(model))
    scale = np.float64(model.config.noise_sigma) / noise_sigma
    _scale_input(scaled.norm_in, scale)
    for weight in scaled.conv_out.weights:
        weight.assign(_float64(weight) / scale)
    return scaled


def for_noise(model: NLRN, noise_sigma: float) -> NLRN:
    """The network to use for a noise level: `at_level`, gentler where that would do harm.

    An image scaled up by more than about 3 is outside what a network has seen, and it changes
    even a clean one by several grey levels. So below a third of its own level the network is that
    for the third, of whose residual the share (level / third)^3 is applied. With the square the
    mean gain at a level of 2 is larger (0.1 dB by `denoise_lite_s25`), but single images lose.

    Args, returns, raises: as of `at_level`.
    """
    noise_sigma = checked_level(noise_sigma)
    lowest = (model.config.noise_sigma or 0) / MAX_SCALE
    if noise_sigma >= lowest:
        return at_level(model, noise_sigma)
    gentle = with_strength(at_level(model, lowest), (noise_sigma / lowest) ** 3)
    return rebuild(
        gentle,
        dataclasses.replace(gentle.config, noise_sigma=noise_sigma),
        _precision_of(model),
    )


def with_strength(model: NLRN, strength: float) -> NLRN:
    """A network that applies a share of the residual: y + strength (f(y) - y).

    Absorbed into the last convolution, so it costs nothing.

    Args:
      model: any network.
      strength: 0, which changes nothing in an image, to 1.

    Raises:
      NLRNError: another strength.
    """
    if not 0 <= strength <= 1:
        raise NLRNError(f"strength={strength}: must be a number from 0 to 1")
    weaker = rebuild(model, model.config, _precision_of(model))
    for weight in weaker.conv_out.weights:
        weight.assign(_float64(weight) * strength)
    return weaker


def _precision_of(model: NLRN) -> str:
    return {policy: name for name, policy in POLICIES.items()}[model.dtype_policy.name]


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
