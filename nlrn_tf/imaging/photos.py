"""Photos: what people bring, as pixels and what belongs to them, from the bytes of a file."""

import dataclasses

import cv2
import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging import apart
from nlrn_tf.imaging.channels import Channels, channels_of, interpreted
from nlrn_tf.imaging.decoding import (
    decode,
    decode_by_pillow,
    decode_damaged,
    format_of,
    is_beyond_opencv,
)
from nlrn_tf.imaging.directories import is_tiff
from nlrn_tf.imaging.further_formats import further_format
from nlrn_tf.imaging.kept import Kept, read_kept
from nlrn_tf.imaging.metadata import ImageMetadata, read_metadata
from nlrn_tf.imaging.png import GREY
from nlrn_tf.imaging.tiff import first_page
from nlrn_tf.imaging.tiff_tags import KeptTags, kept_tags
from nlrn_tf.imaging.white_level import WhiteLevel, level_of

_MOST_OF_16_BITS = 65535


@dataclasses.dataclass(frozen=True)
class Photo:
    """An image file as it was brought, or a page of one.

    Attributes:
      pixels: `[H, W]` or RGB `[H, W, 3]`, with straight alpha `[H, W, 2]` or `[H, W, 4]`; uint8 or
        uint16, of TIFF files also other whole numbers and floats. Or `[H, W, C]` of `groups`.
      icc_profile: its colour profile where it has one that fits the pixels.
      white: the value of white, which is lower than 65535 where a camera of fewer bits wrote it;
        None of 8 bits.
      damage: what is wrong with the file; None of a sound one.
      groups: where `pixels` are several pictures one behind the other, as those of a microscope:
        how many channels each has, such as `(1, 1)`; else empty.
      tags: of a TIFF page, what a copy keeps besides, where others rely on it.
      kept: its resolution, gamma and EXIF.
    """

    pixels: np.ndarray
    icc_profile: bytes | None = None
    white: WhiteLevel | None = None
    damage: str | None = None
    groups: tuple[int, ...] = ()
    tags: KeptTags | None = None
    kept: Kept = dataclasses.field(default_factory=Kept)

    @property
    def pictures(self) -> list[np.ndarray]:
        """The pixels of each of the `groups`, or of the one picture."""
        if not self.groups:
            return [self.pixels]
        ends = np.cumsum(self.groups)
        parts = np.split(self.pixels, ends[:-1], axis=-1)
        return [part[..., 0] if part.shape[2] == 1 else part for part in parts]


def photo_of(content: bytes, accept_damaged: bool = False) -> Photo:
    """The photo in a file whose size has been judged, or in the first page of a TIFF file.

    Raises:
      NLRNError: it is damaged and that is not accepted, or of a kind that is not supported. The
        message does not name the file.
      ValueError, cv2.error: it cannot be decoded.
    """
    form = format_of(content)
    damage = form.damage(content)
    if damage and not accept_damaged:
        raise NLRNError(f"is damaged ({damage}); accept_damaged=True restores what is there")
    channels, metadata = Channels(), read_metadata(content)
    is_large = is_beyond_opencv(*form.size(content))
    if is_tiff(content):
        channels = channels_of(content, *first_page(content), is_large)
    if channels.problem:
        raise NLRNError(channels.problem)
    if channels.by_samples:
        if damage:
            raise NLRNError(f"is damaged ({damage}), and nothing can be read of this kind then")
        page, _ = first_page(content)
        pixels, profile = metadata.turn_samples(interpreted(content, page, channels)), b""
    else:
        by_pillow = is_large or channels.by_pillow
        pixels, profile = _decoded(content, metadata, damage, by_pillow)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise NLRNError("has values that are no numbers (NaN or infinite); replace them first")
    profile = metadata.icc_profile or profile
    white_tags = metadata.white_tags
    space = b"GRAY" if pixels.ndim == 2 or pixels.shape[2] == 2 else b"RGB "
    return Photo(
        np.ascontiguousarray(pixels),
        profile if profile[16:20] == space else None,
        level_of(pixels.reshape(len(pixels), -1) if channels.groups else pixels, white_tags),
        damage,
        channels.groups,
        _tags_of(content, pixels, channels),
        read_kept(content),
    )


def _tags_of(content: bytes, pixels: np.ndarray, channels: Channels) -> KeptTags | None:
    """What a copy must keep for others to understand it; other metadata are left out."""
    if not is_tiff(content):
        return None
    tags = kept_tags(content)
    is_plain = pixels.dtype in (np.uint8, np.uint16) and not channels.groups
    return None if is_plain and not tags.names_axes else tags


def _decoded(
    content: bytes, metadata: ImageMetadata, damage: str | None, by_pillow: bool
) -> tuple[np.ndarray, bytes]:
    """Upright pixels in the order of RGB, and the profile that only the decoder has found."""
    if further_format(content):
        pixels, profile = apart.judged_with_profile(content)
        return _without_empty_alpha(content, pixels), profile
    if not damage and (by_pillow or metadata.transparent_level):
        return _without_empty_alpha(content, _by_pillow(content)), b""
    stored = decode_damaged(content) if damage else decode(content)
    pixels = _upright(content, stored, metadata)
    if metadata.white_is_zero and pixels.dtype == np.uint16:
        pixels = _MOST_OF_16_BITS - pixels
    return _without_empty_alpha(content, pixels), b""


def _by_pillow(content: bytes) -> np.ndarray:
    """What OpenCV does not read. Raises NLRNError where Pillow would drop bits."""
    if format_of(content).name == "PNG" and content[24] == 16:
        if content[25] == GREY:
            raise NLRNError("has 16 bits and a transparent level; give it an alpha channel first")
        raise NLRNError("has 16 bits and is too large for a PNG file of such; save it as .tif")
    return decode_by_pillow(content)


def _upright(content: bytes, stored: np.ndarray, metadata: ImageMetadata) -> np.ndarray:
    """OpenCV's pixels in the order of RGB, turned, and without an alpha that the file has not."""
    if stored.ndim == 2:
        return metadata.turn_upright(stored)
    if stored.shape[2] == 3:
        return metadata.turn_upright(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB))
    if metadata.cmyk:
        return cv2.cvtColor(stored, cv2.COLOR_BGRA2RGB)
    if metadata.straight_alpha and stored.dtype == np.uint8:
        return decode_by_pillow(content)
    pixels = metadata.turn_upright(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA))
    return pixels[..., [0, 3]] if metadata.grey_with_alpha else pixels


def _without_empty_alpha(content: bytes, pixels: np.ndarray) -> np.ndarray:
    """Without an alpha that is zero everywhere, in formats that often leave it empty."""
    is_often_empty = format_of(content).name in ("BMP", "Targa")
    if not is_often_empty or pixels.ndim == 2 or pixels.shape[2] not in (2, 4):
        return pixels
    return pixels if pixels[..., -1].any() else pixels[..., :-1]
