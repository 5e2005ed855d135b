"""The functions that the exported model serves, as TensorFlow graphs for images of any size.

`B` batch, `H, W` pixels, `C` channels (1 or 3, in RGB order).
"""

import tensorflow as tf

from nlrn_tf.export.checks import checked
from nlrn_tf.export.colour import denoise, enlarge
from nlrn_tf.export.pixels import decode_image, encode_png
from nlrn_tf.export.planes import Network, planes_per_tile
from nlrn_tf.model import NLRN
from nlrn_tf.restoration.checks import FLOAT_RANGE
from nlrn_tf.restoration.planes import default_tile_size
from nlrn_tf.tasks.registry import task_of

FLOAT_SIGNATURE = "serving_default"
BYTES_SIGNATURE = "restore_bytes"

_IMAGES = tf.TensorSpec([None, None, None, None], tf.float32, name="inputs")
_FILES = tf.TensorSpec([None], tf.string, name="image_bytes")
_SCALE = tf.TensorSpec([], tf.int32, name="scale")


class ServedModel(tf.Module):
    """A network with the signatures below; what they return equals `nlrn_tf.restore`.

    - `serving_default`: `inputs` float32 `[B, H, W, C]` in [0, 1] (plus noise) -> `output`, the
      same shape, in [0, 1];
    - `restore_bytes`: `image_bytes` string `[B]`, PNG or JPEG files of any sizes ->
      `restored_bytes` string `[B]`, PNG files.

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
        self._weights = [weight.value for weight in model.weights]  # saved with the module
        planes = tf.TensorSpec([None, None, None, 1], tf.float32)
        # Traced once here, so that the saved graph has it once, however often it is called.
        function = tf.function(
            lambda planes: model(planes), input_signature=[planes], autograph=False
        ).get_concrete_function()
        self._network = Network(function, default_tile_size(model))

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures by name, traced."""
        scale = [_SCALE] if self.enlarges else []
        bodies = {
            FLOAT_SIGNATURE: (self._restore_images, [_IMAGES, *scale]),
            BYTES_SIGNATURE: (self._restore_files, [_FILES, *scale]),
        }
        return {
            name: tf.function(body, input_signature=inputs, autograph=False).get_concrete_function()
            for name, (body, inputs) in bodies.items()
        }

    def _restore_images(self, inputs, scale=None):
        scale = self._checked_scale(scale)
        images = _checked_images(inputs, self._max_input_pixels(scale))
        if self.enlarges:
            restored = tf.map_fn(
                lambda image: enlarge(self._network, image, scale), images, parallel_iterations=1
            )
        else:
            at_once = planes_per_tile(self._network, *tf.unstack(tf.shape(images)[1:3]))
            restored = denoise(self._network, images, at_once)
        return {"output": tf.clip_by_value(restored, 0, 1)}

    def _restore_files(self, image_bytes, scale=None):
        scale = self._checked_scale(scale)
        is_list = tf.logical_and(tf.rank(_any_shape(image_bytes)) == 1, tf.size(image_bytes) > 0)
        files = checked(image_bytes, (is_list, "image_bytes must be [B], not empty"))
        max_pixels = self._max_input_pixels(scale)

        def restore_file(number):
            name = tf.strings.join(["image_bytes[", tf.strings.as_string(number), "]"])
            image = decode_image(files[number], name, max_pixels)
            if self.enlarges:
                return encode_png(enlarge(self._network, image, scale))
            return encode_png(denoise(self._network, image[None], 1)[0])

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
