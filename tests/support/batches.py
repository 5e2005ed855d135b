"""Folders of many small images, some damaged, and what a batch makes of them."""

import json

import keras
import numpy as np

from nlrn_tf.config import NLRNConfig
from nlrn_tf.imaging.encoding import encoded, encoded_tiff
from nlrn_tf.model import NLRN
from nlrn_tf.weights.loading import save_model
from tests.support.damaged import closed_half

_SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".bmp")
_EVERY = 20  # of how many images one is damaged


def small_denoiser(path):
    """Weights of a network that takes milliseconds an image."""
    keras.utils.set_random_seed(3)
    config = NLRNConfig(
        filters=8, embedding_size=4, num_states=2, window_size=7, task="denoise", noise_sigma=25
    )
    save_model(NLRN(config), path)
    return path


def make_photos(folder, count, seed=0):
    """Writes images of five formats, of 8 and 16 bits, grey and colour, in nested folders.

    Returns:
      The places of those that are damaged, relative to the folder: one in 20.
    """
    rng = np.random.default_rng(seed)
    damaged = set()
    for number in range(count):
        suffix = _SUFFIXES[number % len(_SUFFIXES)]
        relative = f"{('', 'a/', 'a/b b/')[number % 3]}{number:04}{suffix}"
        content = _image(rng, suffix, number)
        if number % _EVERY == 7:
            damaged.add(relative)
            content = _spoilt(content, suffix, number)
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return damaged


def files_below(folder):
    """The bytes of all files by their places, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def listed(path):
    """The entries of a list of failures."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def _image(rng, suffix, number):
    height, width = rng.integers(16, 49, 2)
    shape = (height, width, 3) if number % 2 or suffix == ".webp" else (height, width)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    if suffix == ".tif":
        return encoded_tiff(pixels.astype(np.uint16) * 257 if number % 4 else pixels, None)
    return encoded(suffix, pixels, None)


def _spoilt(content, suffix, number):
    kinds = [content[: len(content) // 2], b"", b"no image at all"]
    if suffix == ".jpg":
        kinds.append(closed_half(content))
    return kinds[number % len(kinds)]
