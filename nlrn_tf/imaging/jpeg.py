"""What is damaged in a JPEG file, by libjpeg's own words, and by what libjpeg does not look at."""

import re
from collections.abc import Iterator

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF markers
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_ARITHMETIC = range(0xC9, 0xD0)
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
# What ends the data of a scan: a marker, other than a restart or a stuffed byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

# Progressive files have about ten scans; each costs the decoder a pass over all the pixels.
MAX_SCANS = 100
# A block of 64 pixels takes two Huffman codes of a bit, of which a quarter is left for blocks that
# progressive files and subsampling save.
_PIXELS_PER_BYTE = 2048


def size_of_jpeg(content: bytes) -> tuple[int, int]:
    """Width and height by the header, in pixels. Raises ValueError where there is none."""
    for marker, segment in _segments(content):
        if marker in _FRAMES and len(segment) >= 6:
            return int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big")
    raise ValueError("its header is damaged")


def damage_of_jpeg(content: bytes) -> str | None:
    """What of a JPEG file is missing or was changed, as far as can be told.

    libjpeg goes on after whatever is wrong with the data, with a warning; it has none for scans
    that are missing. Changed data that are valid still are not noticed: there are no checksums.
    """
    problem = _incomplete(content)
    if problem:
        return problem
    import simplejpeg  # only JPEG files need it

    try:
        simplejpeg.decode_jpeg(content, "GRAY", strict=True)
    except ValueError as error:
        return str(error)
    return None


def _incomplete(content: bytes) -> str | None:
    """Why the scans do not make a whole image."""
    scans = 0
    missing: dict[int, set[int]] = {}  # coefficients by component
    is_progressive = False
    for marker, segment in _segments(content):
        if marker in _FRAMES and not missing:
            is_progressive = marker in _PROGRESSIVE
            missing = {identity: {*range(64)} for identity in segment[6::3]}
            pixels = int.from_bytes(segment[1:3], "big") * int.from_bytes(segment[3:5], "big")
            if marker not in _ARITHMETIC and pixels > _PIXELS_PER_BYTE * len(content):
                return f"{len(content)} bytes are too few for {pixels} pixels"
        elif marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                return f"more than {MAX_SCANS} scans"
            _take_off(missing, segment, is_progressive)
    return "scans are missing" if not scans or any(missing.values()) else None


def _take_off(missing: dict[int, set[int]], segment: bytes, is_progressive: bool) -> None:
    """Takes the coefficients whose last bits are in a scan off those that are missing."""
    count = segment[0] if segment else 0
    if len(segment) < 4 + 2 * count:
        return
    first, last, bits = segment[1 + 2 * count :][:3]
    is_whole = not is_progressive
    for identity in segment[1 : 1 + 2 * count : 2]:
        if is_whole:
            missing[identity] = set()
        elif bits & 15 == 0:
            missing.get(identity, set()).difference_update(range(first, last + 1))


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment up to the end of the image."""
    place = 0
    while place + 2 <= len(content):
        if content[place] != 0xFF:
            found = _MARKER.search(content, place)
            if found is None:
                return
            place = found.start()
        marker = content[place + 1]
        place += 1 if marker == 0xFF else 2
        if marker == 0xFF or marker in _ALONE:
            continue
        if marker == _EOI:
            return
        length = int.from_bytes(content[place : place + 2], "big")
        segment = content[place + 2 : place + length]
        place += max(length, 2)
        yield marker, segment
        if marker == _SOS:
            found = _MARKER.search(content, place)
            place = len(content) if found is None else found.start()
