"""Single-image super-resolution after bicubic downscaling (paper, section 4.3)."""

import math

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.bicubic import KERNEL_REACH
from nlrn_tf.imaging.colour import rgb_to_y
from nlrn_tf.imaging.eight_bits import read_8_bits
from nlrn_tf.imaging.samples import unit_range
from nlrn_tf.tasks.task import Task

MIN_SCALE = 1.5

# Values of `NLRNConfig.upsample`: the network gets the enlarged image, or enlarges what it makes of
# the small one.
BEFORE, AFTER = "before", "after"


class SuperResolution(Task):
    """Enlarges Y by `scale`.

    `quantize_lr` rounds the low-resolution image to 8 bits, as a file of it is; the paper's is not
    rounded.
    """

    name = "sr"
    title = "Super-resolution"
    channel = "y"
    enlarges = True
    setting = "scale"
    setting_type = int
    setting_title = "scale"
    setting_range = (2, math.inf)
    default_setting = 2
    published_settings = (2, 3, 4)  # of Table 6
    options = ("quantize_lr",)
    input_name = "bicubic"
    input_methods = ("bicubic", "identity")
    pair_folders = ("HR", "LR")
    paper_table = 6

    def pair(self, path, index, *, scale, quantize_lr=False):
        """Y cropped to a multiple of `scale`, and the same bicubically shrunk.

        Where it is rounded, the low-resolution image is made as MATLAB does from 8 bits.
        """
        from nlrn_tf.imaging.resize import crop_to_multiple, imresize

        image = crop_to_multiple(read_8_bits(path), scale)
        if image.size == 0:
            raise NLRNError(f"{path}: has fewer than {scale} pixels in a direction, the scale")
        truth = rgb_to_y(image)
        low_resolution = imresize(truth if quantize_lr else unit_range(truth), 1 / scale)
        return truth, unit_range(low_resolution)

    def input_image(self, degraded, *, scale, **_):
        """Bicubically enlarged."""
        from nlrn_tf.imaging.resize import imresize

        return imresize(degraded, scale)

    def given_pair(self, path, degraded, *, in_colour, scale, **_):
        """Y of the high-resolution and of the low-resolution file.

        The former may have up to `scale` - 1 more rows and columns, which are cut off.
        """
        truth, low = rgb_to_y(read_8_bits(path)), rgb_to_y(read_8_bits(degraded))
        height, width = (scale * side for side in low.shape)
        rest = truth.shape[0] - height, truth.shape[1] - width
        if not all(0 <= side < scale for side in rest):
            raise NLRNError(
                f"{degraded}: is {low.shape[1]} x {low.shape[0]}, which is not that of {path}, "
                f"{truth.shape[1]} x {truth.shape[0]}, at scale {scale}"
            )
        return truth[:height, :width], unit_range(low)

    def setting_of(self, pairs):
        """By the heights of the first pair."""
        path, degraded = next(iter(pairs.items()))
        high, low = len(read_8_bits(path)), len(read_8_bits(degraded))
        return max(high // low, 2)

    def example(self, take, draws, noise_seed, config):
        import tensorflow as tf

        patch = config.patch_size
        number = draws.below(len(config.scales))
        if config.upsample == AFTER:
            return _small_example(take, number, patch, config.scales)
        scale = tf.constant(config.scales, tf.int64)[number]
        # Down and up again, a pixel depends on others up to 2 LR pixels away, twice. The patch
        # may start at any position relative to the LR grid.
        margin = 2 * KERNEL_REACH * scale
        top, left = margin + draws.below(scale), margin + draws.below(scale)
        region = take(scale * -(-(2 * margin + scale - 1 + patch) // scale), top, left)
        pair = tf.stack([_bicubic_degraded(region, scale), region])
        pair = pair[:, top : top + patch, left : left + patch]
        degraded, clean = tf.unstack(tf.ensure_shape(pair, [2, patch, patch, 1]))
        return degraded, clean

    def short(self, *, scale, quantize_lr=False):
        return f"x{scale}" + (", LR of 8 bits" if quantize_lr else "")

    def describe(self, **degradation):
        return self.short(**degradation)

    def label(self, setting):
        return f"x{setting:g}"

    def border(self, *, scale, **_):
        return scale

    def protocol_note(self, *, scale, quantize_lr=False):
        rounded = "rounded to 8 bits" if quantize_lr else "not rounded"
        return (
            f"Y channel; low-resolution image {rounded}; scored as 8 bits, "
            f"without {scale} pixels at the border."
        )

    def purpose(self, config):
        return "enlarging by " + ", ".join(map(str, config.scales))

    def default_weights(self, scale=None):
        return "sr_lite"

    def network(self, config):
        return {"scales": config.scales}

    def variants(self, config):
        return [{"scale": scale} for scale in config.scales]

    def check(self, config):
        if not config.scales or min(config.scales) < 2:
            raise NLRNError(f"scales={config.scales} is not allowed: give whole numbers above 1")

    def check_weights(self, config, weights, *, scale, **_):
        if config.scales and scale not in config.scales:
            raise NLRNError(
                f"weights '{weights}' are for scale {', '.join(map(str, config.scales))}, "
                f"not {scale}; choose other weights, or another scale"
            )
        return None

    def restoring(self, config, *, scale, **_):
        return {"scale": scale}

    def checked_scale(self, scales, scale):
        """A network for several factors has seen images between them, and takes any number from
        half below the smallest to the largest. One for a single factor takes this only."""
        if scale is None:
            if not scales:
                raise NLRNError(
                    "scale is missing: the super-resolution weights name none; give one"
                )
            return scales[0]
        if scale in scales:
            return scale
        if len(scales) == 1:
            raise NLRNError(f"scale {scale:g}: the weights were trained for {scales[0]} only")
        lowest, highest = (min(scales) - 0.5, max(scales)) if scales else (MIN_SCALE, math.inf)
        if not lowest <= scale <= highest:
            limits = f"from {lowest:g} to {highest:g}" if scales else f"of at least {lowest:g}"
            raise NLRNError(f"scale {scale:g}: must be a number {limits} for these weights")
        return scale


def _small_example(take, number, patch, scales):
    """A small patch, and the sub-pixels of it that the network is to give for each scale.

    Args:
      take: see `Task.example`.
      number: of the scale, int64 scalar.
      patch: side of the small patch in pixels.
      scales: all of them.

    Returns:
      float32 `[patch, patch, 1]`, and `[patch, patch, sum of scale^2]`, NaN for the other scales.
    """
    import tensorflow as tf

    from nlrn_tf.imaging.resize import resize_bicubic

    scale = tf.constant(scales, tf.int64)[number]
    margin = KERNEL_REACH * scale
    region = take(2 * margin + scale * patch, margin, margin, scale * patch)
    small = resize_bicubic(region[None], 1 / tf.cast(scale, tf.float32))[0]
    small = small[KERNEL_REACH : KERNEL_REACH + patch, KERNEL_REACH : KERNEL_REACH + patch]
    clean = region[margin : margin + scale * patch, margin : margin + scale * patch]
    apart = tf.transpose(tf.reshape(clean, [patch, scale, patch, scale]), [0, 2, 1, 3])
    subpixels = [each**2 for each in scales]
    before = tf.cumsum(tf.constant(subpixels, tf.int64), exclusive=True)[number]
    clean = tf.pad(
        tf.reshape(apart, [patch, patch, scale**2]),
        [[0, 0], [0, 0], [before, sum(subpixels) - before - scale**2]],
        constant_values=math.nan,
    )
    return (
        tf.ensure_shape(small, [patch, patch, 1]),
        tf.ensure_shape(clean, [patch, patch, sum(subpixels)]),
    )


def _bicubic_degraded(image, scale):
    """MATLAB-bicubic down by `scale`, a divisor of the size, and up again: `[H, W, 1]`."""
    import tensorflow as tf

    from nlrn_tf.imaging.resize import resize_bicubic

    scale = tf.cast(scale, tf.float32)
    return resize_bicubic(resize_bicubic(image[None], 1 / scale), scale)[0]
