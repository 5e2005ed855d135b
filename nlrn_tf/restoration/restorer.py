"""Restoring images in memory: grey and colour, of 8 and 16 bits or float, with or without alpha.

`B` batch, `H, W` pixels, `C` channels. A `model` is a callable on float32 `[B, H, W, 1]` in
[0, 1] that returns the same shape, such as `NLRN`. Its optional attribute `config` (`NLRNConfig`)
says what it is for, and whether it enlarges (`upsample` "after").
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.filling import filled
from nlrn_tf.imaging.opponent import is_grey
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.imaging.samples import Levels, quantized, unit_range
from nlrn_tf.restoration import colour
from nlrn_tf.restoration.checks import checked_image
from nlrn_tf.restoration.enlarging import enlarged_plane, enlarged_values, own_scale
from nlrn_tf.restoration.inference import Model
from nlrn_tf.restoration.planes import predict, predict_patches, self_ensemble
from nlrn_tf.restoration.settings import COLOURS
from nlrn_tf.settings import require
from nlrn_tf.tasks.registry import task_of
from nlrn_tf.weights.level_choice import checked_level, scaled_to

# Called now and then with the fraction of the work done since the last call.
OnProgress = Callable[[float], None]

# Noise of less than this, in grey levels, is left alone: rounding to 8 bits adds as much.
UNSEEN_LEVEL = 0.5

_CENTRES = (0.0, colour.MID_GREY, colour.MID_GREY)


def restore(
    model: Model, image: np.ndarray, *, on_progress: OnProgress | None = None, **options
) -> np.ndarray:
    """Restores a grey or colour image: removes its noise, or enlarges it.

    A denoiser of known level restores a colour image along opponent axes, each plane at its own
    level (`restoration.colour`), and one of unknown level channel by channel. A super-resolution
    model enlarges grey directly, and of a colour image the luma (Y of BT.601); Cb and Cr are
    enlarged bicubically. Alpha is kept as it is, or enlarged bicubically.

    Args:
      model: see the head of this module. One of unknown task enlarges when `scale` is given.
      image: `[H, W]`, `[H, W, 1]` or RGB `[H, W, 3]`, or with alpha `[H, W, 2]`, `[H, W, 4]`;
        uint8, uint16, or float in [0, 1]. The noise of a float image may leave that range, but
        not [-2, 3].
      on_progress: called now and then with the fraction of the work done since the last call.
      **options: of `Restorer`: `noise_sigma`, `strength`, `scale`, `self_ensemble`, ...

    Returns:
      The dtype of `image`, and its shape, with `H, W` times `scale`, rounded up as MATLAB does,
      where it was enlarged; clipped to the range of the dtype, whole numbers rounded.

    Raises:
      NLRNError: unsupported dtype, shape or values, an option that does not fit the model, or as
        for `planes.predict`.
    """
    return Restorer(model, **options)(image, on_progress)


@dataclasses.dataclass(frozen=True)
class Restorer:
    """A model, and how it is applied to images.

    Attributes:
      model: see the head of this module.
      scale: factor of a super-resolution model, by default the first one it was trained for. A
        model for several scales takes any number from half below the smallest to the largest.
        None for a model that does not enlarge.
      noise_sigma: noise of the image in grey levels of 0..255, or that of the three opponent planes
        of a colour image; by default the level of the model. Another level scales the image.
      colour: "opponent" axes, or "channels" one by one, for a denoiser of known level.
      strength: how much of the restoration is applied, 0 to 1.
      white_level: the value of white in an image of more than 8 bits; by default 65535 of uint16.
        Whole numbers of other types, and floats of other ranges than [0, 1], need it.
      black_level: the value of black where `white_level` is given.
      self_ensemble: averages over the 8 flips and rotations, for 8 times the work.
      protocol: "full" restores whole images, in tiles where they are large; "patches" averages
        overlapping patches, as the original release does.
      tile_size, overlap: of the tiles, see `planes.predict`.
      patch_size, stride: of the patches, see `planes.predict_patches`.

    Raises:
      NLRNError: a value is not possible, or does not fit the model.
    """

    model: Model
    scale: float | None = None
    noise_sigma: float | tuple[float, float, float] | None = None
    colour: str = "opponent"
    strength: float = 1.0
    white_level: float | None = None
    black_level: float = 0
    self_ensemble: bool = False
    protocol: str = "full"
    tile_size: int | None = None
    overlap: int | None = None
    patch_size: int = 45
    stride: int = 7

    def __post_init__(self):
        config = getattr(self.model, "config", None)
        scales = getattr(config, "scales", ())
        scale = task_of(config, self.scale).checked_scale(scales, self.scale)
        object.__setattr__(self, "scale", scale)
        require(self, "colour", self.colour in COLOURS, f"one of {', '.join(COLOURS)}")
        require(self, "strength", 0 <= self.strength <= 1, "a number from 0 to 1")
        has_white = self.white_level is not None
        possible = not has_white or self.black_level < self.white_level < math.inf
        require(self, "white_level", possible, "a number above that of black")
        if self.noise_sigma is not None:
            self._check_level(self.noise_sigma)

    def __call__(self, image: np.ndarray, on_progress: OnProgress | None = None) -> np.ndarray:
        """Restores an image, see `restore`."""
        levels = self._levels(np.asarray(image))
        image = checked_image(image, levels)
        if self.scale is None and self.strength == 0:
            (on_progress or _silent)(1.0)
            return image.copy()
        pixels = image.reshape(*image.shape[:2], -1)  # [H, W, C]
        channels = 3 if pixels.shape[2] >= 3 else 1
        visible, alpha = pixels[..., :channels], pixels[..., channels:]
        values = levels.unit_range(visible) if levels else unit_range(visible)
        values = self.values(filled(values, alpha), on_progress)
        restored = levels.like(visible, values) if levels else _like(visible, values)
        if alpha.size:
            if self.scale is None:
                restored = np.where(alpha > 0, restored, visible)
            else:
                alpha = _like(alpha, imresize(unit_range(alpha), self.scale))
            restored = np.concatenate([restored, alpha], axis=-1)
        return restored.reshape(*restored.shape[:2], *image.shape[2:])

    def values(self, values: np.ndarray, on_progress: OnProgress | None = None) -> np.ndarray:
        """Restores grey or RGB values.

        Args:
          values: float `[H, W, C]`, C of 1 or 3, finite; [0, 1] plus noise.
          on_progress: see `restore`.

        Returns:
          float32 `[H', W', C]`, enlarged by `scale`; not clipped.

        Raises:
          NLRNError: as for `planes.predict`.
        """
        report = on_progress or _silent
        if self.scale is not None:
            return enlarged_values(values, self.scale, lambda each: self.plane(each, report))
        if self.strength == 0:
            report(1.0)
            return np.asarray(values, np.float32)
        if values.shape[2] == 1 or is_grey(values):
            plane = self.plane(values[..., 0], report)
            return np.repeat(plane[..., None], values.shape[2], axis=-1)
        if self.colour == "opponent" and self._level is not None:
            return self._blended(values, self._opponent(values, self._level, report))
        parts = [
            self.plane(values[..., channel], _share(report, 1 / values.shape[2]))
            for channel in range(values.shape[2])
        ]
        return np.stack(parts, axis=-1)

    def plane(self, image: np.ndarray, on_progress: OnProgress | None = None) -> np.ndarray:
        """Restores one plane.

        Args:
          image: float `[H, W]`, finite; [0, 1] plus noise.
          on_progress: see `restore`.

        Returns:
          float32 `[H', W']`, enlarged by `scale`; not clipped.

        Raises:
          NLRNError: as for `planes.predict`.
        """
        if self.scale is not None:
            restore_plane = functools.partial(self._views, self.model, on_progress or _silent)
            enlarged = enlarged_plane(image, self.scale, self.network_scale, restore_plane)
            if self.strength == 1:
                return enlarged
            return self._blended(imresize(image, self.scale), enlarged)
        level = self._level if self.noise_sigma is not None else None
        restored = self._at_level(self.model, image, level, on_progress or _silent)
        return self._blended(image, restored)

    def models(self, channels: int) -> list[Model]:
        """The network of each plane that is restored of an image with 1 or 3 channels."""
        if self.scale is None and self.strength == 0:
            return []
        if self.scale is not None or channels == 1:
            return [self.model]
        if self.colour == "opponent" and self._level is not None:
            luma_model, chroma_model = colour.companions(self.model, self._level)
            return [luma_model, chroma_model, chroma_model]
        return [self.model] * channels

    @property
    def network_scale(self) -> int | None:
        """The factor by which the network itself enlarges; None for one that does not."""
        return own_scale(getattr(self.model, "config", None), self.scale)

    @property
    def _level(self) -> float | None:
        """The noise of the channels; None for a model of unknown level."""
        if isinstance(self.noise_sigma, tuple):
            return math.sqrt(sum(level**2 for level in self.noise_sigma) / 3)
        if self.noise_sigma is not None:
            return self.noise_sigma
        return getattr(getattr(self.model, "config", None), "noise_sigma", None)

    def _check_level(self, noise_sigma: float | tuple[float, float, float]) -> None:
        config = getattr(self.model, "config", None)
        if getattr(config, "noise_sigma", None) is None:
            raise NLRNError(
                f"noise_sigma={noise_sigma}: is for denoisers whose weights tell their level; "
                "leave it out"
            )
        levels = noise_sigma if isinstance(noise_sigma, tuple) else (noise_sigma,)
        for level in levels:
            if level or len(levels) == 1:  # an opponent plane may be without noise
                checked_level(level)

    def _opponent(self, rgb: np.ndarray, level: float, report: OnProgress) -> np.ndarray:
        """Float RGB `[H, W, 3]`, channels of noise `level`, restored along the opponent axes."""
        models = self.models(3)
        levels = colour.plane_levels(self.noise_sigma or level)
        costs = [_cost(model) for model in models]
        planes = [
            self._at_level(model, plane, level, _share(report, cost / sum(costs)), centre)
            for model, plane, level, cost, centre in zip(
                models, colour.split(rgb), levels, costs, _CENTRES, strict=True
            )
        ]
        return colour.joined(*planes)

    def _at_level(
        self,
        model: Model,
        image: np.ndarray,
        level: float | None,
        report: OnProgress,
        centre: float = 0.0,
    ) -> np.ndarray:
        """The model on a plane of noise `level`: f(y) = f0(a y) / a, see `weights.levels.at_level`.

        The plane is laid about `centre`, as the network sees it that was trained.
        """
        config = getattr(model, "config", None)
        own = getattr(config, "noise_sigma", None)
        if level is None or own is None or (level == own and not centre):
            return self._views(model, report, image)
        if level < UNSEEN_LEVEL:
            report(1.0)
            return np.asarray(image, np.float32)
        trained = getattr(config, "trained_sigma", None) or own
        (before, share_before), (after, share_after) = (
            scaled_to(each, trained) for each in (own, level)
        )
        factor = np.float32(before / after)
        about = np.float32(centre * before / trained)
        restored = (self._views(model, report, about + factor * image) - about) / factor
        if share_after == share_before:
            return restored
        return image + np.float32(share_after / share_before) * (restored - image)

    def _views(
        self, model: Model, report: OnProgress, image: np.ndarray, scale: int | None = None
    ) -> np.ndarray:
        part = _share(report, 1 / 8) if self.self_ensemble else report
        view = functools.partial(self._view, model, part, scale)
        return self_ensemble(view, image) if self.self_ensemble else view(image)

    def _view(
        self, model: Model, report: OnProgress, scale: int | None, image: np.ndarray
    ) -> np.ndarray:
        if self.protocol == "patches":
            sizes = (self.patch_size, self.stride)
            return predict_patches(model, image, *sizes, scale=scale, on_progress=report)
        return predict(model, image, self.tile_size, self.overlap, scale=scale, on_progress=report)

    def _blended(self, before: np.ndarray, restored: np.ndarray) -> np.ndarray:
        if self.strength == 1:
            return restored
        return before + np.float32(self.strength) * (restored - before)

    def _levels(self, image: np.ndarray) -> Levels | None:
        """White and black where they are not those of the type."""
        if self.white_level is None or image.dtype == np.uint8:
            return None
        return Levels(self.white_level, self.black_level)


def _share(report: OnProgress, part: float) -> OnProgress:
    return lambda fraction: report(part * fraction)


def _silent(_: float) -> None:
    pass


def _cost(model: Model) -> float:
    """How long a network takes in proportion, by its size."""
    config = getattr(model, "config", None)
    return getattr(config, "num_states", 1) * getattr(config, "filters", 1) ** 2


def _like(image: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Clips float `restored` in [0, 1] and converts it to the dtype of `image`."""
    if image.dtype in (np.uint8, np.uint16):
        return quantized(restored, image.dtype)
    return np.clip(restored, 0, 1).astype(image.dtype)
