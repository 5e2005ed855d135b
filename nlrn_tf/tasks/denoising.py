"""Removing white Gaussian noise from grey images (paper, section 4.2)."""

import math

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_grey
from nlrn_tf.imaging.eight_bits import opaque, read_8_bits
from nlrn_tf.imaging.files import read_photo
from nlrn_tf.imaging.samples import to_uint8, unit_range
from nlrn_tf.tasks.task import Task

MAX_SIGMA = 150.0  # that a network is scaled to, in grey levels


class Denoising(Task):
    """Noise of standard deviation `noise_sigma`, in grey levels of 0..255."""

    name = "denoise"
    title = "Denoising"
    channel = "grey"
    setting = "noise_sigma"
    setting_title = "sigma"
    setting_range = (0.0, MAX_SIGMA)
    default_setting = 25.0
    published_settings = (15.0, 25.0, 50.0)  # of Table 4
    input_name = "noisy"
    scores_colour = True
    pair_folders = ("clean", "noisy")
    paper_table = 4

    def pair(self, path, index, *, noise_sigma):
        """The grey image, and it with noise seeded by `index`, neither clipped nor rounded."""
        clean = rgb_to_grey(read_8_bits(path))
        return clean, add_gaussian_noise(clean, noise_sigma, seed=index)

    def colour_pair(self, path, index, *, noise_sigma):
        """RGB, and it with noise seeded by `index`, independent in the channels."""
        clean = read_8_bits(path)
        clean = clean if clean.ndim == 3 else np.repeat(clean[..., None], 3, axis=-1)
        return clean, add_gaussian_noise(clean, noise_sigma, seed=index)

    def given_pair(self, path, degraded, *, in_colour, **_):
        """Both as they are, in [0, 1] by their white level; RGB, or grey where both are."""
        (clean, white), (noisy, noisy_white) = (opaque(p, read_photo(p)) for p in (path, degraded))
        if clean.shape[:2] != noisy.shape[:2]:
            raise NLRNError(f"{degraded}: is not of the size of {path}")
        if clean.dtype == noisy.dtype:  # white is guessed by the highest value
            white = noisy_white = max(white, noisy_white)
        clean, noisy = clean / np.float32(white), noisy / np.float32(noisy_white)
        if in_colour:
            clean, noisy = (x if x.ndim == 3 else np.dstack([x] * 3) for x in (clean, noisy))
        return to_uint8(clean), noisy.astype(np.float32)

    def setting_of(self, pairs):
        """The root mean square of what the images differ by, to a tenth of a grey level."""
        squares = count = 0.0
        for path, degraded in pairs.items():
            clean, noisy = self.given_pair(path, degraded, in_colour=True)
            squares += float(np.sum(np.square(noisy - unit_range(clean), dtype=np.float64)))
            count += noisy.size
        level = round(255 * math.sqrt(squares / count), 1)
        if not 0 < level <= MAX_SIGMA:
            raise NLRNError(
                f"{next(iter(pairs.values())).parent}: differs by {level:g} grey levels from "
                f"{next(iter(pairs)).parent}; noise is above 0 and at most {MAX_SIGMA:g}"
            )
        return level

    def example(self, take, draws, noise_seed, config):
        import tensorflow as tf

        shape = (config.patch_size, config.patch_size, 1)
        clean = tf.ensure_shape(take(config.patch_size), shape)
        noise = tf.random.stateless_normal(shape, noise_seed)
        if config.noise_levels:
            scales = tf.constant([config.noise_sigma / level for level in config.noise_levels])
            clean *= scales[draws.below(len(config.noise_levels))]
        return clean + noise * (config.noise_sigma / 255), clean

    def short(self, *, noise_sigma):
        return f"{noise_sigma:g}"

    def label(self, setting):
        return f"s{setting:g}"

    def protocol_note(self, **_):
        return "Noisy input neither clipped nor rounded; scored as 8 bits, whole image."

    def purpose(self, config):
        return f"noise of sigma {config.noise_sigma:g}" if config.noise_sigma else ""

    def default_weights(self, noise_sigma=None):
        """What is fast where it is as good for people's images, the best where it is scored."""
        if noise_sigma is None:
            return "auto"
        trained = noise_sigma in self.published_settings
        return f"denoise_s{noise_sigma:g}" if trained else "denoise"

    def network(self, config):
        return {"noise_sigma": config.noise_sigma}

    def variants(self, config):
        return [{"noise_sigma": config.noise_sigma}]

    def check(self, config):
        sigma = config.noise_sigma
        if not (math.isfinite(sigma) and sigma >= 0):
            raise NLRNError(f"noise_sigma={sigma} is not allowed: give at least 0 (grey levels)")
        levels = config.noise_levels
        if not all(math.isfinite(level) and level > 0 for level in levels):
            raise NLRNError(f"noise_levels={levels} is not allowed: give levels above 0")
        if levels and sigma == 0:
            raise NLRNError("noise_levels is not allowed with noise_sigma=0: give it a level too")

    def restoring(self, config, *, noise_sigma):
        knows_level = config is not None and config.noise_sigma is not None
        return {"noise_sigma": noise_sigma} if knows_level else {}


def add_gaussian_noise(image: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Adds white Gaussian noise by the fixed rule of the benchmarks.

    The noise is `np.random.default_rng(seed).normal(0, sigma / 255, image.shape)`, cast to
    float32 and added in float32. The result is neither clipped nor rounded.

    Args:
      image: uint8 in 0..255, or float in [0, 1]; any shape.
      sigma: standard deviation of the noise in grey levels of 0..255, at least 0.
      seed: of the noise; for a benchmark image its index in the sorted list of files.

    Returns:
      float32 of the same shape, in [0, 1] plus noise.

    Raises:
      NLRNError: `sigma` is negative or not finite.
    """
    if not (math.isfinite(sigma) and sigma >= 0):
        raise NLRNError(f"noise sigma {sigma}: must be a number of at least 0 (grey levels)")
    noise = np.random.default_rng(seed).normal(0, sigma / 255, np.shape(image))
    return unit_range(image) + noise.astype(np.float32)
