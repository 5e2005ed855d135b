"""Which factors a super-resolution network enlarges by."""

import math
from collections.abc import Callable

from nlrn_tf.errors import NLRNError

MIN_SCALE = 1.5


def checked_scale(model: Callable, scale: float | None) -> float | None:
    """The factor by which `nlrn_tf.restore` enlarges with this model, None for a denoiser.

    A network for several factors has seen images between them, and takes any number from half
    below the smallest to the largest. One for a single factor takes this only.

    Args:
      model: its `config` (`NLRNConfig`), where it has one, tells the task and the factors.
      scale: what the user wants; None is the first factor of the model.

    Raises:
      NLRNError: `scale` does not fit the model.
    """
    config = getattr(model, "config", None)
    task, scales = getattr(config, "task", None), getattr(config, "scales", ())
    if task == "denoise" and scale is not None:
        raise NLRNError(
            f"scale {scale:g}: the weights are for denoising; leave it out, or choose weights for "
            "super-resolution"
        )
    if task == "sr" and scale is None:
        if not scales:
            raise NLRNError("scale is missing: the super-resolution weights name none; give one")
        return scales[0]
    if scale is None or scale in scales:
        return scale
    if len(scales) == 1:
        raise NLRNError(f"scale {scale:g}: the weights were trained for {scales[0]} only")
    lowest, highest = (min(scales) - 0.5, max(scales)) if scales else (MIN_SCALE, math.inf)
    if not lowest <= scale <= highest:
        limits = f"from {lowest:g} to {highest:g}" if scales else f"of at least {lowest:g}"
        raise NLRNError(f"scale {scale:g}: must be a number {limits} for these weights")
    return scale
