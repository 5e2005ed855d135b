"""Images to train on, for all tests of training."""

import numpy as np
import pytest

from nlrn_tf.imaging.files import write_image


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A data folder with three smooth images."""
    folder = tmp_path_factory.mktemp("data")
    y, x = np.mgrid[:40, :50]
    for name, angle in zip("abc", (0.3, 1.2, 2.0), strict=True):
        wave = np.sin(0.25 * (x * np.cos(angle) + y * np.sin(angle)))
        write_image(folder / "photos" / f"{name}.png", (127 + 100 * wave).astype(np.uint8))
    return folder
