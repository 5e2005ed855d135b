"""Running a model on a batch of NumPy images.

`B` batch, `H, W` pixels.
"""

import weakref
from collections.abc import Callable
from typing import cast

import keras
import numpy as np

from nlrn_tf import backend
from nlrn_tf.errors import NLRNError, NotFiniteError

Model = Callable[[np.ndarray], np.ndarray]

# The graphs of each model by the sizes and the scale that they are for.
_compiled: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()


def apply_model(
    model: Model, images: np.ndarray, *, one_size: bool = False, scale: int | None = None
) -> np.ndarray:
    """The output of a model, checked.

    Under TensorFlow a `keras.Model` is compiled once, for all image sizes, and under JAX for each
    shape; any other callable is called with the NumPy array. A graph for all sizes attends in
    windows, even where the image fits into one.

    Args:
      model: callable on float32 `[B, H, W, 1]` in [0, 1] that returns a tensor or array of the
        same shape.
      images: float32 `[B, H, W, 1]`.
      one_size: compiles the model for this H and W, which takes seconds, to attend densely if the
        image fits into the window. For many small images of one size.
      scale: of a network with `upsample` "after", one of its scales; None for any other.

    Returns:
      float32 `[B, H, W, 1]`, H and W times `scale`; not clipped.

    Raises:
      NLRNError: the output has another shape or values that are not finite, or the images do not
        fit into the memory of the accelerator.
    """
    size = images.shape[1:3] if one_size else (None, None)
    try:
        output = _callable(model, size, scale)(images)
    except MemoryError as error:
        height, width = images.shape[1:3]
        raise NLRNError(
            f"not enough memory for a piece of {width} x {height} pixels; "
            "choose a smaller tile_size"
        ) from error
    output = keras.ops.convert_to_numpy(output).astype(np.float32)
    batch, height, width, _ = images.shape
    if output.shape != (batch, height * (scale or 1), width * (scale or 1), 1):
        raise NLRNError(f"the model returned shape {output.shape} for {images.shape}")
    if not np.isfinite(output).all():
        raise NotFiniteError(
            "the model returned values that are not finite; are its weights damaged?"
        )
    return output


def _callable(model: Model, size: tuple[int | None, int | None], scale: int | None) -> Model:
    """A Keras model as one graph for all images of a size; any other model as it is."""
    if not isinstance(model, keras.Model):
        return model
    graphs = _compiled.setdefault(model, {})
    key = (size, scale)
    if key not in graphs:
        reference = weakref.ref(model)  # the cache must not keep the model alive

        def call(images):
            model = cast(keras.Model, reference())  # whoever calls the graph has the model
            return model(images) if scale is None else model(images, scale=scale)

        graphs[key] = backend.compiled_for_inference(call, size, model.variables)
    return graphs[key]
