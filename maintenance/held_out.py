"""The images held out of the training sets, on which choices are made. Light: no TensorFlow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import find_image

FLAGS_DIR = Path(__file__).resolve().parents[1] / "flags"


def held_out_images(recipe: str = "denoise_s25.cfg") -> list[str]:
    """The `--validation_images` of a recipe or of the recipe that it includes.

    Raises:
      NLRNError: there are none.
    """
    lines = [line.strip() for line in (FLAGS_DIR / recipe).read_text().splitlines()]
    options = dict(line.split("=", 1) for line in lines if line.startswith("--") and "=" in line)
    if "--validation_images" in options:
        return options["--validation_images"].split(",")
    if "--flagfile" in options:
        return held_out_images(options["--flagfile"])
    raise NLRNError(f"{recipe}: names no --validation_images")


def crops(
    names: list[str], data_dir: str, side: int, read: Callable[[Path], np.ndarray]
) -> list[np.ndarray]:
    """The centre of each image, `side` pixels a side or the whole side where it is shorter.

    Args:
      names: paths below `data_dir` without their suffix.
      data_dir: the folder of the data sets.
      side: in pixels.
      read: gives the array of a file, `[H, W, ...]`.

    Raises:
      NLRNError: an image is missing or cannot be read.
    """
    return [centre(read(find_image(Path(data_dir), name)), side) for name in names]


def centre(image: np.ndarray, side: int) -> np.ndarray:
    """The centre of `[H, W, ...]`."""
    top, left = (max(0, (size - side) // 2) for size in image.shape[:2])
    return image[top : top + side, left : left + side]
