"""Restoring the pages of a TIFF file one after the other, into a TIFF file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path
from nlrn_tf.imaging.encoding import StackWriter
from nlrn_tf.imaging.photo_files import TIFF_SUFFIXES
from nlrn_tf.imaging.photos import Photo
from nlrn_tf.imaging.stack import Stack
from nlrn_tf.imaging.tiff_tags import KeptTags

# Restores a page that has a name; the last argument gets the fractions of the work done.
RestorePage = Callable[[Photo, str, Callable[[float], None]], Photo]


def check_stack(source: Path, target: Path, stack: Stack) -> None:
    """Checks that a file of this name can hold a stack.

    Raises:
      NLRNError: it cannot.
    """
    suffix = target.suffix.lower()
    if suffix not in TIFF_SUFFIXES:
        raise NLRNError(
            f"{source}: holds {len(stack)} pages, and {suffix} holds one; name the output "
            f"{target.with_suffix('.tif').name}"
        )


def restore_stack(
    target: Path,
    stack: Stack,
    restore_page: RestorePage,
    on_progress: Callable[[float], None],
    say: Callable[[str], None],
) -> None:
    """Writes the restored pages of a stack, atomically. One page at a time is in memory.

    Raises:
      NLRNError: a page cannot be read or restored, or the file cannot be written.
    """
    share = 1 / len(stack)
    with atomic_path(target) as temporary:
        writer: StackWriter | None = None
        try:
            for number, photo in enumerate(stack.photos(), 1):
                where = f"page {number} of {len(stack)}"
                name = f"{stack.path.name}, {where}"
                if photo.damage:
                    say(f"{stack.path}, {where}: restored as far as it is there: {photo.damage}")
                try:
                    restored = restore_page(photo, name, lambda part: on_progress(share * part))
                except NLRNError as error:
                    raise NLRNError(f"{stack.path}: {where}: {error}") from error
                tags = restored.tags or KeptTags("<", {}, True, restored.pixels.ndim)
                if writer is None:
                    expected = len(stack) * restored.pixels.nbytes
                    writer = StackWriter(temporary, expected, tags)
                writer.add(restored.pixels, restored.icc_profile, restored.groups, tags)
        finally:
            if writer is not None:
                writer.close()


def with_tags_of_result(photo: Photo, scale: float) -> Photo:
    """A restored photo with its tags brought up to date."""
    if photo.tags is None:
        return photo
    return dataclasses.replace(photo, tags=photo.tags.of_result(scale, photo.pixels.shape))
