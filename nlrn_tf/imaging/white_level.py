"""The value of white in a 16-bit image, which is lower where a camera of fewer bits wrote it.

Restoring needs it: a network sees values over white, and noise is told in 255ths of white.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from nlrn_tf.errors import NLRNError

FULL = 65535
BITS = (8, 10, 12, 14)  # of cameras and converters; 8 in 16 is what a change of type leaves

# Tags of TIFF 6.0 and of DNG 1.0.
_MAX_SAMPLE_VALUE, _WHITE_LEVEL = 281, 50717
WHITE_TAGS = (_WHITE_LEVEL, _MAX_SAMPLE_VALUE)


@dataclasses.dataclass(frozen=True)
class WhiteLevel:
    """White in a 16-bit image.

    Attributes:
      value: 1 to 65535.
      is_guess: whether it was judged by the values alone and is not that of the type.
      reason: how it was found, as a clause for a message.
    """

    value: int
    is_guess: bool
    reason: str


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
