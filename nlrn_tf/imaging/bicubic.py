"""The kernel of bicubic resizing. Light: needs no TensorFlow."""

from collections.abc import Callable

# In pixels of the coarser grid, to either side.
KERNEL_REACH = 2


def cubic(x, where: Callable):
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, equation 15).

    Args:
      x: distances in pixels, an array or a tensor.
      where: chooses between two of these, `np.where` or `tf.where`.
    """
    x = abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return where(x <= 1, near, where(x <= 2, far, 0.0))
