"""What a PNG or JPEG file says of itself, read inside a TensorFlow graph before it is decoded.

TensorFlow's decoders allocate what the header asks for, and take some damaged files silently. So
the chunks of a PNG (PNG specification, section 5) and the segments of a JPEG (ITU-T T.81, annex B)
are walked first. A `Content` is the file's bytes; positions are int64 scalars from its start.
"""

from typing import NamedTuple

import tensorflow as tf

# More chunks than this are refused, so that a small hostile file cannot keep the loop busy.
MAX_CHUNKS = 1 << 16

_PADDING = 16  # zeros behind the file, so that fields read beyond its end are zero

_EXIF_ORIENTATION = 0x0112


class Header(NamedTuple):
    """Scalar tensors.

    Attributes:
      is_whole: bool, whether all parts of the file are there and in their place. The others mean
        nothing where it is False.
      height, width: int64, as stored (before the EXIF orientation).
      bits: int64, of a sample.
      channels: int64, of the decoded image without alpha.
      has_alpha: bool, whether there is an alpha channel or a transparent colour.
      exif: int64, where the TIFF structure of the EXIF data begins; 0 if there is none.
    """

    is_whole: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    bits: tf.Tensor
    channels: tf.Tensor
    has_alpha: tf.Tensor
    exif: tf.Tensor


class Content:
    """The bytes of a file, and its big-endian numbers."""

    def __init__(self, content: tf.Tensor):
        self.bytes = tf.io.decode_raw(content, tf.uint8)
        self.size = tf.size(self.bytes, tf.int64)
        self._padded = tf.pad(self.bytes, [[0, _PADDING]])

    def slice(self, position: tf.Tensor, length: int) -> tf.Tensor:
        """int64 `[length]`; zeros beyond the end."""
        position = tf.minimum(tf.cast(position, tf.int64), self.size)
        values = tf.ensure_shape(self._padded[position : position + length], [length])
        return tf.cast(values, tf.int64)

    def number(self, position: tf.Tensor, length: int) -> tf.Tensor:
        """The big-endian unsigned number of `length` bytes."""
        return tf.reduce_sum(self.slice(position, length) * _powers(length))

    def is_png(self) -> tf.Tensor:
        is_start = self.number(0, 4) == _code(b"\x89PNG")
        return tf.logical_and(is_start, self.number(4, 4) == _code(b"\r\n\x1a\n"))

    def is_jpeg(self) -> tf.Tensor:
        return self.number(0, 3) == _code(b"\xff\xd8\xff")


def png_header(content: Content) -> Header:
    """Walks the chunks of a PNG file to its IEND."""

    def unfinished(start, kind, number, *_):
        is_inside = tf.logical_and(start < content.size, number < MAX_CHUNKS)
        return tf.logical_and(is_inside, kind != _code(b"IEND"))

    def next_chunk(start, kind, number, has_transparency, exif):
        kind = content.number(start + 4, 4)
        has_transparency = tf.logical_or(has_transparency, kind == _code(b"tRNS"))
        exif = tf.where(kind == _code(b"eXIf"), start + 8, exif)
        return start + 12 + content.number(start, 4), kind, number + 1, has_transparency, exif

    zero = tf.constant(0, tf.int64)
    end, kind, _, has_transparency, exif = tf.while_loop(
        unfinished,
        next_chunk,
        (tf.constant(8, tf.int64), zero, 0, tf.constant(False), zero),
        parallel_iterations=1,
    )
    is_ended = tf.logical_and(kind == _code(b"IEND"), end <= content.size)
    starts_right = content.number(12, 4) == _code(b"IHDR")
    colour_type = content.number(25, 1)  # bit 0 palette, bit 1 colour, bit 2 alpha
    has_colour = tf.bitwise.bitwise_and(colour_type, 2) > 0
    has_alpha = tf.bitwise.bitwise_and(colour_type, 4) > 0
    return Header(
        is_whole=tf.logical_and(is_ended, starts_right),
        height=content.number(20, 4),
        width=content.number(16, 4),
        bits=content.number(24, 1),
        channels=tf.where(has_colour, tf.constant(3, tf.int64), tf.constant(1, tf.int64)),
        has_alpha=tf.logical_or(has_alpha, has_transparency),
        exif=exif,
    )


def jpeg_header(content: Content) -> Header:
    """Walks the segments of a JPEG file to its EOI, over the entropy-coded data between them."""
    markers = _markers_in_entropy_coded_data(content.bytes)

    def unfinished(start, is_sound, kind, number, *_):
        is_inside = tf.logical_and(start < content.size, number < MAX_CHUNKS)
        return tf.logical_and(tf.logical_and(is_inside, is_sound), kind != 0xD9)

    def next_segment(start, is_sound, kind, number, frame, exif):
        kind = content.number(start + 1, 1)
        length = content.number(start + 2, 2)
        is_marker = content.number(start, 1) == 0xFF
        is_single = tf.logical_or(kind == 0xFF, kind == 0xD9)  # a fill byte, or EOI
        has_body = tf.logical_and(_is_segment(kind), length >= 2)
        is_sound = tf.logical_and(is_marker, tf.logical_or(is_single, has_body))
        frame = tf.where(tf.logical_and(_is_frame(kind), frame == 0), start, frame)
        is_exif = tf.logical_and(kind == 0xE1, content.number(start + 4, 6) == _code(b"Exif\0\0"))
        exif = tf.where(tf.logical_and(is_exif, exif == 0), start + 10, exif)
        end = tf.where(is_single, start + 2, start + 2 + length)
        end = tf.where(kind == 0xFF, start + 1, end)
        end = tf.where(kind == 0xDA, markers(end, content.size), end)
        return end, is_sound, kind, number + 1, frame, exif

    zero = tf.constant(0, tf.int64)
    end, is_sound, kind, _, frame, exif = tf.while_loop(
        unfinished,
        next_segment,
        (tf.constant(2, tf.int64), tf.constant(True), zero, 0, zero, zero),
        parallel_iterations=1,
    )
    is_ended = tf.logical_and(kind == 0xD9, end <= content.size)
    return Header(
        is_whole=tf.logical_and(tf.logical_and(is_sound, is_ended), frame > 0),
        height=content.number(frame + 5, 2),
        width=content.number(frame + 7, 2),
        bits=content.number(frame + 4, 1),
        channels=content.number(frame + 9, 1),
        has_alpha=tf.constant(False),
        exif=exif,
    )


def exif_orientation(content: Content, exif: tf.Tensor) -> tf.Tensor:
    """The orientation of the image (EXIF 2.3, section 4.6.4), int64 in 1..8; 1 if not given.

    Args:
      content: the file.
      exif: where the TIFF structure begins, or 0.
    """
    is_little = content.number(exif, 2) == _code(b"II")

    def numbers(fields):  # [..., length] of bytes
        powers = _powers(fields.shape[-1])
        powers = tf.where(is_little, tf.reverse(powers, [0]), powers)
        return tf.reduce_sum(fields * powers, axis=-1)

    directory = exif + numbers(content.slice(exif + 4, 4))
    directory = tf.minimum(directory, content.size)
    count = numbers(content.slice(directory, 2))
    entries = content.bytes[directory + 2 : directory + 2 + 12 * count]
    entries = entries[: 12 * (tf.size(entries) // 12)]
    entries = tf.cast(tf.reshape(entries, [-1, 12]), tf.int64)
    is_orientation = numbers(entries[:, :2]) == _EXIF_ORIENTATION
    values = tf.boolean_mask(numbers(entries[:, 8:10]), is_orientation)
    orientation = tf.concat([values, [1]], 0)[0]
    is_valid = tf.logical_and(orientation >= 1, orientation <= 8)
    return tf.where(tf.logical_and(exif > 0, is_valid), orientation, 1)


def _markers_in_entropy_coded_data(content: tf.Tensor):
    """A function that finds the first marker from a position on; else the end of the file."""
    kinds = content[1:]
    is_restart = tf.logical_and(kinds >= 0xD0, kinds <= 0xD7)
    is_data = tf.logical_or(tf.logical_or(kinds == 0, kinds == 0xFF), is_restart)
    is_marker = tf.logical_and(content[:-1] == 0xFF, tf.logical_not(is_data))
    positions = tf.where(is_marker)[:, 0]

    def first_from(position, size):
        place = tf.searchsorted(positions, position[None], out_type=tf.int64)[0]
        return tf.concat([positions, size[None]], 0)[place]

    return first_from


def _is_frame(kind: tf.Tensor) -> tf.Tensor:
    """Whether a marker begins a frame (SOF0 to SOF15)."""
    is_table = tf.reduce_any(kind == tf.constant([0xC4, 0xC8, 0xCC], tf.int64))
    is_in_range = tf.logical_and(kind >= 0xC0, kind <= 0xCF)
    return tf.logical_and(is_in_range, tf.logical_not(is_table))


def _is_segment(kind: tf.Tensor) -> tf.Tensor:
    """Whether a marker has a length and a body: SOF, DHT, DAC, SOS to DRI, APP0 to APP15, COM."""
    is_in_range = tf.logical_or(kind <= 0xCF, kind >= 0xDA)
    is_segment = tf.logical_and(tf.logical_and(kind >= 0xC0, kind <= 0xEF), is_in_range)
    is_reserved = tf.reduce_any(kind == tf.constant([0xC8, 0xDE, 0xDF], tf.int64))
    return tf.logical_or(tf.logical_and(is_segment, tf.logical_not(is_reserved)), kind == 0xFE)


def _code(characters: bytes) -> int:
    return int.from_bytes(characters, "big")


def _powers(length: int) -> tf.Tensor:
    return tf.constant([256**power for power in reversed(range(length))], tf.int64)
