"""The networks that the paper compares in Tables 1 and 2, at a small size.

Run as a program it writes what they make of a batch under the backend of Keras:

    KERAS_BACKEND=jax python -m tests.support.variants OUTPUT.npz
"""

import sys

import numpy as np

import nlrn_tf
from nlrn_tf.config import SIMILARITIES

SIZES = {"filters": 6, "embedding_size": 3, "num_states": 4, "window_size": 7}
VARIANTS = [
    *({"similarity": name} for name in SIMILARITIES),
    {"tied_weights": False},
    {"correlation_propagation": False},
    {"non_local_every": 0},
    {"non_local_every": 0, "filters": 7},  # the channels make up for the missing module
    {"non_local_every": 2},
    {"non_local_every": 3},
]


def answers() -> dict[str, np.ndarray]:
    """Images restored densely and in windows, and the first training steps, of each variant."""
    from nlrn_tf.training.settings import TrainingConfig
    from nlrn_tf.training.state import first_state
    from nlrn_tf.training.step import TrainingStep
    from tests.support.training import new_batch, settle

    found = {}
    for number, changes in enumerate(VARIANTS):
        rng = np.random.default_rng(number)
        model = nlrn_tf.NLRN(nlrn_tf.NLRNConfig(**{**SIZES, **changes}, unroll=number % 2 == 0))
        model.set_weights([rng.uniform(-0.3, 0.4, np.shape(w)) ** 2 for w in model.get_weights()])
        image = rng.random((1, 12, 15, 1), "float32")
        settle(model, image)
        found[f"{number} windowed"] = model(image)
        found[f"{number} dense"] = model(image[:, :6, :7])
        config = TrainingConfig()
        step, state = TrainingStep(model, config), first_state(model, config)
        for _ in range(3):
            state, metrics = step(state, [new_batch(rng, 2, 7)], 1e-4)
        found[f"{number} loss"] = metrics["loss"]
        found[f"{number} gradient_norm"] = metrics["gradient_norm"]
    return {name: np.asarray(value) for name, value in found.items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **answers())
