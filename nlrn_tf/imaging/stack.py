"""TIFF files of several pictures: the slices, channels and times of a microscope, scanned pages.

Pages are read one by one. Some programs write one directory for many pages: ImageJ for stacks over
4 GiB, tifffile and MetaMorph; their pages lie one behind the other.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import tifffile

from nlrn_tf.errors import NLRNError, reason_of
from nlrn_tf.imaging.directories import directories, directory_at, is_tiff, page_alone
from nlrn_tf.imaging.photos import Photo, photo_of
from nlrn_tf.imaging.tiff_tags import KeptTags, kept_tags
from nlrn_tf.imaging.white_level import WhiteLevel

MAX_SLICES = 1_000_000  # of one directory


@dataclasses.dataclass(frozen=True)
class _Slice:
    """Where a page is, and what it has.

    Attributes:
      directory: the place of its directory.
      bits: of a sample.
      shift: by how much its strips are further on than the directory says.
      length: of the page, where the directory may tell that of all.
    """

    directory: int
    bits: int
    shift: int = 0
    length: int | None = None


@dataclasses.dataclass(frozen=True)
class Stack:
    """The pages of a TIFF file; they are read when they are asked for.

    Attributes:
      path: of the file.
      slices: where the pages are.
      check_size: raises NLRNError for the bytes of a page that claims to be too large.
      most_bytes: that the pixels of a page may take.
      accept_damaged: whether what is there of damaged pages is read.
      white: that of all pages, see `with_white`.
    """

    path: Path
    slices: tuple[_Slice, ...]
    check_size: Callable[[bytes], None]
    most_bytes: int
    accept_damaged: bool = False
    white: WhiteLevel | None = None

    def __len__(self) -> int:
        return len(self.slices)

    def photos(self) -> Iterator[Photo]:
        """Each page, with the white of all.

        Raises:
          NLRNError: as for `files.read_photo`; the message names the page.
        """
        for number in range(len(self)):
            photo = self.photo(number)
            yield dataclasses.replace(photo, white=(photo.white and self.white) or photo.white)

    def photo(self, number: int) -> Photo:
        """A page, from 0. Raises NLRNError as `photos`."""
        where = f"{self.path}: page {number + 1} of {len(self)}"
        place = self.slices[number]
        try:
            with open(self.path, "rb") as file:
                directory = directory_at(file, place.directory)
                content = page_alone(file, directory, self.most_bytes, place.shift, place.length)
            self.check_size(content)
            photo = photo_of(content, self.accept_damaged)
            return dataclasses.replace(photo, tags=self._tags(content, number))
        except NLRNError as error:
            raise NLRNError(f"{where} {error}") from error
        except MemoryError:
            raise
        except Exception as error:  # of many types, by where the damage is
            raise NLRNError(f"{where} cannot be decoded ({reason_of(error)})") from error

    def with_white(self) -> "Stack":
        """The stack with one white for all pages, so that they are restored alike.

        Pages of more than 8 bits are read for it. Raises NLRNError as `photos`.
        """
        white = None
        for number, place in enumerate(self.slices):
            if place.bits <= 8:
                continue
            photo = self.photo(number)
            if photo.white is not None and photo.pixels.any():
                white = photo.white if white is None else white | photo.white
        return dataclasses.replace(self, white=white)

    def _tags(self, content: bytes, number: int) -> KeptTags:
        tags = kept_tags(content)
        is_described = number == 0 or self.slices[number].directory != self.slices[0].directory
        return tags if is_described else tags.without_description()


def open_stack(
    path: str | os.PathLike,
    check_size: Callable[[bytes], None],
    most_bytes: int,
    accept_damaged: bool = False,
) -> Stack | None:
    """The stack in a file; None where it is no TIFF file of several pages.

    Raises:
      OSError: the file cannot be read.
      ValueError: its directories or the description of the stack are damaged.
    """
    with open(path, "rb") as file:
        if not is_tiff(file.read(4)):
            return None
        found = list(directories(file))
    pages = found[:1] + [each for each in found[1:] if each[1].is_picture]
    slices = [_Slice(place, directory.bits) for place, directory in pages]
    if len(slices) == 1:
        slices = _behind_each_other(path, slices[0])
    if len(slices) <= 1:
        return None
    return Stack(Path(path), tuple(slices), check_size, most_bytes, accept_damaged)


def _behind_each_other(path: str | os.PathLike, first: _Slice) -> list[_Slice]:
    """The pages of one directory, by what the program that wrote it says of them."""
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            page, series = file.pages.first, file.series[0]
            told = file.imagej_metadata.get("images", 1) if file.imagej_metadata else 1
            count = max(series.size // max(page.size, 1), int(told))
            is_contiguous, length = page.is_contiguous, page.nbytes
    except Exception as error:  # of many types, by what its tags hold
        raise ValueError(f"damaged tags ({type(error).__name__}: {error})") from error
    if count == 1:
        return [first]
    if not is_contiguous or count > MAX_SLICES:
        raise ValueError(f"its description tells of {count} pages, of which one is there")
    return [
        dataclasses.replace(first, shift=number * length, length=length) for number in range(count)
    ]
