"""The value of white in an image of more than 8 bits.

Of 16 bits it is lower where a camera of fewer bits wrote it; floats and other whole numbers have
none of their own.

Restoring needs it: a network sees values over white, and noise is told in 255ths of white.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from nlrn_tf.errors import NLRNError

FULL = 65535
_UNIT = 1.0  # white of floats that are made for pictures
_NOISE = 1.5, 1.25  # how far noise takes floats over white: over 1, and over that of bits
_LEAST_OF_UNIT = 1 / 16  # darker floats are of another range
_BELOW_BLACK = 1 / 4  # of white: how far noise takes values below black
BITS = (8, 10, 12, 14)  # of cameras and converters; 8 in 16 is what a change of type leaves

# Tags of TIFF 6.0 and of DNG 1.0.
_MAX_SAMPLE_VALUE, _WHITE_LEVEL = 281, 50717
WHITE_TAGS = (_WHITE_LEVEL, _MAX_SAMPLE_VALUE)


@dataclasses.dataclass(frozen=True)
class WhiteLevel:
    """White and black in an image.

    Attributes:
      value: of white; 1 to 65535 of uint16.
      is_guess: whether it was judged by the values alone and is not that of the type.
      reason: how it was found, as a clause for a message.
      black: the value of black, which is 0 unless there are values far below.
    """

    value: float
    is_guess: bool
    reason: str
    black: float = 0

    def __or__(self, other: "WhiteLevel") -> "WhiteLevel":
        """That of two pictures which belong together: the highest white, the lowest black."""
        higher = other if other.value > self.value else self
        return dataclasses.replace(higher, black=min(self.black, other.black))


def level_of(image: np.ndarray, tags: Mapping[int, object] | None = None) -> WhiteLevel | None:
    """White of an image of any type; None of uint8, whose white is 255.

    Floats are taken for 0 to 1 where they are about that, else for the smallest of 8, 10, 12, 14
    and 16 bits that holds them, and so are whole numbers of other types. Where nothing fits, the
    highest value is white. Values below 0, of floats far below, make the lowest
    one black.

    Args:
      image: `[H, W]` or `[H, W, C]`; alpha as the last of 2 or 4 channels of uint16 is left out.
      tags: see `white_level`.
    """
    if image.dtype == np.uint8:
        return None
    if image.dtype == np.uint16:
        return white_level(image, tags)
    lowest, highest = float(image.min()), float(image.max())
    is_float = image.dtype.kind == "f"
    if is_float and _LEAST_OF_UNIT <= highest <= _NOISE[0] and lowest >= -_BELOW_BLACK:
        return WhiteLevel(_UNIT, False, "its values are about 0 to 1")
    over = _NOISE[1] if is_float else 1
    whites = (2**bits - 1 for bits in (*BITS, 16))
    white = next((white for white in whites if _NOISE[0] < highest <= over * white), None)
    least = -_BELOW_BLACK * white if white and is_float else 0
    if white is not None and lowest >= least:
        return WhiteLevel(white, True, f"its values are those of {white.bit_length()} bits")
    black = 0.0 if lowest >= 0 or -_BELOW_BLACK * highest <= lowest < 0 < highest else lowest
    value = highest if highest > black else black + 1
    return WhiteLevel(_whole(value), True, "its highest value", _whole(black))


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def white_level(image: np.ndarray, tags: Mapping[int, object] | None = None) -> WhiteLevel:
    """White by the tags of the file where they tell, else guessed from the values.

    The guess is the smallest of 8, 10, 12, 14 and 16 bits that holds all values. Values that are
    all multiples of 4, or of 257, were stretched to 16 bits already: their white is 65535.

    A dark image of true 16 bits, with nothing above a quarter of white, is taken for 14 bits or
    fewer. No value is clipped by that, and the noise estimated at the guessed white is right; only
    a level given by hand in 255ths of 65535 is then too low by the factor between the two whites.
    The other mistake would be the worse: at 65535 the picture of a 12-bit camera lies in the
    lowest sixteenth, and a level given for it takes away the picture with the noise.

    Args:
      image: uint16 `[H, W]`, `[H, W, 1]` or `[H, W, 3]`, or with alpha as the last of 2 or 4
        channels, which is left out.
      tags: TIFF tags by number. WhiteLevel of DNG is believed, and MaxSampleValue where it is one
        less than a power of two; either only if no value is above it.

    Raises:
      NLRNError: the image is not uint16 or is empty.
    """
    image = np.asarray(image)
    if image.dtype != np.uint16 or image.size == 0:
        raise NLRNError(f"image of {image.dtype} {image.shape}: a white level is of uint16 pixels")
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image = image[..., :-1]
    highest = int(image.max())
    told = _of_tags(tags or {}, highest)
    if told is not None:
        return WhiteLevel(told, False, "by the tags of the file")
    if highest == 0 or _is_stretched(image):
        return WhiteLevel(FULL, False, "its values are spread over 16 bits")
    for bits in BITS:
        white = 2**bits - 1
        if highest <= white:
            return WhiteLevel(white, True, f"no value is above {white}, as of {bits} bits")
    return WhiteLevel(FULL, False, "it has values of 16 bits")


def _of_tags(tags: Mapping[int, object], highest: int) -> int | None:
    """The largest value that a tag tells for the channels, if it can be true."""
    for tag in WHITE_TAGS:
        try:
            value = int(np.max(np.asarray(tags[tag], float)))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        # Some writers put the highest value of the picture into MaxSampleValue.
        is_white = tag == _WHITE_LEVEL or (value + 1) & value == 0
        if is_white and max(highest, 1) <= value <= FULL:
            return value
    return None


def _is_stretched(image: np.ndarray) -> bool:
    """Whether fewer bits were moved to the top of 16, or 8 bits multiplied by 257."""
    used = int(np.bitwise_or.reduce(image, axis=None))
    return used & 3 == 0 or not (image % 257).any()
