"""Restoring images in memory: grey and colour, of 8 and 16 bits or float, with or without alpha.

`B` batch, `H, W` pixels, `C` channels. A `model` is a callable on float32 `[B, H, W, 1]` in
[0, 1] that returns the same shape, such as `NLRN`. Its optional attribute `config` (`NLRNConfig`)
says what it is for.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_ycbcr, ycbcr_to_rgb
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.imaging.samples import quantized, unit_range
from nlrn_tf.restoration.inference import Model
from nlrn_tf.restoration.planes import predict, predict_patches, self_ensemble
from nlrn_tf.tasks.registry import task_of

# Called now and then with the fraction of the work done since the last call.
OnProgress = Callable[[float], None]

PROTOCOLS = ("full", "patches")

# Noise takes a float image out of [0, 1], but not further than this; 0..255 does not pass.
FLOAT_RANGE = (-2.0, 3.0)


def restore(
    model: Model, image: np.ndarray, *, on_progress: OnProgress | None = None, **options
) -> np.ndarray:
    """Restores a grey or colour image: removes its noise, or enlarges it.

    A denoiser restores the channels of a colour image one by one; it expects its noise level in
    each of them. A super-resolution model restores the bicubically enlarged image: grey
    directly, of a colour image the luma (Y of BT.601), and Cb and Cr stay bicubic. Alpha is kept
    as it is, or enlarged bicubically.

    Args:
      model: see the head of this module. One of unknown task enlarges when `scale` is given.
      image: `[H, W]`, `[H, W, 1]` or RGB `[H, W, 3]`, or with alpha `[H, W, 2]`, `[H, W, 4]`;
        uint8, uint16, or float in [0, 1]. The noise of a float image may leave that range, but
        not [-2, 3].
      on_progress: called now and then with the fraction of the work done since the last call.
      **options: of `Restorer`: `scale`, `self_ensemble`, `tile_size`, `overlap`, ...

    Returns:
      The dtype of `image`, and its shape, with `H, W` times `scale`, rounded up as MATLAB does,
      where it was enlarged; clipped to the range of the dtype, whole numbers rounded.

    Raises:
      NLRNError: unsupported dtype, shape or values, a scale that does not fit the model, or as
        for `predict`.
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
      self_ensemble: averages over the 8 flips and rotations, for 8 times the work.
      protocol: "full" restores whole images, in tiles where they are large; "patches" averages
        overlapping patches, as the original release does.
      tile_size, overlap: of the tiles, see `planes.predict`.
      patch_size, stride: of the patches, see `planes.predict_patches`.

    Raises:
      NLRNError: a scale that does not fit the model.
    """

    model: Model
    scale: float | None = None
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

    def __call__(self, image: np.ndarray, on_progress: OnProgress | None = None) -> np.ndarray:
        """Restores an image, see `restore`."""
        image = _checked_image(image)
        values = unit_range(image).reshape(*image.shape[:2], -1)  # [H, W, C]
        channels = 3 if values.shape[2] >= 3 else 1
        values, alpha = values[..., :channels], values[..., channels:]
        if self.scale is None:
            restored = self._channels(values, on_progress)
        else:
            restored = self._enlarged(values, self.scale, on_progress)
            alpha = imresize(alpha, self.scale) if alpha.size else alpha
        if alpha.size:
            restored = np.concatenate([restored, alpha], axis=-1)
        return _like(image, restored.reshape(*restored.shape[:2], *image.shape[2:]))

    def plane(self, image: np.ndarray, on_progress: OnProgress | None = None) -> np.ndarray:
        """Runs the network on one plane; one that enlarges gets the enlarged image.

        Args:
          image: float `[H, W]`, finite; [0, 1] plus noise.
          on_progress: see `restore`.

        Returns:
          float32 `[H, W]`, not clipped.

        Raises:
          NLRNError: as for `planes.predict`.
        """
        if not self.self_ensemble:
            return self._view(image, on_progress or _silent)
        views = 8

        def report(part):
            if on_progress is not None:
                on_progress(part / views)

        return self_ensemble(lambda view: self._view(view, report), image)

    def _view(self, image: np.ndarray, on_progress: OnProgress) -> np.ndarray:
        if self.protocol == "patches":
            return predict_patches(self.model, image, self.patch_size, self.stride)
        return predict(
            self.model,
            image,
            tile_size=self.tile_size,
            overlap=self.overlap,
            on_progress=on_progress,
        )

    def _channels(self, values: np.ndarray, on_progress: OnProgress | None) -> np.ndarray:
        """Float `[H, W, C]` restored one channel after the other."""
        count = values.shape[2]

        def report(part):
            if on_progress is not None:
                on_progress(part / count)

        planes = [self.plane(values[..., channel], report) for channel in range(count)]
        return np.stack(planes, axis=-1)

    def _enlarged(
        self, values: np.ndarray, scale: float, on_progress: OnProgress | None
    ) -> np.ndarray:
        """Float grey or RGB `[H, W, C]` enlarged: Y by the network, Cb and Cr bicubic."""
        if values.shape[2] == 1:
            return self.plane(imresize(values[..., 0], scale), on_progress)[..., None]
        ycbcr = imresize(rgb_to_ycbcr(values), scale)
        ycbcr[..., 0] = self.plane(ycbcr[..., 0], on_progress)
        return ycbcr_to_rgb(ycbcr)


def _silent(_: float) -> None:
    pass


def _like(image: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Clips float `restored` in [0, 1] and converts it to the dtype of `image`."""
    if image.dtype in (np.uint8, np.uint16):
        return quantized(restored, image.dtype)
    return np.clip(restored, 0, 1).astype(image.dtype)


def _checked_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and not 1 <= image.shape[2] <= 4):
        raise NLRNError(
            f"image of shape {image.shape} is not supported; [H, W], [H, W, 1] and RGB [H, W, 3] "
            "are, and with alpha [H, W, 2] and [H, W, 4]"
        )
    if image.size == 0:
        raise NLRNError(f"image of shape {image.shape} is empty")
    if image.dtype in (np.uint8, np.uint16):
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise NLRNError(
            f"image of dtype {image.dtype} is not supported; uint8, uint16 and float ([0, 1]) are"
        )
    if not np.isfinite(image).all():
        raise NLRNError("image has values that are not finite (NaN or Inf)")
    low, high = float(image.min()), float(image.max())
    if low < FLOAT_RANGE[0] or high > FLOAT_RANGE[1]:
        raise NLRNError(
            f"float image has values from {low:.3g} to {high:.3g}; expected [0, 1] (plus noise), "
            "divide it by its white level"
        )
    return image
