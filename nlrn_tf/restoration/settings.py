"""How image files are restored: the settings behind the flags of `run_restore.py`. Light."""

import dataclasses

from nlrn_tf import precision
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import IMAGE_SUFFIXES, MAX_PIXELS
from nlrn_tf.settings import documented, is_count, is_positive, require, require_choices, setting
from nlrn_tf.tasks.registry import owner_of, task_named, task_names
from nlrn_tf.weights.level_choice import checked_level

AUTO = "auto"

# How a denoiser restores colour, and whether an image is restored whole or by its patches.
COLOURS = ("opponent", "channels")
PROTOCOLS = ("full", "patches")


@documented
@dataclasses.dataclass(frozen=True)
class RestorationSettings:
    """Which network restores an image, and how.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """

    weights: str | None = setting(
        None,
        "Packaged weights by name (denoise_s25) or by family (denoise, denoise_lite, which is six "
        "times as fast, or auto: the latter at the noise levels where it is as good), or path of a "
        ".keras file. Default: auto; sr_lite with --task=sr.",
    )
    noise_sigma: str | float | None = setting(
        None,
        "Noise of the images, in grey levels of 0..255; auto estimates it for each image. "
        "Default: auto; with weights for one level, that level.",
    )
    strength: float = setting(
        1.0, "How much of the restoration is applied, from 0 (nothing) to 1 (all)."
    )
    white_level: float | None = setting(
        None,
        "Value of white in images of more than 8 bits. Default: what the file says, else what its "
        "values tell (4095 where none is above, as of a camera of 12 bits; 1 of floats).",
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
        "pixel of a tile in bfloat16, twice as much in float32, and up to 14 KB where the compiled "
        "kernel keeps what the states share. Default: what takes a fifth of the memory, between 3 "
        "and 4.5 GiB.",
    )
    exact: bool = setting(False, precision.EXACT_HELP)
    precision: str = setting(precision.AUTO, precision.HELP, choices=precision.CHOICES)

    def __post_init__(self):
        require_choices(self)
        has_scale, has_tiles = self.scale is not None, self.tile_size is not None
        require(self, "scale", not has_scale or self.scale >= 1.5, "a number of at least 1.5")
        require(self, "tile_size", not has_tiles or self.tile_size >= 64, "at least 64 pixels")
        require(self, "strength", 0 <= self.strength <= 1, "a number from 0 to 1")
        has_white = self.white_level is not None
        possible = not has_white or is_positive(self.white_level)
        require(self, "white_level", possible, "a number above 0")
        if self.noise_sigma is not None:
            object.__setattr__(self, "noise_sigma", self._level(self.noise_sigma))
            self._check_task()

    @property
    def network(self) -> str:
        """The weights, given or by default."""
        if self.weights is not None:
            return self.weights
        return task_named(self.task or task_names()[0]).default_weights()

    def _level(self, given: str | float) -> float | str:
        if given == AUTO:
            return AUTO
        try:
            level = float(given)
        except ValueError as error:
            raise NLRNError(
                f"noise_sigma={self.noise_sigma}: must be a number above 0 (grey levels), or auto"
            ) from error
        return checked_level(level)

    def _check_task(self) -> None:
        """Only denoising has a level."""
        others: dict[str, object] = {"scale": self.scale}
        if self.task not in (None, owner_of("noise_sigma").name):
            others["task"] = self.task
        for name, value in others.items():
            if value is not None:
                raise NLRNError(
                    f"noise_sigma={self.noise_sigma} is for denoising; leave out {name}={value}"
                )


@documented
@dataclasses.dataclass(frozen=True)
class InputSettings:
    """Which image files are restored.

    Raises:
      NLRNError: a value is not possible.
    """

    max_pixels: int = setting(
        MAX_PIXELS, "Refuse images that claim to have more pixels, before they are decoded."
    )
    accept_damaged: bool = setting(
        False, "Restore what is there of damaged images, and say so, instead of refusing them."
    )

    def __post_init__(self):
        require(self, "max_pixels", is_count(self.max_pixels), "at least 1 pixel")


@documented
@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """How results are written.

    Raises:
      NLRNError: a value is not possible, or two contradict each other.
    """

    suffix: str = setting(
        ".png",
        "Format of the files in an output folder; stacks, several channels and floats are .tif.",
    )
    keep_suffix: bool = setting(
        False, "Add the format to the whole name: photo.jpg becomes photo.jpg.png."
    )
    keep_metadata: bool = setting(
        False,
        "Keep the EXIF of photos too, such as camera, time and place; without thumbnails and the "
        "notes of the maker, and not in .bmp.",
    )
    overwrite: bool = setting(False, "Replace outputs that exist.")
    skip_existing: bool = setting(
        False, "Leave outputs that exist and do the rest: completes an interrupted run."
    )

    def __post_init__(self):
        known = self.suffix.lower() in IMAGE_SUFFIXES
        require(self, "suffix", known, f"one of {', '.join(IMAGE_SUFFIXES)}")
        if self.overwrite and self.skip_existing:
            raise NLRNError("overwrite=True and skip_existing=True contradict each other")
