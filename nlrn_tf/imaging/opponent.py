"""Orthonormal opponent axes of colour: luma and two chroma planes in which noise keeps its level.

    luma      (R + G + B) / sqrt 3
    red-blue  (R - B) / sqrt 2
    green     (R - 2 G + B) / sqrt 6

The axes of the discrete cosine transform over the three channels, as in the colour version of BM3D
(Dabov et al., "Color image denoising via sparse 3D collaborative filtering with grouping
constraint in luminance-chrominance space", ICIP 2007). The rotation turns white noise of standard
deviation sigma, independent in R, G and B, into the same in the three planes.

For R, G, B in [0, 1] luma is in [0, sqrt 3], red-blue in +-1 / sqrt 2 and green in +-2 / sqrt 6;
grey has chroma 0 and luma sqrt 3 times its level. Luma / sqrt 3, the mean of the channels, is a
grey image in [0, 1] whose noise is sigma / sqrt 3.
"""

import numpy as np

from nlrn_tf.errors import NLRNError

# Rows are the axes.
TO_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


def rgb_to_opponent(image: np.ndarray) -> np.ndarray:
    """RGB to luma, red-blue and green.

    Args:
      image: float `[..., 3]` in RGB order, any range.

    Returns:
      float32 `[..., 3]`, in units of the image; see the head of this module for the ranges.

    Raises:
      NLRNError: the image has no three channels or whole numbers, whose range is unknown here.
    """
    return _rotated(image, TO_OPPONENT.T)


def opponent_to_rgb(planes: np.ndarray) -> np.ndarray:
    """The inverse of `rgb_to_opponent`: float `[..., 3]` to float32 RGB `[..., 3]`, not clipped.

    Raises:
      NLRNError: as for `rgb_to_opponent`.
    """
    return _rotated(planes, TO_OPPONENT)  # orthonormal: the transpose is the inverse


def is_grey(image: np.ndarray) -> bool:
    """Whether the three channels of `[..., 3]` are equal everywhere: a grey image stored as RGB.

    Its noise is the same in the channels, so that its luma / sqrt 3 has noise sigma, not
    sigma / sqrt 3: it has to be restored as the grey image that it is.
    """
    image = np.asarray(image)
    return bool((image[..., :1] == image[..., 1:]).all())


def _rotated(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.shape[-1:] != (3,) or not np.issubdtype(image.dtype, np.floating):
        raise NLRNError(
            f"image of {image.dtype} {image.shape}: opponent axes need float [..., 3] (RGB)"
        )
    return (image.astype(np.float64) @ matrix).astype(np.float32)
