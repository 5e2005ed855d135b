"""Files damaged at random, by what disks, networks and editors of bytes do to them.

A mutation takes the bytes of a file and a generator of random numbers, and gives other bytes. It
knows no format: numbers of 1 to 8 bytes anywhere may be lengths, counts or offsets.
"""

import numpy as np

# Where headers and tables of contents are: half of all positions are taken near the two ends.
_NEAR = 256
_TELLING_BYTES = (0x00, 0x01, 0x02, 0x7F, 0x80, 0xFE, 0xFF)


def mutated(content: bytes, seed: int, other: bytes = b"") -> bytes:
    """`content` after one to three mutations, the same for the same seed.

    Args:
      content: of the file, not empty.
      seed: 0 or more.
      other: of another file of the same format, parts of which may be spliced in; by default the
        file itself.

    Returns:
      Bytes that differ from `content`, perhaps none.
    """
    rng = np.random.default_rng(seed)
    result = content
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mutation = MUTATIONS[rng.integers(len(MUTATIONS))]
        if result:
            result = mutation(result, rng, other or content)
    return result if result != content else flip_bits(content, rng, other)


def flip_bits(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Flips 1 to 8 bits."""
    result = bytearray(content)
    flips = {(_position(content, rng), int(rng.integers(8))) for _ in range(rng.integers(1, 9))}
    for place, bit in flips:
        result[place] ^= 1 << bit
    return bytes(result)


def set_bytes(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Sets 1 to 4 bytes to values at the ends of ranges."""
    result = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        result[_position(content, rng)] = rng.choice(_TELLING_BYTES)
    return bytes(result)


def zero_range(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """A part that was never written."""
    start, end = _range(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def randomize_range(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """A part that was overwritten."""
    start, end = _range(content, rng)
    return content[:start] + rng.bytes(end - start) + content[end:]


def truncate(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Cuts the end off."""
    return content[: rng.integers(len(content))]


def cut_range(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Cuts a part out, so that the end comes too early."""
    start, end = _range(content, rng)
    return content[:start] + content[end:]


def duplicate_range(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Has a part twice."""
    start, end = _range(content, rng)
    return content[:end] + content[start:end] + content[end:]


def move_range(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Overwrites a part with another part."""
    start, end = _range(content, rng)
    part = content[start:end]
    place = _position(content, rng)
    return content[:place] + part + content[place + len(part) :]


def splice(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """The beginning of one file and the end of another, or a part of another in between."""
    start, end = _range(other, rng)
    place = _position(content, rng)
    if rng.integers(2):
        return content[:place] + other[min(place, len(other)) :]
    return content[:place] + other[start:end] + content[place + end - start :]


def edit_number(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Changes what may be a length, a count or an offset."""
    size = int(rng.choice([1, 2, 4, 4, 8]))
    order = ("little", "big")[rng.integers(2)]
    place = min(_position(content, rng), max(len(content) - size, 0))
    value = int.from_bytes(content[place : place + size], order)
    values = (
        *(0, 1, 2, value - 1, value + 1, 2 * value, value // 2, value << 8, value >> 8),
        *(place, max(place - 2, 0), len(content), len(content) - 1, int(rng.integers(1 << 16))),
        *(2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1, 30_000, 10**6),
    )
    new = values[rng.integers(len(values))] % 2 ** (8 * size)
    return content[:place] + new.to_bytes(size, order) + content[place + size :]


MUTATIONS = (
    flip_bits,
    set_bytes,
    zero_range,
    randomize_range,
    truncate,
    cut_range,
    duplicate_range,
    move_range,
    splice,
    edit_number,
    edit_number,  # it has the most kinds of victims
)


def _position(content: bytes, rng: np.random.Generator) -> int:
    where, size = rng.integers(4), len(content)
    if where == 0:
        return int(rng.integers(min(size, _NEAR)))
    if where == 1:
        return int(size - 1 - rng.integers(min(size, _NEAR)))
    return int(rng.integers(size))


def _range(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """A part of at least a byte: of any size, most are short."""
    start = _position(content, rng)
    longest = len(content) - start
    length = int(np.exp(rng.uniform(0, np.log(longest)))) if longest > 1 else 1
    return start, start + max(length, 1)
