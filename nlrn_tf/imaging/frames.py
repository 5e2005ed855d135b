"""How many pictures there are in a file that is no TIFF file: the frames of animations."""

import io

import PIL.Image

from nlrn_tf.errors import reason_of
from nlrn_tf.imaging.png import SIGNATURE, frames_of_png

_GIF_HEAD, _GIF_PALETTE = 13, 0x80  # bytes, and the bit that a palette follows
_EXTENSION, _FRAME = 0x21, 0x2C  # what blocks of a GIF file begin with
_WEBP_ANIMATION = 2  # a bit of the flags


def num_frames(content: bytes) -> int:
    """The number of frames; 1 of a file that is no animation.

    Raises:
      ValueError: what they are cannot be read.
    """
    if content.startswith(SIGNATURE):
        return frames_of_png(content)
    if content.startswith(b"RIFF") and content[12:16] == b"VP8X":
        is_animation = content[20:21] and content[20] & _WEBP_ANIMATION
        return max(content.count(b"ANMF"), 1) if is_animation else 1
    if content[:4] == b"GIF8":
        return _frames_of_gif(content)
    if content[4:8] == b"ftyp":
        return _frames_of_boxes(content)
    return 1


def _frames_of_gif(content: bytes) -> int:
    """By the blocks, up to the end or to what is no block."""
    count = 0
    place = _GIF_HEAD + _palette(content, _GIF_HEAD - 3)
    while place < len(content):
        if content[place] == _FRAME:
            count += 1
            place += 11 + _palette(content, place + 9)
        elif content[place] == _EXTENSION:
            place += 2
        else:
            break
        while place < len(content) and content[place]:  # parts, the last of which is empty
            place += 1 + content[place]
        place += 1
    return max(count, 1)


def _palette(content: bytes, place: int) -> int:
    """Bytes of the palette that the flags at a place announce."""
    flags = content[place] if place < len(content) else 0
    return 3 * 2 ** (1 + (flags & 7)) if flags & _GIF_PALETTE else 0


def _frames_of_boxes(content: bytes) -> int:
    """Of AVIF, and of HEIC where its package is there."""
    try:
        if b"avif" in content[:64] or b"avis" in content[:64]:
            with PIL.Image.open(io.BytesIO(content)) as image:
                return getattr(image, "n_frames", 1)
        import pillow_heif

        return len(pillow_heif.open_heif(io.BytesIO(content)))
    except MemoryError:
        raise
    except Exception as error:  # of many types, by where the damage is
        raise ValueError(reason_of(error)) from error
