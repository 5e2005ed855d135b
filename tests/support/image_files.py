"""Image files of many kinds, made by the encoders that people use."""

import functools
import io
import zlib

import cv2
import numpy as np
import PIL.Image
import tifffile

HEIGHT, WIDTH = 40, 56
STACKS = ".stack.tif"  # TIFF files of several pictures, and of samples of all types


@functools.cache
def picture(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """A picture with large shapes and some noise; the last of 2 or 4 channels is alpha."""
    rng = np.random.default_rng(channels)
    coarse = rng.integers(0, 200, (5, 7, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noisy = smooth.reshape(HEIGHT, WIDTH, channels) + rng.integers(0, 40, (HEIGHT, WIDTH, channels))
    levels = np.clip(noisy, 0, 255).astype(np.uint8)
    return levels if dtype == np.uint8 else levels.astype(np.uint16) * 257 + 3


def by_opencv(suffix: str, channels: int, dtype: type = np.uint8, options=()) -> bytes:
    return cv2.imencode(suffix, picture(channels, dtype), [*options])[1].tobytes()


def by_pillow(kind: str, mode: str, **options) -> bytes:
    content = io.BytesIO()
    channels = 4 if mode in ("RGBA", "LA") else 3
    PIL.Image.fromarray(picture(channels)).convert(mode).save(content, kind, **options)
    return content.getvalue()


def by_pillow_heif(mode: str) -> bytes:
    import pillow_heif

    content = io.BytesIO()
    pillow_heif.from_pillow(PIL.Image.fromarray(picture(len(mode)))).save(content)
    return content.getvalue()


def by_tifffile(channels: int, dtype: type = np.uint8, **options) -> bytes:
    content = io.BytesIO()
    pixels = picture(channels, dtype)
    photometric = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(content, pixels.squeeze(), photometric=photometric, metadata=None, **options)
    return content.getvalue()


def stack(count: int = 3, dtype: type = np.uint16, **options) -> bytes:
    content = io.BytesIO()
    values = np.stack([picture(1, dtype)[..., 0] + number for number in range(count)])
    tifffile.imwrite(content, values, **options)
    return content.getvalue()


def of_channels(count: int, dtype: type = np.uint8, **options) -> bytes:
    content = io.BytesIO()
    values = np.dstack([picture(1, np.uint8)[..., 0] // (1 + each) for each in range(count)])
    values = np.moveaxis(values, -1, 0) if options.get("planarconfig") == "separate" else values
    tifffile.imwrite(content, values.astype(dtype).squeeze(), metadata=None, **options)
    return content.getvalue()


def turned(orientation: int = 6) -> PIL.Image.Exif:
    """An EXIF block with an orientation."""
    exif = PIL.Image.Exif()
    exif[0x112] = orientation
    exif[0x10F] = "A camera"
    return exif


def with_checksums(content: bytes) -> bytes:
    """A PNG file whose checksums are right again, so that damage lies behind them."""
    result, start = bytearray(content), 8
    while start + 12 <= len(result):
        end = start + 8 + int.from_bytes(result[start : start + 4], "big")
        result[end : end + 4] = zlib.crc32(result[start + 4 : end]).to_bytes(4, "big")
        start = end + 4
    return bytes(result[: len(content)])


@functools.cache
def files_of(suffix: str) -> tuple[bytes, ...]:
    """Sound files of a format, of different kinds; all can be read."""
    return {
        ".png": lambda: (
            by_opencv(".png", 3),
            by_opencv(".png", 1, np.uint16),
            by_opencv(".png", 4, np.uint16),
            by_pillow("PNG", "P", exif=turned()),
            by_pillow("PNG", "LA"),
            by_pillow("PNG", "1"),
        ),
        ".jpg": lambda: (
            by_opencv(".jpg", 3),
            by_opencv(".jpg", 1, options=(cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
            by_opencv(".jpg", 3, options=(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
            by_pillow("JPEG", "RGB", exif=turned(), quality=90, optimize=True),
            by_pillow("JPEG", "CMYK"),
        ),
        ".tif": lambda: (
            by_opencv(".tif", 3),
            by_pillow("TIFF", "RGB", exif=turned()),
            by_pillow("TIFF", "RGBA", compression="tiff_lzw"),
            by_pillow("TIFF", "RGB", compression="tiff_adobe_deflate"),
            by_pillow("TIFF", "RGB", compression="jpeg"),
            by_pillow("TIFF", "L", compression="packbits"),
            by_pillow("TIFF", "1", compression="group4"),
            by_tifffile(3, np.uint16, compression="zlib", predictor=True, rowsperstrip=8),
            by_tifffile(1, np.uint16, byteorder=">", tile=(16, 16)),
            by_tifffile(3, bigtiff=True, compression="zlib"),
        ),
        ".bmp": lambda: (
            by_opencv(".bmp", 3),
            by_opencv(".bmp", 1),
            by_pillow("BMP", "1"),
            by_pillow("BMP", "P"),
        ),
        ".webp": lambda: (
            by_opencv(".webp", 3, options=(cv2.IMWRITE_WEBP_QUALITY, 101)),
            by_opencv(".webp", 3, options=(cv2.IMWRITE_WEBP_QUALITY, 80)),
            by_pillow("WEBP", "RGBA", quality=80),
            by_pillow("WEBP", "RGB", lossless=True, exif=turned()),
        ),
        STACKS: lambda: (
            stack(imagej=True),
            stack(4, imagej=True, truncate=True, metadata={"axes": "ZYX", "Info": "a cell"}),
            stack(ome=True, photometric="minisblack", metadata={"axes": "ZYX"}),
            stack(photometric="minisblack", truncate=True, byteorder=">"),
            stack(dtype=np.float32, imagej=True),
            stack(2, np.uint8, photometric="minisblack", compression="zlib", bigtiff=True),
            of_channels(5, photometric="minisblack", planarconfig="contig"),
            of_channels(2, np.uint16, photometric="minisblack", planarconfig="separate"),
            of_channels(4, np.uint16, photometric="separated"),
            of_channels(3, photometric="cielab"),
            of_channels(1, np.int16, photometric="minisblack"),
            of_channels(3, np.float32, photometric="rgb", compression="zlib", predictor=False),
            cv2.imencode(".tif", picture().astype(np.float32), [cv2.IMWRITE_TIFF_PREDICTOR, 3])[
                1
            ].tobytes(),
        ),
        ".gif": lambda: (
            by_pillow("GIF", "RGB"),
            by_pillow("GIF", "L"),
            by_pillow("GIF", "P", transparency=3),
        ),
        ".avif": lambda: (by_pillow("AVIF", "RGB"), by_pillow("AVIF", "RGBA", quality=90)),
        ".jp2": lambda: (
            by_pillow("JPEG2000", "RGB"),
            by_pillow("JPEG2000", "L", irreversible=True),
            by_pillow("JPEG2000", "RGBA", no_jp2=True),
        ),
        ".heic": lambda: (by_pillow_heif("RGB"), by_pillow_heif("RGBA")),
        ".tga": lambda: (
            by_pillow("TGA", "RGB"),
            by_pillow("TGA", "RGBA", compression="tga_rle"),
            by_pillow("TGA", "L"),
        ),
    }[suffix]()


@functools.cache
def jpeg_of_camera() -> bytes:
    """A JPEG file that lies on its side, with EXIF as of a camera: place, thumbnail, notes."""
    exif = turned(6)
    exif[0x10E], exif[0x132], exif[0x13B] = "A picture", "2020:01:02 03:04:05", "Somebody"
    exif[0x8298] = "Nobody"
    exif[0x8769] = {
        0x829A: 0.005,
        0x9003: "2020:01:02 03:04:05",
        0x920A: 50.0,
        0xA002: WIDTH,
        0xA003: HEIGHT,
        37500: b"notes of the maker",
    }
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 8.0), 3: "E", 4: (8.0, 32.0, 30.0)}
    block = exif.tobytes()
    # A second directory, of a thumbnail, which the first leads to.
    start = 6 + int.from_bytes(block[10:14], "big")
    end = start + 2 + 12 * int.from_bytes(block[start : start + 2], "big")
    thumbnail = b"\xff\xd8THUMB\xff\xd9"
    place = len(block) - 6
    entries = [(0x201, 4, 1, place + 2 + 24 + 4), (0x202, 4, 1, len(thumbnail))]
    directory = len(entries).to_bytes(2, "big") + b"".join(
        tag.to_bytes(2, "big")
        + kind.to_bytes(2, "big")
        + count.to_bytes(4, "big")
        + value.to_bytes(4, "big")
        for tag, kind, count, value in entries
    )
    block = block[:end] + place.to_bytes(4, "big") + block[end + 4 :]
    content = io.BytesIO()
    PIL.Image.fromarray(picture()).save(
        content, "JPEG", exif=block + directory + bytes(4) + thumbnail
    )
    return content.getvalue()
