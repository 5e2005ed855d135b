"""Image files to pixels and back inside a TensorFlow graph, as `nlrn_tf.imaging.files` does it.

`H, W` pixels, `C` channels (1 or 3, in RGB order).
"""

import numpy as np
import tensorflow as tf

from nlrn_tf.export.checks import checked
from nlrn_tf.export.containers import Content, Header, exif_orientation, jpeg_header, png_header
from nlrn_tf.imaging.samples import unit_range

# A table, because TensorFlow's optimizer turns `/ 255` into `* (1 / 255)`, which rounds otherwise.
_UNIT_RANGE = unit_range(np.arange(256, dtype=np.uint8))


def decode_image(content: tf.Tensor, name: tf.Tensor, max_pixels: tf.Tensor) -> tf.Tensor:
    """Decodes an 8-bit PNG or JPEG file to `unit_range(read_image(...))` of `imaging.files`.

    Args:
      content: scalar string, the bytes of the file.
      name: scalar string, begins the error messages.
      max_pixels: scalar int64, the most that `H W` may be; checked before the file is decoded.

    Returns:
      float32 `[H, W, C]` in [0, 1], turned upright by its EXIF orientation.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs: not a PNG or JPEG file, damaged, too
        many pixels, more than 8 bits a sample, an alpha channel or transparent colour, or CMYK.
    """
    read = Content(content)
    is_png = read.is_png()
    header = tf.cond(is_png, lambda: png_header(read), lambda: jpeg_header(read))
    is_known = tf.logical_or(is_png, read.is_jpeg())
    content = checked(
        content,
        (is_known, tf.strings.join([name, " is not a PNG or JPEG file"])),
        *_header_checks(header, name, max_pixels),
    )
    image = tf.cond(
        is_png,
        lambda: tf.io.decode_png(content),
        # Bit for bit what OpenCV decodes; TensorFlow's default is up to 6 grey levels off.
        lambda: tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE"),
    )
    image = tf.gather(tf.constant(_UNIT_RANGE), tf.cast(image, tf.int32))
    return _turn_upright(image, exif_orientation(read, header.exif))


def encode_png(image: tf.Tensor) -> tf.Tensor:
    """Float `[H, W, C]` in [0, 1], rounded and clipped to 8 bits, as a PNG file (scalar string)."""
    levels = tf.clip_by_value(tf.round(image * 255), 0, 255)
    return tf.io.encode_png(tf.cast(levels, tf.uint8))


def _header_checks(header: Header, name: tf.Tensor, max_pixels: tf.Tensor):
    def message(*parts):
        texts = [part if isinstance(part, str) else tf.strings.as_string(part) for part in parts]
        return tf.strings.join([name, *texts])

    is_grey_or_colour = tf.logical_or(header.channels == 1, header.channels == 3)
    pixels = header.height * header.width
    return (
        (header.is_whole, message(" is damaged or cut off")),
        (pixels > 0, message(" has no pixels")),
        (
            # The sides too: their product could overflow.
            tf.reduce_max([pixels, header.height, header.width]) <= max_pixels,
            message(
                *(" is ", header.width, " x ", header.height, " pixels, more than the "),
                *(max_pixels, " that this server takes"),
            ),
        ),
        (
            header.bits <= 8,
            message(" has ", header.bits, " bits a sample; only 8-bit images are supported"),
        ),
        (
            tf.logical_not(header.has_alpha),
            message(" has an alpha channel or a transparent colour; flatten it first"),
        ),
        (
            is_grey_or_colour,
            message(" has ", header.channels, " channels; only grey and RGB are supported"),
        ),
    )


def _turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes EXIF orientation 1..8 of `[H, W, C]`."""

    def apply(function, orientations, image):
        needed = tf.reduce_any(orientation == tf.constant(orientations, tf.int64))
        return tf.cond(needed, lambda: function(image), lambda: tf.identity(image))

    image = apply(lambda image: tf.transpose(image, [1, 0, 2]), [5, 6, 7, 8], image)
    image = apply(lambda image: tf.reverse(image, [1]), [2, 3, 6, 7], image)
    return apply(lambda image: tf.reverse(image, [0]), [3, 4, 7, 8], image)
