"""Colour images denoised along opponent axes, each plane by the network that is best for it.

In the plane luma / sqrt 3, the mean of the channels, independent noise of the channels is down to
1 / sqrt 3 of its level; the two chroma planes keep the level and are nearly flat
(`imaging.opponent`). The chroma planes are scaled about mid-grey, where a network has seen most.

`H, W` pixels.
"""

import functools
import math

import numpy as np

from nlrn_tf.config import NLRNConfig
from nlrn_tf.imaging.opponent import opponent_to_rgb, rgb_to_opponent
from nlrn_tf.model import NLRN
from nlrn_tf.restoration.inference import Model
from nlrn_tf.weights.level_choice import LITE, best_denoiser, denoisers, expected_loss, family_of
from nlrn_tf.weights.loading import load_model

MID_GREY = 0.5

# In dB on grey images (`levels.json`); chroma differs by a sixth of that. Far below the level of
# its training the network with fewer channels loses more.
CLEARLY_BETTER = 0.5
_ROOT = math.sqrt(3)


def plane_levels(noise_sigma: float | tuple[float, float, float]) -> tuple[float, float, float]:
    """The noise of luma / sqrt 3 and of the two chroma planes.

    Args:
      noise_sigma: of each channel, independent; or that of the three opponent planes.
    """
    levels = noise_sigma if isinstance(noise_sigma, tuple) else (noise_sigma,) * 3
    return (levels[0] / _ROOT, *levels[1:])


def split(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB `[H, W, 3]` as planes `[H, W]`: luma / sqrt 3 in [0, 1], and chroma about 0."""
    planes = rgb_to_opponent(rgb)
    return planes[..., 0] / _ROOT, planes[..., 1], planes[..., 2]


def joined(luma: np.ndarray, *chroma: np.ndarray) -> np.ndarray:
    """The inverse of `split`: float32 RGB `[H, W, 3]`, not clipped."""
    return opponent_to_rgb(np.stack([luma * _ROOT, *chroma], axis=-1))


def companions(model: Model, level: float) -> tuple[Model, Model]:
    """The networks for luma and for chroma that go with a network for grey images.

    For a packaged network luma gets the weights of its family that are best at the level of luma.
    Chroma gets the packaged network with fewer channels, which measures 0.05, 0.04 and 0.18 dB
    below the full one at 15, 25 and 50 in 40 % of the time (`docs/measurements.md`), except at low
    levels. Other networks do all planes themselves.

    Args:
      model: for grey images.
      level: noise of the channels, in grey levels of 0..255.
    """
    name = getattr(model, "packaged_name", None)
    if name is None or not isinstance(model, NLRN):
        return model, model
    load = functools.partial(_packaged, precision=model.compute_dtype, config=model.config)
    luma = best_denoiser(level / _ROOT, denoisers(family_of(name)))
    return load(luma), load(_for_chroma(name, level))


def _for_chroma(name: str, level: float) -> str:
    """The packaged network with fewer channels, unless the family of `name` is clearly better."""
    family, lite = denoisers(family_of(name)), denoisers(LITE)
    loss = expected_loss(lite, family, level) if lite else math.inf
    is_better = loss is not None and loss >= CLEARLY_BETTER
    return best_denoiser(level, family if is_better else lite)


@functools.lru_cache(maxsize=8)
def _packaged(weights: str, precision: str, config: NLRNConfig) -> Model:
    """Packaged weights with the choices of `config` that are not those of its weights."""
    names = ("window_border", "attention", "exact_propagation")
    options = {name: getattr(config, name) for name in names}
    return load_model(weights, precision=precision, **options)
