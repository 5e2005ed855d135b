"""Small settings and networks for the tests of training."""

import keras
import numpy as np

import nlrn_tf
from nlrn_tf.training.settings import TrainingConfig

SMALL = TrainingConfig.of(
    sources=("photos",),
    filters=(6,),
    embedding_size=(3,),
    window_size=9,
    num_states=(2,),
    patch_size=(9,),
    batch_size=(4,),
    steps=8,
    learning_rate=3e-3,
    lr_schedule="cosine",
    validation_images=("photos/a",),
    validation_crop=16,
)


def new_model(config, num_states=2, dtype="float32"):
    keras.utils.set_random_seed(1)
    return nlrn_tf.NLRN(
        nlrn_tf.NLRNConfig(
            config.filters[-1],
            config.embedding_size[-1],
            num_states,
            config.network.window_size,
            non_local_every=config.network.non_local_every,
            tied_weights=config.network.tied_weights,
            upsample=config.network.upsample,
            scales=config.network.scales,
        ),
        dtype=dtype,
    )


def new_batch(rng, count=4, size=9):
    clean = rng.random((count, size, size, 1)).astype("float32")
    return clean + rng.normal(0, 0.1, clean.shape).astype("float32"), clean


def arrays(state):
    return [np.asarray(state[part][name]) for part in sorted(state) for name in sorted(state[part])]


def settle(model, images):
    """Makes the moving statistics those of a batch, as they are at the end of a training."""
    norms = [layer for layer in model._flatten_layers() if hasattr(layer, "momentum")]
    assert len(norms) == 5
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
