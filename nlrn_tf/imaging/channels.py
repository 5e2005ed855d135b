"""What the channels of a TIFF page mean, by its own tags: colours, alpha, or pictures of their own.

Most pages are read by OpenCV. Those that it would take for something else are read as samples
(`tiff_samples`) and understood here, or refused by the name of what they are.
"""

import dataclasses
import io
from typing import Any

import numpy as np
import tifffile

from nlrn_tf.imaging.directories import directory_at, layout_of, value_of
from nlrn_tf.imaging.lab import lab_to_rgb
from nlrn_tf.imaging.tiff_samples import BYTE_PACKINGS, packing, read_samples

# Photometric interpretations: of TIFF 6.0, its supplements, and of DNG.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR = 0, 1, 2, 3, 4, 5, 6
_CIELAB, _ICCLAB = 8, 9
_NAMES = {
    10: "ITU L*a*b* colours",
    32803: "the raw data of a camera, of one colour a pixel",
    32844: "LogL, logarithms of brightness",
    32845: "LogLuv colours, of logarithms of brightness",
    34892: "the raw data of a camera",
    51177: "a map of depths",
}
_CAMERA = (32803, 34892)
_COLOURS = {
    **{_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _MASK: 1},
    **{_CMYK: 4, _YCBCR: 3, _CIELAB: 3, _ICCLAB: 3},
}
_RIGID = {_PALETTE: "a palette", _MASK: "a mask", _YCBCR: "YCbCr colours", _CMYK: "CMYK colours"}
_PREMULTIPLIED, _STRAIGHT = 1, 2  # extra samples
_BITS, _PHOTOMETRIC, _SUBDIRECTORIES, _INKS, _DNG_VERSION = 258, 262, 330, 332, 50706
_IN_CMYK = 1  # the inks
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3  # sample formats
# Bits of samples: of plain pages, of those that only Pillow reads, and of all others.
_BITS_OF_PLAIN, _BITS_OF_PILLOW = (1, 2, 4, 8, 10, 12, 14, 16), (2, 4)
_BITS_OF_SAMPLES = (8, 16, 32, 64)
_SEPARATE_PLANES = 2
_MOST_GROUPS = 64


@dataclasses.dataclass(frozen=True)
class Channels:
    """How the samples of a page are to be understood.

    Attributes:
      problem: what the page is, where it is nothing that can be restored; else None.
      by_samples: whether OpenCV would take it for something else: `interpreted` reads it.
      by_pillow: whether OpenCV does not read it, and Pillow does.
      groups: how many channels each of several pictures has that lie one behind the other, such
        as `(1, 1)` of a microscope; empty where all channels are one picture.
    """

    problem: str | None = None
    by_samples: bool = False
    groups: tuple[int, ...] = ()
    by_pillow: bool = False


def channels_of(
    content: bytes, page: tifffile.TiffPage, tags: dict[int, Any], is_large: bool = False
) -> Channels:
    """What the channels of the first page of a TIFF file mean.

    Args:
      content: of the file.
      page: the first.
      tags: its tags by number.
      is_large: whether it is larger than OpenCV allows.
    """
    photometric = int(page.photometric)
    if _DNG_VERSION in tags or photometric in _CAMERA or _holds_raw_data(content, page):
        return Channels("is a raw photograph of a camera; develop it, and save that as TIFF")
    if photometric not in _COLOURS:
        what = _NAMES.get(photometric, f"colours of an unknown kind ({photometric})")
        return Channels(f"holds {what}; save it as grey or RGB first")
    if photometric == _CMYK and tags.get(_INKS, _IN_CMYK) != _IN_CMYK:
        return Channels("is separated into inks other than CMYK; save it as RGB first")
    samples, bits = page.samplesperpixel, page.bitspersample
    extra = samples - _COLOURS[photometric]
    if extra < 0:
        return Channels(f"has {samples} channels of {_COLOURS[photometric]}; is it complete?")
    told_bits = np.atleast_1d(tags.get(_BITS, bits))
    if len({*told_bits.tolist()}) > 1 or len(told_bits) not in (1, samples):
        return Channels("has channels of different bits, or tags that contradict each other")
    kind = int(page.sampleformat or _UNSIGNED)
    if kind not in (_UNSIGNED, _SIGNED, _FLOAT):
        return Channels("has samples that are complex numbers or of no type; save parts of them")
    is_plain = kind == _UNSIGNED and bits in _BITS_OF_PLAIN
    if not is_plain and bits not in _BITS_OF_SAMPLES:
        return Channels(f"has samples of {bits} bits; save it with 8, 16 or 32 bits first")
    found = _of_samples(page, photometric, extra, is_plain)
    if is_large and bits >= 8 and photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        found = dataclasses.replace(found, by_samples=True)
    if found.by_samples and page.compression not in BYTE_PACKINGS:
        what = f"{samples} channels of {bits} bits, packed by {packing(page)}"
        return Channels(f"has {what}; save it without compression first")
    return found


def _of_samples(page: tifffile.TiffPage, photometric: int, extra: int, is_plain: bool) -> Channels:
    bits, is_separate = page.bitspersample, page.planarconfig == _SEPARATE_PLANES
    if photometric in _RIGID:
        if extra or not is_plain or (photometric != _CMYK and bits > 8):
            what = f"{_RIGID[photometric]} in {page.samplesperpixel} channels of {bits} bits"
            return Channels(f"has {what}; save it as RGB first")
        is_wide = photometric == _CMYK and (bits == 16 or is_separate)
        return Channels(None, is_wide, by_pillow=bits in _BITS_OF_PILLOW)
    is_lab = photometric in (_CIELAB, _ICCLAB)
    if is_lab and not (is_plain and bits in (8, 16)):
        return Channels("holds L*a*b* colours that are no whole numbers; save it as RGB first")
    if photometric == _WHITE_IS_ZERO and page.sampleformat == _FLOAT:
        return Channels("has floats whose zero is white; save it with black at zero first")
    meanings = [int(meaning) for meaning in page.extrasamples]
    has_alpha = extra == 1 and meanings in ([_PREMULTIPLIED], [_STRAIGHT])
    has_silent_alpha = photometric == _RGB and extra == 1 and not meanings  # of old writers
    groups: tuple[int, ...] = ()
    if extra and not has_alpha and not has_silent_alpha:
        groups = (_COLOURS[photometric],) + (1,) * extra
    if len(groups) > _MOST_GROUPS:
        return Channels(f"has {len(groups)} channels, more than {_MOST_GROUPS}; split it first")
    is_known_alpha = photometric == _RGB and meanings == [_STRAIGHT]
    by_samples = (
        *(not is_plain, groups, is_lab, is_separate and bits > 8),
        has_alpha and not is_known_alpha,
    )
    if any(by_samples) and bits not in _BITS_OF_SAMPLES:
        what = f"{page.samplesperpixel} channels of {bits} bits"
        return Channels(f"has {what}; save it with 8 or 16 bits first")
    return Channels(None, any(by_samples), groups, bits in _BITS_OF_PILLOW)


def interpreted(content: bytes, page: tifffile.TiffPage, channels: Channels) -> np.ndarray:
    """The pixels of a page that OpenCV would take for something else.

    Returns:
      `[H, W]` or `[H, W, C]` of the type in the file: grey, RGB, either with straight alpha, or
      the channels of `channels.groups`; not turned.

    Raises:
      ValueError: it cannot be unpacked.
    """
    samples = read_samples(content)
    photometric = int(page.photometric)
    if photometric == _CMYK:
        return _rgb_of_cmyk(samples)
    if photometric in (_CIELAB, _ICCLAB):
        rgb = lab_to_rgb(samples[..., :3], is_signed=photometric == _CIELAB)
        samples = np.concatenate([rgb, samples[..., 3:]], axis=-1)
    elif photometric == _WHITE_IS_ZERO:
        samples = _turned_around(samples, bool(channels.groups))
    is_multiplied = [int(meaning) for meaning in page.extrasamples] == [_PREMULTIPLIED]
    if is_multiplied and not channels.groups and samples.shape[2] in (2, 4):
        samples = _divided(samples)
    return samples[..., 0] if samples.shape[2] == 1 else samples


def _holds_raw_data(content: bytes, page: tifffile.TiffPage) -> bool:
    """Whether a directory below the first is of raw data, as NEF and ARW files have it."""
    try:
        file, layout = io.BytesIO(content), layout_of(content[:4])
        entries = directory_at(file, page.offset).entries
        if _SUBDIRECTORIES not in entries:
            return False
        raw = value_of(file, layout, entries[_SUBDIRECTORIES])
        size = len(raw) // max(entries[_SUBDIRECTORIES][1], 1)
        order = {"<": "little", ">": "big"}[layout.order]
        for start in range(0, min(len(raw), 16 * size), size):
            below = directory_at(file, int.from_bytes(raw[start : start + size], order))  # type: ignore[arg-type]
            photometric = value_of(file, layout, below.entries.get(_PHOTOMETRIC, (3, 0, b"")))
            if int.from_bytes(photometric, order) in _CAMERA:  # type: ignore[arg-type]
                return True
    except ValueError:  # of a link that leads nowhere; the page itself can be read
        pass
    return False


def _rgb_of_cmyk(samples: np.ndarray) -> np.ndarray:
    """By the plain formula, as OpenCV does it with 8 bits."""
    peak = np.iinfo(samples.dtype).max
    light = (peak - samples).astype(np.uint32)
    return ((light[..., :3] * light[..., 3:] + peak // 2) // peak).astype(samples.dtype)


def _turned_around(samples: np.ndarray, all_channels: bool) -> np.ndarray:
    """Of pages whose largest sample is black; alpha, the last of two, is not turned."""
    grey = samples if all_channels else samples[..., :1]
    info = np.iinfo(samples.dtype)
    turned = (info.max - grey.astype(np.int64) + info.min).astype(samples.dtype)
    return turned if all_channels else np.concatenate([turned, samples[..., 1:]], axis=-1)


def _divided(samples: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha, as they were before."""
    alpha = samples[..., -1:].astype(np.float64)
    peak = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    colours = samples[..., :-1] * (peak / np.where(alpha > 0, alpha, peak))
    if samples.dtype.kind != "f":
        colours = np.clip(np.rint(colours), 0, peak)
    return np.concatenate([colours.astype(samples.dtype), samples[..., -1:]], axis=-1)
