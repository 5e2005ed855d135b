"""The directories of a TIFF file as they are stored, and one page of many as a file of its own.

Terms and numbers are those of TIFF 6.0, and of BigTIFF for files above 4 GiB. Nothing is read but
what is asked for, so that a stack need not fit into memory.
"""

import dataclasses
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

MAX_DIRECTORIES = 10_000
_MOST_ENTRIES = 65535  # of a directory; BigTIFF has 8 bytes for their number
_MOST_BYTES_OF_A_TAG = 64 << 20

NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE = 254, 258
REDUCED, MASK = 1, 4  # bits of it
_LOOKED_AT = 16  # entries of a directory; they are sorted, and few tags are lower

# Bytes of the kinds of numbers (BYTE, ASCII, SHORT, ...; 13 and 16 to 18 are of offsets).
_SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8},
    **{13: 4, 16: 8, 17: 8, 18: 8},
}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_LONG, _LONG8 = 4, 16

# Where the strips or tiles are, and how long; the latter of each.
_PLACES = {273: 279, 324: 325}
# They point to other places of the file: SubIFDs, EXIF, GPS, interoperability.
_ELSEWHERE = (330, 34665, 34853, 40965)
_OLD_JPEG = range(512, 522)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How numbers of a kind of TIFF file are stored.

    Attributes:
      order: of bytes, "<" or ">".
      count, offset: types of the number of entries and of a place, for `struct`.
      first: where the place of the first directory is.
      entry: bytes of an entry.
    """

    order: str
    count: str
    offset: str
    first: int
    entry: int

    @property
    def inline(self) -> int:
        """The bytes of a value that stand in its entry."""
        return struct.calcsize(self.order + self.offset)


@dataclasses.dataclass(frozen=True)
class Directory:
    """A directory: its entries by tag, as `(kind, count, value or place)`."""

    layout: Layout
    entries: dict[int, tuple[int, int, bytes]]

    @property
    def subfile_type(self) -> int:
        """NewSubfileType, by the first entries; 0 where there is none."""
        kind, _, field = self.entries.get(NEW_SUBFILE_TYPE, (0, 0, b""))
        return struct.unpack_from(self.layout.order + "I", field)[0] if kind else 0

    @property
    def bits(self) -> int:
        """BitsPerSample of the first channel, 64 where they stand elsewhere."""
        kind, count, field = self.entries.get(_BITS_PER_SAMPLE, (0, 0, b""))
        if not kind:
            return 1
        is_inline = _SIZES.get(kind, 1) * count <= self.layout.inline
        return struct.unpack_from(self.layout.order + "H", field)[0] if is_inline else 64

    @property
    def is_picture(self) -> bool:
        """Whether it is neither a thumbnail nor a mask."""
        return not self.subfile_type & (REDUCED | MASK)


def is_tiff(content: bytes) -> bool:
    """Whether a file begins as TIFF files do."""
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def layout_of(head: bytes) -> Layout:
    """How a file that begins so is stored."""
    order = "<" if head[:2] == b"II" else ">"
    big = Layout(order, "Q", "Q", 8, 20)
    return big if 43 in head[2:4] else Layout(order, "H", "I", 4, 12)


def directories(file: BinaryIO) -> Iterator[tuple[int, Directory]]:
    """Place and content of each directory in the chain.

    Raises:
      ValueError: they form a circle, lie outside the file or are too many.
    """
    layout = layout_of(_read(file, 0, 4))
    visited: set[int] = set()
    place = _number(file, layout.first, layout, layout.offset)
    while place:
        if place in visited or len(visited) == MAX_DIRECTORIES:
            circle = "form a circle" if place in visited else f"are over {MAX_DIRECTORIES}"
            raise ValueError(f"its directories {circle}")
        visited.add(place)
        directory, end = _directory(file, place, layout)
        yield place, directory
        place = _number(file, end, layout, layout.offset)


def directory_at(file: BinaryIO, place: int) -> Directory:
    """One directory. Raises ValueError where it lies outside the file."""
    return _directory(file, place, layout_of(_read(file, 0, 4)))[0]


def page_alone(
    file: BinaryIO, directory: Directory, most_bytes: int, shift: int = 0, length: int | None = None
) -> bytes:
    """A file with one page of another, its tags as they are.

    Args:
      file: the other.
      directory: of the page.
      most_bytes: that its pixels may take as they are stored.
      shift: by which its strips are further on, in files with one directory for several pages.
      length: of a page without compression, where a strip may be told to have all of them.

    Raises:
      ValueError: tags or strips lie outside the file or are too long.
    """
    layout, kept = directory.layout, dict(directory.entries)
    for tag in (*_ELSEWHERE, *_OLD_JPEG):
        kept.pop(tag, None)
    values = {tag: (kind, value_of(file, layout, kept[tag])) for tag, (kind, *_) in kept.items()}
    places_tag = next((tag for tag in _PLACES if tag in values), 0)
    lengths_tag = _PLACES.get(places_tag, 0)
    if lengths_tag not in values:
        raise ValueError("the places or lengths of its strips are missing")
    places = [place + shift for place in _numbers(layout, values[places_tag])]
    lengths = _numbers(layout, values[lengths_tag])
    if length is not None:
        lengths = [min(each, length) for each in lengths]
    if len(places) != len(lengths):
        raise ValueError(f"places of {len(places)} strips, and lengths of {len(lengths)}")
    if sum(lengths) > min(most_bytes, file.seek(0, os.SEEK_END)):
        raise ValueError(f"{sum(lengths)} bytes of pixels in a page")
    segments = [_read(file, *where) for where in zip(places, lengths, strict=True)]
    return assembled(layout, values, (places_tag, lengths_tag), segments)


def value_of(file: BinaryIO, layout: Layout, entry: tuple[int, int, bytes]) -> bytes:
    """The bytes of a tag. Raises ValueError where they lie outside the file or are too many."""
    kind, count, field = entry
    size = _SIZES.get(kind, 1) * count
    if size <= layout.inline:
        return field[:size]
    if size > _MOST_BYTES_OF_A_TAG:
        raise ValueError(f"a tag of {size} bytes")
    return _read(file, struct.unpack(layout.order + layout.offset, field)[0], size)


def assembled(
    layout: Layout,
    values: dict[int, tuple[int, bytes]],
    segment_tags: tuple[int, int],
    segments: list[bytes],
) -> bytes:
    """A file with one directory at its beginning, then its values and its strips or tiles."""
    is_big = layout.inline == 8
    whole = _LONG8 if is_big else _LONG
    head = {"<": b"II", ">": b"MM"}[layout.order]
    start = 16 if is_big else 8
    head += struct.pack(
        layout.order + ("HHHQ" if is_big else "HI"), *((43, 8, 0, 16) if is_big else (42, 8))
    )
    count = f"{len(segments)}{layout.offset}"
    lengths = struct.pack(layout.order + count, *map(len, segments))
    values = {**values, segment_tags[0]: (whole, lengths), segment_tags[1]: (whole, lengths)}
    behind = start + struct.calcsize(layout.order + layout.count) + len(values) * layout.entry
    behind += layout.inline
    outside = sum(len(value) for _, value in values.values() if len(value) > layout.inline)
    place, places = behind + outside, []
    for segment in segments:
        places.append(place)
        place += len(segment)
    values[segment_tags[0]] = (whole, struct.pack(layout.order + count, *places))
    table, tail = [struct.pack(layout.order + layout.count, len(values))], []
    for tag, (kind, value) in sorted(values.items()):
        table.append(struct.pack(layout.order + "HH", tag, kind))
        number = len(value) // _SIZES.get(kind, 1)
        table.append(struct.pack(layout.order + layout.offset, number))
        if len(value) <= layout.inline:
            table.append(value.ljust(layout.inline, b"\0"))
            continue
        table.append(struct.pack(layout.order + layout.offset, behind))
        tail.append(value)
        behind += len(value)
    return b"".join([head, *table, bytes(layout.inline), *tail, *segments])


def _directory(file: BinaryIO, place: int, layout: Layout) -> tuple[Directory, int]:
    """A directory and where it ends."""
    count = _number(file, place, layout, layout.count)
    if count > _MOST_ENTRIES:
        raise ValueError("a directory lies outside the file")
    start = place + struct.calcsize(layout.order + layout.count)
    raw = _read(file, start, count * layout.entry)
    entries: dict[int, tuple[int, int, bytes]] = {}
    for entry in range(0, len(raw), layout.entry):
        tag, kind, number = struct.unpack_from(f"{layout.order}HH{layout.offset}", raw, entry)
        field = raw[entry + layout.entry - layout.inline : entry + layout.entry]
        if tag != NEW_SUBFILE_TYPE or entry < _LOOKED_AT * layout.entry:
            entries.setdefault(tag, (kind, number, field))
    return Directory(layout, entries), start + len(raw)


def _number(file: BinaryIO, place: int, layout: Layout, kind: str) -> int:
    kind = layout.order + kind
    return struct.unpack(kind, _read(file, place, struct.calcsize(kind)))[0]


def _numbers(layout: Layout, value: tuple[int, bytes]) -> list[int]:
    kind, raw = value
    if kind not in _NUMBERS:
        raise ValueError("places of strips that are no whole numbers")
    return list(struct.unpack(f"{layout.order}{len(raw) // _SIZES[kind]}{_NUMBERS[kind]}", raw))


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    """Raises ValueError where it is not in the file."""
    if place + size > file.seek(0, os.SEEK_END):  # before room is made for it
        raise ValueError("a directory, a tag or a strip lies outside the file")
    file.seek(place)
    return file.read(size)
