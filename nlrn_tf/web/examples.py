"""Two photographs to try the page on, with noise."""

import os
from pathlib import Path

from nlrn_tf.imaging.files import write_image
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.tasks.denoising import add_gaussian_noise

NOISE = 25  # grey levels

# The cameraman's part of the picture is enough.
_CAMERA = (slice(24, 408), slice(64, 448))


def write_examples(folder: str | os.PathLike) -> list[Path]:
    """Writes a photograph in colour and a grey one, both of scikit-image, with noise of `NOISE`.

    Args:
      folder: gets `cat.png` (300x451) and `cameraman.png` (384x384).

    Raises:
      NLRNError: a file cannot be written.
    """
    from skimage import data

    photographs = {"cat.png": data.chelsea(), "cameraman.png": data.camera()[_CAMERA]}
    paths = []
    for name, clean in photographs.items():
        paths.append(Path(folder) / name)
        write_image(paths[-1], to_uint8(add_gaussian_noise(clean, NOISE, seed=0)))
    return paths
