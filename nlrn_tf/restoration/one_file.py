"""One image file: what is in it, restoring its pictures, writing the result."""

import dataclasses
import errno
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nlrn_tf.errors import blaming, naming
from nlrn_tf.imaging.files import read_pictures
from nlrn_tf.imaging.headers import read_shape
from nlrn_tf.imaging.photo_files import check_photo, write_photo
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.imaging.stack import Stack
from nlrn_tf.restoration.memory import check_memory, check_memory_for
from nlrn_tf.restoration.plan import check_name
from nlrn_tf.restoration.settings import InputSettings
from nlrn_tf.restoration.stacks import check_stack, restore_stack, with_tags_of_result

# The restorer of a photo (see `choice.RestorerChoice`), which has a name, and of which the file has
# so many.
Choose = Callable[[Photo, str, int], Callable]
OnProgress = Callable[[float], None]

UNKNOWN = "could not be restored ({})"
# Reasons why a file cannot be written that are those of the next file too.
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def read_file(path: Path, reading: InputSettings, scale: float, keep_exif: bool) -> Photo | Stack:
    """The photo in a file, or its pages, which are not decoded yet.

    Args:
      path: of the file.
      reading: whether it is accepted.
      scale: by which it is going to be enlarged; 1 where it is not.
      keep_exif: whether the result is to have the EXIF of a photo.

    Raises:
      NLRNError: as for `imaging.files.read_pictures`, or there is too little memory to enlarge it.
    """
    shape = read_shape(path)
    if shape is not None and shape[0] * shape[1] <= reading.max_pixels:
        with naming(path):  # before the pixels are decoded
            check_memory_for(shape, scale)
    found = read_pictures(path, reading.max_pixels, reading.accept_damaged)
    if isinstance(found, Stack) or keep_exif:
        return found
    return dataclasses.replace(found, kept=found.kept.without_exif())


def restore_found(
    source: Path,
    target: Path,
    found: Photo | Stack,
    choose: Choose,
    scale: float,
    on_progress: OnProgress,
    say: Callable[[str], None],
) -> Photo | None:
    """Restores what is in a file.

    Args:
      source, target: the file, and that of the result.
      found: in the file, of `read_file`.
      choose: the restorer of each picture.
      scale: by which they are enlarged; 1 where they are not.
      on_progress: gets the fractions of the work done.
      say: gets a line about damage that is accepted, and about what the target cannot keep.

    Returns:
      The photo restored, to be written by `write_result`; None of a stack, which is written.

    Raises:
      NLRNError: it cannot be restored, or the target not hold the result.
    """
    restored = functools.partial(_restored, choose=choose, scale=scale)
    if isinstance(found, Stack):
        check_stack(source, target, found)
        pages = functools.partial(restored, count=len(found))
        restore_stack(target, found, pages, on_progress, say)
        return None
    check_photo(target, found, scale)
    check_name(target)
    with naming(source):
        check_memory(found.pixels, scale)
    if found.damage:
        say(f"{source}: restored as far as it is there: {found.damage}")
    if lost := found.kept.lost(target.suffix.lower()):
        say(f"{source}: {target.suffix} does not keep {' and '.join(lost)}")
    with naming(source):
        return restored(found, source.name, on_progress)


def write_result(target: Path, photo: Photo) -> None:
    """Writes a photo atomically. Raises NLRNError where it cannot be written."""
    with blaming(target, "cannot be written ({})"):
        write_photo(target, photo)


def restore_file(
    source: Path,
    target: Path,
    choose: Choose,
    scale: float,
    reading: InputSettings,
    keep_exif: bool = False,
) -> tuple[int, str | None]:
    """Reads, restores and writes one file, without showing progress.

    Args:
      source, target, choose, scale: see `restore_found`.
      reading, keep_exif: see `read_file`.

    Returns:
      The number of pixels of the result, in all its pictures, and the damage that was accepted,
      None of a sound photo.

    Raises:
      NLRNError: it cannot be read, restored or written.
    """
    pixels = 0

    def counted(photo: Photo, name: str, pictures: int) -> Callable:
        restorer = choose(photo, name, pictures)

        def restore(values: np.ndarray, on_progress: OnProgress) -> np.ndarray:
            nonlocal pixels
            result = restorer(values, on_progress)
            pixels += result.shape[0] * result.shape[1]
            return result

        return restore

    found = read_file(source, reading, scale, keep_exif)
    restored = restore_found(
        source, target, found, counted, scale, on_progress=lambda _: None, say=lambda _: None
    )
    if restored is not None:
        write_result(target, restored)
    return pixels, None if isinstance(found, Stack) else found.damage


def _restored(
    photo: Photo, name: str, on_progress: OnProgress, *, choose: Choose, scale: float, count=1
) -> Photo:
    """A photo, or all pictures in its channels, restored; `count` are the photos of the file."""
    parts, pictures = [], len(photo.pictures)
    for number, pixels in enumerate(photo.pictures, 1):
        part = dataclasses.replace(photo, pixels=pixels, groups=())
        title = name if pictures == 1 else f"{name}, channel {number}"
        share = functools.partial(_share, on_progress, pictures)
        parts.append(choose(part, title, count * pictures)(pixels, share))
    joined = parts[0] if pictures == 1 else np.dstack(parts)
    return with_tags_of_result(dataclasses.replace(photo, pixels=joined), scale)


def _share(on_progress: OnProgress, pictures: int, done: float) -> None:
    on_progress(done / pictures)
