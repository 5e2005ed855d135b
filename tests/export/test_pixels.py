"""Files decoded in the graph give what `read_image` gives, or an error."""

import functools
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nlrn_tf.errors import NLRNError
from nlrn_tf.export.pixels import decode_image, encode_png
from nlrn_tf.imaging.files import IMAGE_SUFFIXES, find_images, read_image
from nlrn_tf.imaging.samples import unit_range
from tests.support.export import from_file, photograph, to_file

JPEG_QUALITY, JPEG_PROGRESSIVE, JPEG_RESTARTS, JPEG_SAMPLING = 1, 2, 4, 7  # cv2.IMWRITE_JPEG_...


@functools.cache
def _graph():
    return tf.function(
        lambda content, max_pixels: decode_image(content, tf.constant("the file"), max_pixels),
        input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)],
        autograph=False,
    )


def _decode(content: bytes, max_pixels: int = 10**6) -> np.ndarray:
    return _graph()(tf.constant(content), tf.constant(max_pixels, tf.int64)).numpy()


def _expected(content: bytes, tmp_path) -> np.ndarray:
    path = tmp_path / "image.png"  # OpenCV looks at the content
    path.write_bytes(content)
    image = unit_range(read_image(path))
    return image[..., None] if image.ndim == 2 else image


def _refused(content: bytes, message: str, max_pixels: int = 10**6):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _decode(content, max_pixels)


def _pillow(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


@pytest.mark.parametrize("sampling", [0x411111, 0x221111, 0x211111, 0x121111, 0x111111])
def test_jpeg_is_decoded_as_by_opencv(sampling, tmp_path):
    for seed, (height, width) in enumerate([(1, 1), (7, 9), (16, 33), (61, 40)]):
        image = photograph(height, width, 3, seed)
        for quality, progressive, restarts in [(5, 0, 0), (60, 1, 0), (90, 0, 2), (100, 1, 1)]:
            options = (
                *(JPEG_QUALITY, quality, JPEG_PROGRESSIVE, progressive),
                *(JPEG_RESTARTS, restarts, JPEG_SAMPLING, sampling),
            )
            content = to_file(image, ".jpg", options)
            np.testing.assert_array_equal(_decode(content), _expected(content, tmp_path))


def test_data_sets_are_decoded_as_by_opencv(data_dir):
    for folder in ("BSDS500/images/val", "BSD68", "Set5", "T91"):
        if not (data_dir / folder).is_dir():
            continue
        for path in find_images(data_dir / folder)[:10]:
            if path.suffix in (".png", ".jpg"):
                expected = unit_range(read_image(path))
                np.testing.assert_array_equal(_decode(path.read_bytes()).squeeze(), expected)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(mode, "png") for mode in ("1", "L", "P", "RGB")]
    + [(mode, "jpeg") for mode in ("1", "L", "RGB")],  # which has no palette
)
def test_grey_palette_and_colour(mode, kind, tmp_path):
    content = _pillow(Image.fromarray(photograph(23, 31, 3)).convert(mode), kind)
    np.testing.assert_array_equal(_decode(content), _expected(content, tmp_path))
    assert _decode(content).shape == (23, 31, 3 if mode in ("P", "RGB") else 1)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_grey_levels(bits, tmp_path, rng):
    rows = rng.integers(0, 256, (9, 16 * bits // 8)).astype(np.uint8)  # 9 x 16 pixels
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 16, 9, bits, 0, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        content += _chunk(kind, body)
    np.testing.assert_array_equal(_decode(content), _expected(content, tmp_path))
    assert len(np.unique(_decode(content))) == 2**bits


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation(orientation, kind, order, tmp_path):
    exif = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(
        f"{order}IHHHIHHHHIII", 8, 2, 0x0100, 4, 1, 7, 0, 0x0112, 3, 1, orientation << 16, 0
    )
    if order == "<":
        exif = exif[:-8] + struct.pack("<II", orientation, 0)
    image = Image.fromarray(photograph(12, 20, 3))
    content = _pillow(image, kind, exif=b"Exif\0\0" + exif)
    expected = _expected(content, tmp_path)
    assert expected.shape[:2] == ((20, 12) if orientation in (5, 6, 7, 8) else (12, 20))
    np.testing.assert_array_equal(_decode(content), expected)


def test_other_metadata_is_passed_over(tmp_path):
    jpeg = to_file(photograph(12, 20, 3), ".jpg")
    thumbnail = b"\xff\xe1" + struct.pack(">H", len(jpeg) + 2) + jpeg
    comment = b"\xff\xff\xfe\0\x09comment\xff"  # with fill bytes
    content = jpeg[:2] + thumbnail + comment + jpeg[2:] + b"behind the end"
    np.testing.assert_array_equal(_decode(content), _expected(content, tmp_path))
    png = to_file(photograph(12, 20, 3))
    content = png[:33] + _chunk(b"tEXt", b"Title\0tRNS") + png[33:] + b"behind the end"
    np.testing.assert_array_equal(_decode(content), _expected(content, tmp_path))


def test_more_than_8_bits_alpha_and_cmyk_are_refused(tmp_path):
    image = photograph(9, 11, 3)
    palette = Image.fromarray(image).convert("P")
    kinds = {
        "16 bits": [to_file(image.astype(np.uint16)), to_file(image[..., 0].astype(np.uint16))],
        "alpha channel": [
            _pillow(Image.fromarray(image).convert("RGBA"), "png"),
            _pillow(Image.fromarray(image).convert("LA"), "png"),
            _pillow(palette, "png", transparency=3),
            _pillow(Image.fromarray(image), "png", transparency=(1, 2, 3)),
        ],
        "4 channels": [_pillow(Image.fromarray(image).convert("CMYK"), "jpeg")],
    }
    for message, contents in kinds.items():
        for content in contents:
            _refused(content, f"the file has (an )?{message}")
            if message != "4 channels":  # OpenCV converts CMYK in its own way
                with pytest.raises(NLRNError):
                    _expected(content, tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_file_cut_off_anywhere_is_refused(suffix):
    content = to_file(photograph(20, 30, 3), suffix)
    for length in [*range(0, len(content), 7), *range(len(content) - 20, len(content))]:
        _refused(content[:length], "the file is (not a|damaged)")


def test_a_png_with_a_wrong_byte_is_never_decoded_otherwise(tmp_path, rng):
    content = to_file(photograph(20, 30, 3))
    for place in [*range(33), *rng.integers(33, len(content), 60)]:
        wrong = bytearray(content)
        wrong[place] ^= 0x11
        with pytest.raises(tf.errors.InvalidArgumentError):
            _decode(bytes(wrong))
        with pytest.raises(NLRNError):
            _expected(bytes(wrong), tmp_path)


def test_a_jpeg_with_garbage_for_data_is_refused(rng):
    content = to_file(photograph(80, 90, 3), ".jpg")
    data = content.index(b"\xff\xda") + 14
    for _ in range(20):
        garbage = rng.integers(0, 256, 3000).astype(np.uint8).tobytes()
        _refused(content[:data] + garbage + b"\xff\xd9", "the file is damaged")


@pytest.mark.parametrize("sides", [(16384, 16384), (2**31 - 1, 2**31 - 1), (1001, 1000)])
def test_too_many_pixels_are_refused_before_decoding(sides):
    width, height = sides
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = to_file(photograph(1, 1, 3))
    bomb = png[:8] + _chunk(b"IHDR", header) + png[33:]
    _refused(bomb, f"the file is {width} x {height} pixels, more than the 1000000")


def test_jpeg_with_a_large_header_is_refused():
    jpeg = bytearray(to_file(photograph(8, 8, 3), ".jpg"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 16384, 16384)
    _refused(bytes(jpeg), "the file is 16384 x 16384 pixels")


def test_a_file_at_the_limit_is_decoded():
    content = to_file(photograph(20, 30, 1))
    assert _decode(content, max_pixels=600).shape == (20, 30, 1)
    _refused(content, "30 x 20 pixels, more than the 599", max_pixels=599)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG", b"\xff\xd8\xff", b"GIF89a", bytes(99)]
)
def test_what_is_no_image_is_refused(content):
    _refused(content, "the file is (not a PNG or JPEG|damaged)")


def test_many_chunks_do_not_keep_the_graph_busy():
    content = to_file(photograph(2, 2, 1))
    _refused(content[:33] + _chunk(b"tEXt", b"") * 200_000 + content[33:], "the file is damaged")


def test_other_formats_are_refused(tmp_path):
    for suffix in sorted({*IMAGE_SUFFIXES} - {".png", ".jpg", ".jpeg"}):
        _refused(to_file(photograph(9, 11, 3), suffix), "not a PNG or JPEG file")


def test_encoded_png_is_rounded_and_clipped():
    image = np.array([[-0.1, 0.0, 0.5, 1.0, 1.2, 0.49999 / 255, 254.51 / 255]], np.float32)
    for channels in (1, 3):
        content = encode_png(tf.constant(np.repeat(image[..., None], channels, -1))).numpy()
        expected = np.array([[0, 0, 128, 255, 255, 0, 255]], np.uint8)
        decoded = from_file(content).reshape(1, 7, channels)
        np.testing.assert_array_equal(decoded, np.repeat(expected[..., None], channels, -1))
