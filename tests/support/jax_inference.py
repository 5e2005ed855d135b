"""Run by test_backend under JAX: how `compiled_for_inference` behaves there."""

import jax
import numpy as np
import pytest

from nlrn_tf import backend

shapes = []


def traced(images):
    shapes.append(images.shape)
    return images


call = backend.compiled_for_inference(traced, (None, None))
for size in [(3, 4), (9, 2), (3, 4)]:
    assert call(np.zeros((1, *size, 1), "float32")).shape == (1, *size, 1)
assert shapes == [(1, 3, 4, 1), (1, 9, 2, 1)], shapes


def fails(message):
    def fail(images):
        raise jax.errors.JaxRuntimeError(message)

    return backend.compiled_for_inference(fail, (None, None))


with pytest.raises(MemoryError, match="out of memory"):
    fails("RESOURCE_EXHAUSTED: out of memory")(np.zeros((1, 2, 2, 1), "float32"))
with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
    fails("INTERNAL: something else")(np.zeros((1, 2, 2, 1), "float32"))
