"""What export checks: the backend before it begins, and requests inside the TensorFlow graph."""

import keras
import tensorflow as tf

from nlrn_tf.errors import NLRNError


def check_backend() -> None:
    """Raises NLRNError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise NLRNError(f"KERAS_BACKEND={keras.backend.backend()}: export needs tensorflow")


def checked(value: tf.Tensor, *checks: tuple[tf.Tensor, str | tf.Tensor]) -> tf.Tensor:
    """Passes `value` on when all checks hold.

    What is computed from the result runs after the checks, in any runtime.

    Args:
      value: any tensor.
      *checks: pairs of a scalar bool and a message (a scalar string), made in this order.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs, with the message of the first check that
        fails.
    """
    done = []
    for condition, message in checks:
        with tf.control_dependencies(done):
            done = [tf.debugging.Assert(condition, [message])]
    with tf.control_dependencies(done):
        return tf.identity(value)
