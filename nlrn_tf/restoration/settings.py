"""How image files are restored: the settings behind the flags of `run_restore.py`. Light."""

import dataclasses
import math

from nlrn_tf import precision
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import IMAGE_SUFFIXES
from nlrn_tf.settings import documented, require, require_choices, setting
from nlrn_tf.tasks.registry import owner_of, task_named, task_names

AUTO = "auto"
DEFAULT_WEIGHTS = "denoise_s25"


@documented
@dataclasses.dataclass(frozen=True)
class RestorationSettings:
    """Which network restores an image, and how.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """

    weights: str | None = setting(
        None,
        "Name of packaged weights, or path of a .keras file. Default: denoise_s25, for noise of "
        "about 25 grey levels; sr with --task=sr.",
    )
    noise_sigma: str | float | None = setting(
        None,
        "Noise of the images, in grey levels of 0..255: takes the packaged weights for the nearest "
        "level. auto estimates it for each image.",
    )
    task: str | None = setting(
        None,
        "Chooses the default weights, and refuses weights for another task. Default: what the "
        "weights are for.",
        choices=task_names,
    )
    scale: float | None = setting(
        None,
        "Factor of super-resolution, a number from 1.5 to the largest that the weights were "
        "trained for. Default: the first of these.",
    )
    self_ensemble: bool = setting(
        False, "Average over the 8 flips and rotations: slightly better, 8 times slower."
    )
    tile_size: int | None = setting(
        None,
        "Restore larger images than this (squared, in pixels) in tiles. Memory is about 5.5 KB a "
        "pixel of a tile in bfloat16, twice as much in float32. Default: 704 in bfloat16, 512 in "
        "float32, which take 3 GiB.",
    )
    precision: str = setting(precision.AUTO, precision.HELP, choices=precision.CHOICES)

    def __post_init__(self):
        require_choices(self)
        has_scale, has_tiles = self.scale is not None, self.tile_size is not None
        require(self, "scale", not has_scale or self.scale >= 1.5, "a number of at least 1.5")
        require(self, "tile_size", not has_tiles or self.tile_size >= 64, "at least 64 pixels")
        if self.noise_sigma is not None:
            object.__setattr__(self, "noise_sigma", self._level(self.noise_sigma))
            self._check_contradictions()

    @property
    def network(self) -> str:
        """The weights, given or by default; without meaning where `noise_sigma` chooses them."""
        if self.weights is not None:
            return self.weights
        return task_named(self.task).default_weights() if self.task else DEFAULT_WEIGHTS

    def _level(self, given: str | float) -> float | str:
        if given == AUTO:
            return AUTO
        try:
            level = float(given)
        except ValueError:
            level = math.nan
        allowed = "a number above 0 (grey levels), or auto"
        require(self, "noise_sigma", 0 < level < math.inf, allowed)
        return level

    def _check_contradictions(self) -> None:
        """A level chooses a packaged denoiser."""
        contradicting = {"weights": self.weights, "scale": self.scale}
        if self.task not in (None, owner_of("noise_sigma").name):
            contradicting["task"] = self.task
        for name, value in contradicting.items():
            if value is not None:
                raise NLRNError(
                    f"noise_sigma={self.noise_sigma} chooses a packaged denoiser; leave out "
                    f"{name}={value}"
                )


@documented
@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """How results are written.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """

    suffix: str = setting(".png", "Format of the files in an output folder.")
    overwrite: bool = setting(False, "Replace outputs that exist.")
    skip_existing: bool = setting(
        False, "Leave outputs that exist and do the rest: completes an interrupted run."
    )

    def __post_init__(self):
        known = self.suffix.lower() in IMAGE_SUFFIXES
        require(self, "suffix", known, f"one of {', '.join(IMAGE_SUFFIXES)}")
        if self.overwrite and self.skip_existing:
            raise NLRNError("overwrite=True and skip_existing=True contradict each other")
