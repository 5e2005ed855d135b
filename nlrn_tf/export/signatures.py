"""The functions that the exported model serves, as TensorFlow graphs for images of any size.

`B` batch, `H, W` pixels, `C` channels (1 or 3, in RGB order).
"""

import tensorflow as tf

from nlrn_tf.export.checks import checked
from nlrn_tf.export.colour import Denoiser, denoise, enlarge
from nlrn_tf.export.pixels import decode_image, encode_png
from nlrn_tf.export.planes import Network
from nlrn_tf.model import NLRN
from nlrn_tf.restoration.checks import FLOAT_RANGE
from nlrn_tf.restoration.colour import companions
from nlrn_tf.restoration.planes import SMALLEST_MEMORY, default_tile_size
from nlrn_tf.tasks.registry import task_of
from nlrn_tf.weights.level_choice import MAX_LEVEL

FLOAT_SIGNATURE = "serving_default"
BYTES_SIGNATURE = "restore_bytes"
FLOAT_LEVEL_SIGNATURE = "restore_at_level"
BYTES_LEVEL_SIGNATURE = "restore_bytes_at_level"

_IMAGES = tf.TensorSpec([None, None, None, None], tf.float32, name="inputs")
_FILES = tf.TensorSpec([None], tf.string, name="image_bytes")
_SCALE = tf.TensorSpec([], tf.int32, name="scale")
_LEVEL = tf.TensorSpec([], tf.float32, name="noise_sigma")


class ServedModel(tf.Module):
    """A network with the signatures below; what they return equals `nlrn_tf.restore`.

    - `serving_default`: `inputs` float32 `[B, H, W, C]` in [0, 1] (plus noise) -> `output`, the
      same shape, in [0, 1];
    - `restore_bytes`: `image_bytes` string `[B]`, PNG or JPEG files of any sizes ->
      `restored_bytes` string `[B]`, PNG files.

    A denoiser that tells its level has both a second time, as `restore_at_level` and
    `restore_bytes_at_level`, which also take `noise_sigma`, a scalar float32: the noise of the
    images in grey levels of 0..255. The others take that of the weights.

    Of a super-resolution network both also take `scale`, a scalar int32, and H and W of the output
    are `scale` times those of the input. A wrong input raises InvalidArgument.

    Args:
      model: the network, on the TensorFlow backend.
      max_pixels: the most that H W of a restored image may be.
    """

    def __init__(self, model: NLRN, max_pixels: int):
        super().__init__()
        self.enlarges = task_of(model.config).enlarges
        self._scales = model.config.scales
        self._max_pixels = max_pixels
        self._weights: list[tf.Variable] = []  # of all networks, saved with the module
        self._level = model.config.noise_sigma
        models: tuple = (model, model, model)
        if self._level is not None:
            models = (model, *companions(model, self._level))
        traced = {id(each): self._traced(each) for each in models}
        self._denoiser = Denoiser(*(traced[id(each)] for each in models))
        self._network = self._denoiser.grey

    def _traced(self, model: NLRN) -> Network:
        """Traced once here, so that the saved graph has it once, however often it is called.

        Put into the place of each call, it would be optimised as often when the model is loaded.
        """
        self._weights += [weight.value for weight in model.weights]
        planes = tf.TensorSpec([None, None, None, 1], tf.float32)
        scales = model.config.own_scales
        function = tf.function(
            lambda planes: model.subpixels(planes) if scales else model(planes),
            input_signature=[planes],
            autograph=False,
            experimental_attributes={"_noinline": True},
        ).get_concrete_function()
        own = model.config.noise_sigma
        return Network(
            function,
            default_tile_size(model, SMALLEST_MEMORY),
            own,
            model.config.trained_sigma or own,
            scales,
        )

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures by name, traced."""
        scale = [_SCALE] if self.enlarges else []
        bodies: dict[str, tuple] = {
            FLOAT_SIGNATURE: (self._restore_images, [_IMAGES, *scale]),
            BYTES_SIGNATURE: (self._restore_files, [_FILES, *scale]),
        }
        if self._level is not None:
            bodies |= {
                FLOAT_LEVEL_SIGNATURE: (self._restore_images_at_level, [_IMAGES, _LEVEL]),
                BYTES_LEVEL_SIGNATURE: (self._restore_files_at_level, [_FILES, _LEVEL]),
            }
        return {
            name: tf.function(body, input_signature=inputs, autograph=False).get_concrete_function()
            for name, (body, inputs) in bodies.items()
        }

    def _restore_images_at_level(self, inputs, noise_sigma):
        return self._restore_images(inputs, noise_sigma=_checked_level(noise_sigma))

    def _restore_files_at_level(self, image_bytes, noise_sigma):
        return self._restore_files(image_bytes, noise_sigma=_checked_level(noise_sigma))

    def _level_or(self, noise_sigma):
        if noise_sigma is None and self._level is not None:
            return tf.constant(self._level, tf.float64)
        return noise_sigma

    def _restore_images(self, inputs, scale=None, noise_sigma=None):
        scale = self._checked_scale(scale)
        images = _checked_images(inputs, self._max_input_pixels(scale))
        if self.enlarges:
            restored = tf.map_fn(
                lambda image: enlarge(self._network, image, scale), images, parallel_iterations=1
            )
        else:
            restored = denoise(self._denoiser, images, self._level_or(noise_sigma))
        return {"output": tf.clip_by_value(restored, 0, 1)}

    def _restore_files(self, image_bytes, scale=None, noise_sigma=None):
        scale = self._checked_scale(scale)
        is_list = tf.logical_and(tf.rank(_any_shape(image_bytes)) == 1, tf.size(image_bytes) > 0)
        files = checked(image_bytes, (is_list, "image_bytes must be [B], not empty"))
        max_pixels = self._max_input_pixels(scale)

        def restore_file(number):
            name = tf.strings.join(["image_bytes[", tf.strings.as_string(number), "]"])
            image = decode_image(files[number], name, max_pixels)
            if self.enlarges:
                return encode_png(enlarge(self._network, image, scale))
            level = self._level_or(noise_sigma)
            return encode_png(denoise(self._denoiser, image[None], level)[0])

        restored = tf.map_fn(
            restore_file,
            tf.range(tf.size(files)),
            fn_output_signature=tf.TensorSpec([], tf.string),
            parallel_iterations=1,
        )
        return {"restored_bytes": restored}

    def _checked_scale(self, scale):
        if not self.enlarges:
            return None
        is_scalar = tf.rank(_any_shape(scale)) == 0
        scale = tf.reshape(checked(scale, (is_scalar, "scale must be a scalar")), [])
        if self._scales:
            allowed = ", ".join(map(str, self._scales))
            is_allowed = tf.reduce_any(scale == tf.constant(self._scales))
        else:
            allowed, is_allowed = "at least 2", scale >= 2
        return checked(scale, (is_allowed, f"scale must be one of {allowed}"))

    def _max_input_pixels(self, scale):
        if scale is None:
            return tf.constant(self._max_pixels, tf.int64)
        return self._max_pixels // tf.cast(scale, tf.int64) ** 2


def _checked_level(noise_sigma: tf.Tensor) -> tf.Tensor:
    """A scalar float64; not a number is refused too."""
    is_scalar = tf.rank(_any_shape(noise_sigma)) == 0
    level = tf.reshape(checked(noise_sigma, (is_scalar, "noise_sigma must be a scalar")), [])
    in_range = tf.logical_and(level > 0, level <= MAX_LEVEL)
    allowed = f"noise_sigma must be above 0 and at most {MAX_LEVEL:g} grey levels"
    return tf.cast(checked(level, (in_range, allowed)), tf.float64)


def _checked_images(inputs: tf.Tensor, max_pixels: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(_any_shape(inputs), tf.int64)
    is_batch = checked(inputs, (tf.size(shape) == 4, "inputs must be [B, H, W, C]"))
    shape = tf.shape(is_batch, tf.int64)
    pixels, channels = shape[1] * shape[2], shape[3]
    low, high = FLOAT_RANGE
    in_range = tf.logical_and(tf.reduce_min(inputs) >= low, tf.reduce_max(inputs) <= high)
    return checked(
        inputs,
        (tf.reduce_prod(shape) > 0, "inputs is empty"),
        (
            tf.logical_or(channels == 1, channels == 3),
            "inputs must be [B, H, W, C] with 1 channel (grey) or 3 (RGB)",
        ),
        (
            pixels <= max_pixels,
            tf.strings.format(
                "inputs has images of {} x {} pixels, more than the {} that this server takes",
                (shape[2], shape[1], max_pixels),
            ),
        ),
        (tf.reduce_all(tf.math.is_finite(inputs)), "inputs has values that are not finite"),
        (in_range, f"inputs has values outside [{low}, {high}]; expected [0, 1], plus noise"),
    )


def _any_shape(tensor: tf.Tensor) -> tf.Tensor:
    """`tensor` with no static shape, so that the optimizer does not take its rank for granted."""
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tf.TensorShape(None))
