"""Image files damaged in ways that have been met, or made to harm."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile

from tests.support.image_files import picture

# Adam7: first column and row, steps.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def jpeg_with_looping_exif() -> bytes:
    """A black JPEG whose EXIF directory is followed by itself."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\x08\0\0\0"
    body = b"Exif\0\0" + tiff
    sound = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    return sound[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + sound[2:]


def looping_tiff(length: int = 1, bigtiff: bool = False) -> tuple[bytes, np.ndarray]:
    """A TIFF file of `length` pages, the last of which is followed by the first."""
    content = io.BytesIO()
    with tifffile.TiffWriter(content, bigtiff=bigtiff) as file:
        for _ in range(length):
            file.write(picture(), photometric="rgb", metadata=None)
    with tifffile.TiffFile(io.BytesIO(content.getvalue())) as file:
        offsets = [page.offset for page in file.pages]
    changed = bytearray(content.getvalue())
    count, entry, offset = ("<Q", 20, "<Q") if bigtiff else ("<H", 12, "<I")
    (entries,) = struct.unpack_from(count, changed, offsets[-1])
    link = offsets[-1] + struct.calcsize(count) + entry * entries
    struct.pack_into(offset, changed, link, offsets[0])
    return bytes(changed), picture()


def zeroed_strip(content: bytes) -> bytes:
    """A TIFF file with zeros in the second half of its first strip."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        start, size = page.dataoffsets[0], page.databytecounts[0]
    middle = start + size // 2
    return content[:middle] + bytes(start + size - middle) + content[start + size :]


def closed_half(content: bytes) -> bytes:
    """The first half of a JPEG file, with a marker of its end."""
    return content[: len(content) // 2] + b"\xff\xd9"


def without_last_scans(content: bytes, count: int) -> bytes:
    """A progressive JPEG file that ends before its last scans."""
    for _ in range(count):
        content = content[: content.rindex(b"\xff\xda")]
    return content + b"\xff\xd9"


def png_of_rows(pixels, change=lambda packed: packed, *, interlaced=False) -> bytes:
    """A PNG file of uint8 RGB whose packed pixels were changed before the checksum was taken."""
    height, width = pixels.shape[:2]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        b"\0" + row.tobytes()
        for left, top, across, down in passes
        for row in pixels[top::down, left::across]
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(interlaced))
    chunks = ((b"IHDR", header), (b"IDAT", change(zlib.compress(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def with_size(content: bytes, suffix: str, side: int) -> bytes:
    """A file that claims to have `side` x `side` pixels, all else being as it was."""
    changed = bytearray(content)
    match suffix:
        case ".png":
            struct.pack_into(">II", changed, 16, side, side)
            struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
        case ".jpg":
            struct.pack_into(">HH", changed, content.index(b"\xff\xc0") + 5, side, side)
        case ".bmp":
            struct.pack_into("<ii", changed, 18, side, side)
        case ".webp":  # lossless
            bits = int.from_bytes(content[21:25], "little") >> 28 << 28
            changed[21:25] = (bits | (side - 1) << 14 | (side - 1)).to_bytes(4, "little")
        case ".tif":
            with tifffile.TiffFile(io.BytesIO(content)) as file:
                tags = file.pages.first.tags
                layout = {3: "<H", 4: "<I"}
                for code in (256, 257):
                    tag = tags[code]
                    struct.pack_into(layout[int(tag.dtype)], changed, tag.valueoffset, side)
    return bytes(changed)
