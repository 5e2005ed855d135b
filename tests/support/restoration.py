"""Images, and models that are not networks, for the tests of restoration."""

import cv2
import numpy as np
from skimage import data

from nlrn_tf.restoration import files
from nlrn_tf.restoration.planes import predict
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.restoration.settings import OutputSettings


def identity(images):
    return images


def blur(images):
    """5 x 5 Gaussian blur with zero padding, as a network pads."""
    return np.stack(
        [cv2.GaussianBlur(image, (5, 5), 1.1, borderType=cv2.BORDER_CONSTANT) for image in images]
    )[..., None]


def shift_right(images):
    """Brighter to the right: neither flips nor rotations leave it alone."""
    return images + np.linspace(0, 1, images.shape[2], dtype=np.float32)[:, None]


def shifted_plane(image):
    return predict(shift_right, image)


def noise(*shape):
    return np.random.default_rng(1).normal(0.5, 0.3, shape).astype(np.float32)


def colour_photo():
    return data.astronaut()[40:100, 180:250]


def restore_files(model, inputs, output, *, scale=None, **outputs):
    """`files.restore_files` with one model for all images."""
    return files.restore_files(Restorer(model, scale), inputs, output, OutputSettings(**outputs))
