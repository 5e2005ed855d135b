"""What the replicas of a training step tell each other, in bytes."""

import numpy as np
import tensorflow as tf

from nlrn_tf.config import NLRNConfig
from nlrn_tf.layers.replicas import replicated
from nlrn_tf.model import NLRN
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.state import first_state
from nlrn_tf.training.step import TrainingStep


def message_sizes(num_states: int, filters: int) -> dict[str, list[int]]:
    """The bytes of each tensor that a step of a network has the mean of taken.

    Returns:
      "moments" and "gradients", each with one number for each message.
    """
    sizes: dict[str, list[int]] = {"moments": [], "gradients": []}

    def mean(moments):
        sizes["moments"].append(moments.dtype.size * moments.shape.num_elements())
        return moments

    def compiled(gradients):
        def replica(state, *batches):
            with replicated(mean):
                state, parts = gradients(state, *batches)
            # One message: tf.distribute packs them.
            values = parts.values()
            sizes["gradients"].append(sum(v.dtype.size * v.shape.num_elements() for v in values))
            return state, parts

        return tf.function(replica, autograph=False)

    config = TrainingConfig()
    model = NLRN(NLRNConfig(filters, filters // 2, num_states, unroll=True))
    images = np.random.default_rng(0).random((2, 1, 9, 9, 1), np.float32)
    TrainingStep(model, config, compiled)(first_state(model, config), [tuple(images)], 1e-3)
    return sizes
