"""PNG files as chunks: what is damaged in them, and the file without what pixels do not need.

Terms and numbers are those of the PNG specification, third edition.
"""

import contextlib
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, PALETTE, GREY_WITH_ALPHA = 0, 3, 4  # colour types

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_TRANSPARENT = {0: (2,), 2: (6,), 3: range(1, 257)}  # lengths of tRNS
# The passes of Adam7: first column and row, steps to the next.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TOLD = (b"iCCP", b"eXIf")
_HEADER = len(SIGNATURE) + 25  # bytes up to the end of IHDR
_NUM_FILTERS = 5
_PIECE, _BLOCK = 1 << 16, 1 << 20  # bytes unpacked in one go, and what may come of them


def damage_of_png(content: bytes) -> str | None:
    """What of a PNG file is missing or was changed; libpng would print about it.

    A needed chunk that is cut off or has a wrong checksum, pixels that do not unpack to the size
    in the header. Other chunks, such as texts, may be damaged.
    """
    found: dict[bytes, list[bytes]] = {}
    kind = b""
    for kind, data, is_sound in _chunks(content):
        if not kind.isalpha():
            return "a chunk without a name"
        if kind[:1].isupper() and not is_sound:
            return f"wrong checksum of {kind.decode('latin-1')}"
        if (kind == b"IHDR") != (not found) or (kind in (b"PLTE", b"tRNS") and b"IDAT" in found):
            return f"{kind.decode('latin-1')} is at a wrong place"
        found.setdefault(kind, []).append(data)
    if kind != b"IEND":
        return "its end is missing"
    header, packed = found[b"IHDR"][0], found.get(b"IDAT", [])
    if not _is_header(header) or not _is_palette(header, found):
        return "its header is damaged"
    try:
        return _damage_of_rows(packed, header)
    except zlib.error as error:
        return f"its pixels cannot be unpacked: {error}"


def colours_of_png(content: bytes) -> int:
    """The number of colours in the palette of a sound file; 0 where pixels are no places in it."""
    if content[25] != PALETTE:
        return 0
    return next(len(data) // 3 for kind, data, _ in _chunks(content) if kind == b"PLTE")


def frames_of_png(content: bytes) -> int:
    """The number of pictures: more than 1 in an animation (APNG)."""
    kinds = [kind for kind, _, _ in _chunks(content)]
    if b"acTL" not in kinds[: kinds.index(b"IDAT") if b"IDAT" in kinds else None]:
        return 1
    is_apart = b"fcTL" not in kinds[: kinds.index(b"IDAT")] if b"IDAT" in kinds else False
    return max(kinds.count(b"fcTL") + is_apart, 1)


def needed_of_png(content: bytes) -> bytes:
    """The file with the chunks that its pixels need alone, of which libpng has nothing to say."""
    colour = content[25] if len(content) > 25 else 0
    kept = {kind for kind in _KEPT if kind != b"PLTE" or colour == PALETTE}
    parts = [SIGNATURE]
    parts += [_packed(kind, data) for kind, data, _ in _chunks(content) if kind in kept]
    return b"".join(parts)


def mended_png(content: bytes) -> bytes:
    """The file with zeros for the pixels that cannot be unpacked, as `needed_of_png`.

    Raises:
      ValueError: it has no header that makes sense.
    """
    chunks = [(kind, data) for kind, data, _ in _chunks(content) if kind in _KEPT]
    header = next((data for kind, data in chunks if kind == b"IHDR"), b"")
    if not _is_header(header):
        raise ValueError("its header is damaged")
    raw = _unpacked(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    rows = bytearray()
    for count, stride in _passes(header):
        whole = bytearray(raw[len(rows) : len(rows) + count * stride].ljust(count * stride, b"\0"))
        whole[::stride] = bytes(kind if kind < _NUM_FILTERS else 0 for kind in whole[::stride])
        rows += whole
    others = [(kind, data) for kind, data in chunks if kind not in (b"IDAT", b"IEND")]
    mended = [*others, (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return SIGNATURE + b"".join(_packed(kind, data) for kind, data in mended)


def told_by_png(content: bytes) -> bytes:
    """The file with its colour profile and its EXIF block where they are sound, without pixels."""
    parts = [SIGNATURE]
    for kind, data, is_sound in _chunks(content):
        if kind == b"IHDR" or (kind in _TOLD and is_sound):
            parts.append(_packed(kind, data))
    return b"".join([*parts, _packed(b"IDAT", b""), _packed(b"IEND", b"")])


def sound_chunks(content: bytes) -> dict[bytes, bytes]:
    """Type and data of the chunks before the pixels whose checksum is right; the first of each."""
    found: dict[bytes, bytes] = {}
    for kind, data, is_sound in _chunks(content):
        if kind == b"IDAT":
            break
        if is_sound:
            found.setdefault(kind, data)
    return found


def with_chunks(content: bytes, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The file with more chunks, each of type and data, after its header."""
    added = b"".join(_packed(kind, data) for kind, data in chunks)
    return content[:_HEADER] + added + content[_HEADER:]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Type, data, and whether the checksum is right, of each chunk up to IEND or the end."""
    start, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        kind, data, checksum = (
            content[start + 4 : start + 8],
            content[start + 8 : end],
            content[end : end + 4],
        )
        if len(checksum) < 4:
            return
        yield kind, data, zlib.crc32(data, zlib.crc32(kind)) == int.from_bytes(checksum, "big")
        start = end + 4


def _is_header(data: bytes) -> bool:
    known = len(data) == 13 and data[8] in _BITS.get(data[9], ())
    return known and data[10:12] == b"\0\0" and data[12] < 2


def _is_palette(header: bytes, found: Mapping[bytes, list[bytes]]) -> bool:
    """Whether the palette and the transparent colours are as the colour type wants them."""
    colour, palettes, transparent = header[9], found.get(b"PLTE", []), found.get(b"tRNS", [])
    if len(transparent) > 1 or any(
        len(data) not in _TRANSPARENT.get(colour, ()) for data in transparent
    ):
        return False
    if colour != PALETTE:
        return True
    entries = {len(data) / 3 for data in palettes}
    enough = entries <= {*range(1, 2 ** header[8] + 1)} and len(palettes) == 1
    return enough and all(len(data) <= max(entries) for data in transparent)


def _unpacked(packed: bytes) -> bytes:
    """As much of a damaged stream as can be had."""
    stream, raw = zlib.decompressobj(), bytearray()
    with contextlib.suppress(zlib.error):
        for byte in packed:
            raw += stream.decompress(bytes((byte,)))
    return bytes(raw)


def _packed(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return len(data).to_bytes(4, "big") + kind + data + checksum.to_bytes(4, "big")


def _damage_of_rows(packed: list[bytes], header: bytes) -> str | None:
    """Unpacks the rows piece by piece. Raises zlib.error."""
    stream = zlib.decompressobj()
    passes = _passes(header)
    raw = bytearray()
    for part in _parts(stream, b"".join(packed)):
        raw += part
        while passes and len(raw) >= passes[0][1]:
            missing, stride = passes[0]
            rows = min(missing, len(raw) // stride)
            if max(raw[: rows * stride : stride]) >= _NUM_FILTERS:
                return "wrong filter of a row"
            del raw[: rows * stride]
            passes[:1] = [(missing - rows, stride)] if rows < missing else []
        if raw and not passes:
            return "more pixels than its size"
    if passes or not stream.eof:
        return "pixels are missing"
    return "something follows its pixels" if stream.unused_data else None


def _parts(stream: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """What is unpacked, in parts of limited size."""
    for start in range(0, len(packed), _PIECE):
        piece = packed[start : start + _PIECE]
        while piece and not stream.eof:
            yield stream.decompress(piece, _BLOCK)
            piece = stream.unconsumed_tail


def _passes(header: bytes) -> list[tuple[int, int]]:
    """Rows, and bytes of a row with its filter, of each pass."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits = header[8] * _SAMPLES[header[9]]
    passes = []
    for left, top, across, down in _PASSES if header[12] else ((0, 0, 1, 1),):
        columns = math.ceil(max(width - left, 0) / across)
        rows = math.ceil(max(height - top, 0) / down)
        if columns and rows:
            passes.append((rows, 1 + math.ceil(columns * bits / 8)))
    return passes
