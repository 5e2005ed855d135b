"""Damaged image files: each is read right, or refused by one line that names it.

By default 300 of each format; `python -m pytest -m slow tests/robustness --mutations=10000 -s`
tries more, and prints the counts.
"""

import contextlib
import functools
import io
import os
import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import tifffile

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_photo, read_pictures
from nlrn_tf.imaging.stack import Stack
from tests.support.image_files import STACKS, files_of, with_checksums
from tests.support.mutations import mutated
from tests.support.trials import failures, run_trials, summary

TURN = PIL.Image.Transpose
TURNS = {  # by EXIF orientation
    **{2: TURN.FLIP_LEFT_RIGHT, 3: TURN.ROTATE_180, 4: TURN.FLIP_TOP_BOTTOM, 5: TURN.TRANSPOSE},
    **{6: TURN.ROTATE_270, 7: TURN.TRANSVERSE, 8: TURN.ROTATE_90},
}
SUFFIXES = (".png", ".jpg", ".tif", ".bmp", ".webp")
# Each takes a process of its own; a sixth of the number.
APART = (".gif", ".avif", ".jp2", ".tga", ".heic")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_images_are_read_right_or_refused(suffix, num_mutations, tmp_path):
    cases = [(str(tmp_path), suffix, seed) for seed in range(num_mutations)]
    verdicts = run_trials(f"{__name__}:check_damaged", cases)
    print(f"\n{suffix}: {summary(verdicts)}")
    assert not failures(verdicts)
    outcomes = {verdict.outcome for verdict in verdicts}
    assert outcomes == {"right", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", APART)
def test_damaged_images_of_further_formats(suffix, num_mutations, tmp_path):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    cases = [(str(tmp_path), suffix, seed) for seed in range(max(num_mutations // 6, 10))]
    verdicts = run_trials(f"{__name__}:check_damaged", cases)
    print(f"\n{suffix}: {summary(verdicts)}")
    assert not failures(verdicts)
    assert "refused" in {verdict.outcome for verdict in verdicts}


@pytest.mark.slow
def test_damaged_stacks_are_read_right_or_refused(num_mutations, tmp_path):
    cases = [(str(tmp_path), STACKS, seed) for seed in range(num_mutations)]
    verdicts = run_trials(f"{__name__}:check_stack", cases)
    print(f"\nstacks: {summary(verdicts)}")
    assert not failures(verdicts)
    assert {verdict.outcome for verdict in verdicts} == {"right", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_images_are_accepted_as_far_as_they_are_there(suffix, num_mutations, tmp_path):
    """A tenth of the number: each takes a process of its own."""
    cases = [(str(tmp_path), suffix, seed) for seed in range(num_mutations // 10)]
    verdicts = run_trials(f"{__name__}:check_accepted", cases)
    print(f"\n{suffix}, accepted: {summary(verdicts)}")
    assert not failures(verdicts)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_files_are_read_as_pillow_reads_them(suffix, tmp_path):
    """The judge and the files that are damaged: none is refused as it was made."""
    for number, content in enumerate(files_of(suffix)):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(content)
        assert_as_the_file_says(read_photo(path).pixels, content)


def check_damaged(case):
    """Reads a damaged file. The pixels are those of the sound file, or those that others read."""
    folder, suffix, _ = case
    files = files_of(suffix)
    path, content = _damaged_file(*case)
    pixels = _read(path)
    if any(_equal(pixels, _sound_pixels(folder, suffix, other)) for other in range(len(files))):
        return "as undamaged"
    assert_as_the_file_says(pixels, content)
    return "as others read it"


def check_stack(case):
    """Reads a damaged file of several pictures: as many as tifffile finds, and their samples."""
    path, content = _damaged_file(*case)
    found = [photo.pixels for photo in _pages_of(path)]
    for number in range(len(files_of(STACKS))):
        sound = _sound_pages(case[0], number)
        if len(sound) == len(found) and all(map(_equal, sound, found)):
            return "as undamaged"
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        pages = [page for page in file.pages if page.subfiletype & 5 == 0]
        assert len(pages) == len(found) or len(pages) == 1
        for page, pixels in zip(pages, found, strict=False):
            assert pixels.shape[:2] in ((page.imagelength, page.imagewidth), page.shape[1::-1])
            is_whole = page.tags.valueof(0x112, 1) == 1 and page.bitspersample % 8 == 0
            if page.photometric == 1 and page.compression == 1 and is_whole:
                samples = np.moveaxis(page.asarray(), 0, -1) if page.planarconfig == 2 else None
                expected = page.asarray() if samples is None or page.ndim == 2 else samples
                np.testing.assert_array_equal(pixels, expected)
    return "as tifffile reads them"


def _pages_of(path):
    try:
        found = read_pictures(path)
        return list(found.photos()) if isinstance(found, Stack) else [found]
    except NLRNError as error:
        if not str(error).startswith(f"{path}: "):
            raise AssertionError(f"does not name the file: {error}") from error
        raise


@functools.cache
def _sound_pages(folder, number):
    path = Path(folder) / f"sound-{os.getpid()}{STACKS}"
    path.write_bytes(files_of(STACKS)[number])
    return [photo.pixels for photo in _pages_of(path)]


def check_accepted(case):
    """Takes what is there of a damaged file, or finds nothing."""
    path, _ = _damaged_file(*case)
    photo = _read(path, accept_damaged=True)
    assert photo.ndim in (2, 3)
    assert photo.dtype in (np.uint8, np.uint16)
    return "taken"


def _damaged_file(folder, suffix, seed):
    files = files_of(suffix)
    content = mutated(files[seed % len(files)], seed, files[(seed // 7) % len(files)])
    if suffix == ".png" and seed // 3 % 2:
        content = with_checksums(content)
    path = Path(folder) / f"{os.getpid()}{suffix}"
    path.write_bytes(content)
    return path, content


def assert_as_the_file_says(pixels, content):
    """The pixels are what other decoders make of a file, and those do not complain."""
    with _silence() as said:
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        try:
            expected = _by_others(content)
        except Exception as error:
            raise AssertionError(f"was read, others say {error!r}") from error
        lines = said()
    lines = [line for line in lines if not re.search(b"iCCP|TIFFFetch|TIFFVSetField", line)]
    assert not lines, lines  # of pixels; the others are about tags and chunks besides
    if pixels.dtype == np.uint16 and expected.dtype == np.uint8:
        pixels = pixels >> 8  # as Pillow does to colours of 16 bits
    if pixels.ndim == 2 and expected.ndim == 3:
        expected = expected[..., 0]
    elif pixels.ndim == 3 and expected.ndim == 2:
        expected = expected[..., None]
    if expected.ndim == 3 and expected.shape[2] == 4 and (expected[..., 3] == 255).all():
        expected, pixels = expected[..., :3], pixels[..., :3]
    assert pixels.shape[:2] == expected.shape[:2]
    assert np.abs(pixels.astype(int) - expected.astype(int)).mean() < 3


@contextlib.contextmanager
def _silence():
    """Keeps what decoders print back, and tells it."""
    with tempfile.TemporaryFile() as printed:
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            yield lambda: os.pread(printed.fileno(), 5000, 0).splitlines()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _read(path, **options):
    try:
        return read_photo(path, **options).pixels
    except NLRNError as error:
        if not str(error).startswith(f"{path}: "):
            raise AssertionError(f"does not name the file: {error}") from error
        raise


def _by_others(content):
    """Upright pixels by Pillow, or by tifffile of kinds that Pillow does not know."""
    if content[4:8] == b"ftyp":
        with contextlib.suppress(ImportError):
            __import__("pillow_heif").register_heif_opener()
    try:
        image = PIL.Image.open(io.BytesIO(content))
    except PIL.UnidentifiedImageError:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            return np.rot90(page.asarray(), -1 if page.tags.valueof(0x112) == 6 else 0)
    image.load()
    turn = None
    with contextlib.suppress(Exception):  # a damaged EXIF block turns nothing
        turn = TURNS.get(image.getexif().get(0x112))
    image = image if turn is None else image.transpose(turn)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in ("CMYK", "YCbCr", "RGBX"):
        image = image.convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    return np.asarray(image)


def _equal(one, two):
    return one.shape == two.shape and one.dtype == two.dtype and np.array_equal(one, two)


@functools.cache
def _sound_pixels(folder, suffix, number):
    path = Path(folder) / f"sound-{os.getpid()}{suffix}"
    path.write_bytes(files_of(suffix)[number])
    return read_photo(path).pixels
