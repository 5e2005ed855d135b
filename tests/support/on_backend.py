"""Run by test_backend under several backends: what `nlrn_tf.backend` computes there.

Usage: python on_backend.py OUTPUT
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from nlrn_tf import backend
from nlrn_tf.layers import batch_norm

rng = np.random.default_rng(0)
inputs = rng.normal(3, 2, (2, 5, 4, 6)).astype("float32")
mean, variance, gamma, beta = rng.uniform(0.5, 2, (4, 6)).astype("float32")
results = {"normalized": batch_norm.normalize(inputs, mean, variance, gamma, beta, 1e-3)}
by_batch = batch_norm.normalize_by_batch(inputs, gamma, beta, 1e-3)
results |= dict(zip(("by_batch", "mean", "variance"), by_batch, strict=True))

weights = [ops.convert_to_tensor(x) for x in (mean, variance, gamma)]


def cubes(variables):
    """Of the first two; the third has no influence."""
    first, second, _ = variables
    return ops.sum(first**3 * second), ops.sum(first)


step = backend.compiled(lambda variables: backend.gradients_of(cubes, variables))
results["auxiliary"], gradients = step(weights)
results |= {f"gradient {number}": gradient for number, gradient in enumerate(gradients)}
results["mapped"] = backend.map_range(lambda i: ops.cast(i, "float32") * mean, 3, "float32", 2)
results["in_one_pass"] = backend.in_one_pass(ops.add)(*weights[:2])
images = inputs[..., :1]
factor = keras.Variable(2.0)
scaled = backend.compiled_for_inference(lambda images: factor * images, (None, None), [factor])
results["doubled"] = scaled(images)
factor.assign(3.0)
results["tripled"] = scaled(images)
batches = backend.batches_of(tf.data.Dataset.range(6).batch(4))
results["batches"] = ops.concatenate([ops.convert_to_tensor(batch) for batch in batches])
assert backend.takes_numpy_functions() == (backend.name() == "tensorflow")
np.savez(sys.argv[1], **{name: ops.convert_to_numpy(value) for name, value in results.items()})
