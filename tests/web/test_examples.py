import numpy as np
from skimage import data

from nlrn_tf.imaging.files import read_image
from nlrn_tf.web.examples import NOISE, write_examples


def test_photographs_with_noise(tmp_path):
    cat, camera = (read_image(path).astype(float) for path in write_examples(tmp_path))
    assert cat.shape == data.chelsea().shape
    error = cat - data.chelsea()
    assert abs(np.std(error) - NOISE) < 0.5  # little of it is cut off at black and white
    assert camera.ndim == 2
