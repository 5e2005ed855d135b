"""Which packaged denoiser is best at a noise level. Light: needs neither Keras nor TensorFlow.

Every packaged denoiser can be scaled to any level (`nlrn_tf.weights.levels.at_level`). How good
each is at which level is measured by `maintenance/measure_levels.py` and kept in `levels.json`.
"""

import functools
import json
import math
import os
from collections.abc import Collection

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.tasks.denoising import MAX_SIGMA
from nlrn_tf.weights.manifest import WEIGHTS_DIR, manifest

MAX_LEVEL = MAX_SIGMA
MAX_SCALE = 3.0  # of the image, in `scaled_to`
FULL, LITE = "denoise", "denoise_lite"  # the families of packaged denoisers
AUTO_FAMILY = "auto"  # both: LITE at the levels where it is as good
AS_GOOD = 0.1  # dB that it may be below

_TABLE = WEIGHTS_DIR / "levels.json"


def checked_level(noise_sigma: float) -> float:
    """A noise level that a network can be made for.

    Args:
      noise_sigma: standard deviation of the noise in grey levels of 0..255.

    Raises:
      NLRNError: it is not a number above 0 and at most 150.
    """
    is_number = isinstance(noise_sigma, int | float | np.number) and not isinstance(
        noise_sigma, bool
    )
    if not is_number or not 0 < noise_sigma <= MAX_LEVEL:  # NaN is not above 0 either
        raise NLRNError(
            f"noise_sigma={noise_sigma}: must be a number above 0 and at most {MAX_LEVEL:g}, in "
            "grey levels of 0..255"
        )
    return float(noise_sigma)


def scaled_to(level: float, trained: float) -> tuple[float, float]:
    """How a denoiser is used at a level: scaled to which level, and how much of it is applied.

    An image scaled up by more than MAX_SCALE is outside what a network has seen, and is changed by
    several grey levels even without noise. So below a third of the level of its training a network
    is scaled to that third, and the share (level / third)^3 of its residual is applied. (With the
    square the mean gain at a level of 2 is larger, by 0.1 dB, but single images lose.)

    Args:
      level: noise of the image, in grey levels of 0..255.
      trained: level of the training.

    Returns:
      The level that the network is scaled to, and the share, above 0 and at most 1.
    """
    lowest = trained / MAX_SCALE
    return (level, 1.0) if level >= lowest else (lowest, (level / lowest) ** 3)


def family_of(name: str) -> str:
    """The packaged name without its level: "denoise_lite" of "denoise_lite_s25".

    The networks of a family have one architecture, so one speed.
    """
    return name.rpartition("_s")[0]


def denoisers(family: str | None = None) -> dict[str, float]:
    """The packaged denoisers by name, and the noise level that each was trained for.

    Args:
      family: only those, see `family_of`, or `AUTO_FAMILY`; None for all.
    """
    families = (FULL, LITE) if family == AUTO_FAMILY else (family,)
    configs = {name: entry["config"] for name, entry in manifest().items()}
    return {
        name: config["noise_sigma"]
        for name, config in configs.items()
        if config["noise_sigma"] and (family is None or family_of(name) in families)
    }


def of_family(name: str | os.PathLike, noise_sigma: float | None) -> str | os.PathLike:
    """The best packaged name at a level where `name` is a family, else `name` itself.

    Raises:
      NLRNError: a family without a level.
    """
    members = denoisers(os.fspath(name))
    if not members or os.fspath(name) in manifest():
        return name
    if noise_sigma is None:
        raise NLRNError(
            f"{name}: is a family of denoisers ({', '.join(sorted(members))}); give noise_sigma, "
            "or one of them"
        )
    if os.fspath(name) == AUTO_FAMILY:
        return efficient_denoiser(noise_sigma)
    return best_denoiser(noise_sigma, members)


def efficient_denoiser(noise_sigma: float) -> str:
    """The packaged denoiser with fewer channels where it is as good, else the best full one.

    As good is at most `AS_GOOD` below in the measured PSNR, at the level and at that of luma in a
    colour image of this noise, which is lower by a factor of sqrt 3 (`restoration.colour`).

    Args:
      noise_sigma: in grey levels of 0..255.

    Raises:
      NLRNError: as for `best_denoiser`.
    """
    full, lite = denoisers(FULL), denoisers(LITE)
    if not full or not lite:
        return best_denoiser(noise_sigma, full or lite)

    losses = [expected_loss(lite, full, each) for each in (noise_sigma, noise_sigma / math.sqrt(3))]
    is_as_good = all(loss is not None and loss <= AS_GOOD for loss in losses)
    return best_denoiser(noise_sigma, lite if is_as_good else full)


def best_denoiser(noise_sigma: float, names: Collection[str] | None = None) -> str:
    """The packaged denoiser that is the best once it is scaled to a noise level.

    By the measured PSNR, interpolated linearly in the logarithm of the level; below the lowest
    and above the highest measured level the order there holds. Of denoisers of which one has no
    scores that belong to its present file, the one trained for the nearest level is taken, by the
    ratio of the levels, since the table then tells nothing of it.

    Args:
      noise_sigma: in grey levels of 0..255.
      names: of packaged denoisers to choose from, such as those of one family,
        `denoisers("denoise_lite")`. By default those of the family "denoise", or all where the
        package has none.

    Raises:
      NLRNError: a level that is not in (0, 150], a name that is no packaged denoiser, or none.
    """
    noise_sigma = checked_level(noise_sigma)
    packaged = denoisers()
    if names is None:
        names = denoisers(FULL) or packaged
    unknown = sorted(set(names) - set(packaged))
    if unknown:
        raise NLRNError(f"{', '.join(unknown)}: not a packaged denoiser")
    if not names:
        raise NLRNError("no denoiser is packaged; give weights=PATH")
    scores = {name: _scores(name) for name in names}
    if all(scores.values()):
        return max(names, key=lambda name: _interpolated(scores[name], noise_sigma))

    def distance(name):
        ratio = abs(math.log(packaged[name] / noise_sigma))
        return ratio, -manifest()[name]["config"]["filters"]

    return min(names, key=distance)


def expected_psnr(name: str, noise_sigma: float) -> float | None:
    """The PSNR in dB of a packaged denoiser scaled to a level, interpolated in the table.

    On the crops of `maintenance/measure_levels.py`. None where its present file was not measured.

    Raises:
      NLRNError: a level that is not in (0, 150].
    """
    scores, noise_sigma = _scores(name), checked_level(noise_sigma)
    return _interpolated(scores, noise_sigma) if scores else None


def expected_loss(
    names: Collection[str], others: Collection[str], noise_sigma: float
) -> float | None:
    """By how many dB the best of some packaged denoisers is below the best of others at a level.

    None where one of the two was not measured; see `expected_psnr`.
    """
    found, best = (
        expected_psnr(best_denoiser(noise_sigma, each), noise_sigma) for each in (names, others)
    )
    return None if found is None or best is None else best - found


@functools.cache
def level_table() -> dict:
    """What `levels.json` holds; see `maintenance/measure_levels.py`."""
    return json.loads(_TABLE.read_text())


def _scores(name: str) -> dict[str, float]:
    """PSNR by level of a packaged denoiser; empty where its present file was not measured."""
    entry = level_table()["scores"].get(name)
    if entry is None or entry["sha256"] != manifest()[name]["sha256"]:
        return {}
    return entry["psnr"]


def _interpolated(scores: dict[str, float], noise_sigma: float) -> float:
    levels = sorted(scores, key=float)
    logarithms = [math.log(float(level)) for level in levels]
    return float(np.interp(math.log(noise_sigma), logarithms, [scores[level] for level in levels]))
