"""Checks of requests inside the TensorFlow graph."""

import tensorflow as tf


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
    done: list[tf.Operation] = []
    for condition, message in checks:
        with tf.control_dependencies(done):
            done = [tf.debugging.Assert(condition, [message])]
    with tf.control_dependencies(done):
        return tf.identity(value)
