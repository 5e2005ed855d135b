"""What differs between Keras' backends. Every other module asks here instead of the backend.

TensorFlow is the main one; JAX restores and trains; others restore. Light: Keras and the backend
are imported when a function needs them.
"""

import functools
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence

from nlrn_tf.errors import NLRNError

_BACKENDS = ("tensorflow", "jax", "torch")


def settle() -> None:
    """Settles what Keras is going to be, before a program imports it.

    The file of settings that people have for other programs (keras.json) is not read: it may want
    another backend, channels first or float16. The environment variable KERAS_BACKEND chooses.

    Raises:
      NLRNError: it chooses what is not installed, or what nothing here runs on.
    """
    chosen = os.environ.get("KERAS_BACKEND") or _BACKENDS[0]
    remedy = "unset it for tensorflow"
    if chosen not in _BACKENDS:
        raise NLRNError(f"KERAS_BACKEND={chosen}: must be one of {', '.join(_BACKENDS)}; {remedy}")
    if importlib.util.find_spec(chosen) is None:
        raise NLRNError(f"KERAS_BACKEND={chosen}: {chosen} is not installed; {remedy}")
    os.environ |= {"KERAS_BACKEND": chosen, "KERAS_HOME": os.devnull}


def name() -> str:
    """The backend of this process: "tensorflow", "jax", "torch"."""
    import keras

    return keras.backend.backend()


def require_tensorflow(what: str) -> None:
    """Raises NLRNError, which says that `what` needs it, unless Keras runs on TensorFlow."""
    if not _is_tensorflow():
        raise NLRNError(f"KERAS_BACKEND={name()}: {what} needs tensorflow")


def takes_numpy_functions() -> bool:
    """Whether a graph can call a Python function of NumPy arrays (`tf.numpy_function`)."""
    return _is_tensorflow()


def tensorflow_gpus() -> list:
    """TensorFlow's GPUs. Imports TensorFlow, under whichever backend."""
    import tensorflow as tf

    return tf.config.list_physical_devices("GPU")


def limit_threads(count: int) -> None:
    """Gives each operation of TensorFlow, and the compiled kernels, as many threads.

    Raises:
      NLRNError: TensorFlow has begun to work in this process with another number.
    """
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() == count:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
    except RuntimeError as error:
        raise NLRNError(f"TensorFlow has its threads already, it cannot take {count}") from error


def gpu_compute_capability() -> tuple[int, int] | None:
    """Of TensorFlow's first GPU; None where it has none, or one that does not report it."""
    import tensorflow as tf

    gpus = tensorflow_gpus()
    if not gpus:
        return None
    return tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")


def accelerators() -> list[str]:
    """The names of the GPUs that the backend of this process computes on, such as "NVIDIA H200"."""
    if name() == "jax":
        return [each.device_kind for each in jax_devices() if each.platform != "cpu"]
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tensorflow_gpus())
    return [each.get("device_name", "GPU") for each in details]


def jax_devices() -> list:
    """The devices of this process that JAX computes on."""
    import jax

    return jax.local_devices()


def compiled_for_jax_devices(function: Callable) -> Callable:
    """`function` of a state and of batches, compiled by JAX for all devices of this process.

    Each device gets an equal part of every batch, along its first axis, and the whole state. The
    result is that of one device for the whole batch, and is on each of them.
    """
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh = Mesh(jax.local_devices(), ("batch",))
    whole = NamedSharding(mesh, PartitionSpec())
    shared = NamedSharding(mesh, PartitionSpec("batch"))

    def on_devices(state, batches):
        return function(state, *batches)

    step = jax.jit(on_devices, in_shardings=(whole, shared), out_shardings=whole)
    return lambda state, *batches: step(state, batches)


def compiled(function: Callable) -> Callable:
    """A step of training, compiled for each structure and shape of its arguments.

    Raises:
      NLRNError: there is no training on this backend.
    """
    if _is_tensorflow():
        import tensorflow as tf

        return tf.function(function, autograph=False)
    if name() == "jax":
        import jax

        return jax.jit(function)
    raise NLRNError(f"KERAS_BACKEND={name()}: training needs tensorflow or jax")


@functools.cache
def in_one_pass(function: Callable) -> Callable:
    """`function`, elementwise, in one pass over the memory.

    TensorFlow makes a pass for each of its operations unless XLA joins them.
    """
    if not _is_tensorflow():
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


def compiled_for_inference(
    function: Callable, size: tuple[int | None, int | None], variables: Sequence = ()
) -> Callable:
    """`function` of one batch of images, as one graph where the backend makes graphs.

    Args:
      function: takes and returns `[B, H, W, 1]`, float32.
      size: H and W; None where the graph takes any.
      variables: Keras variables that `function` reads; their values may change between calls.

    Returns:
      A function of `[B, H, W, 1]`, float32 array or tensor. Under TensorFlow and JAX it raises
      MemoryError when the device has not enough memory; JAX compiles it for each shape. Under
      other backends it is the given one.
    """
    if name() == "jax":
        return _compiled_by_jax(function, variables)
    if not _is_tensorflow():
        return function
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *size, 1], tf.float32)]
    graph = tf.function(function, input_signature=signature, autograph=False)

    def call(images):
        try:
            return graph(images)
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(str(error)) from error

    return call


def _compiled_by_jax(function: Callable, variables: Sequence) -> Callable:
    import jax
    import keras

    @jax.jit
    def graph(values, images):
        # Read from the variables, the values would be constants of the program for good.
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(images)

    def call(images):
        try:
            return graph([variable.value for variable in variables], images).block_until_ready()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise MemoryError(str(error)) from error
            raise

    return call


def gradients_of(function: Callable, variables: list) -> tuple:
    """The gradients of a function that also returns something else.

    Args:
      function: of the list `variables`; returns a scalar and an auxiliary result.
      variables: tensors.

    Returns:
      The auxiliary result, and one gradient for each variable, zero where it has no influence.
    """
    if name() == "jax":
        import jax

        gradients, auxiliary = jax.grad(function, has_aux=True)(variables)
        return auxiliary, gradients
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(variables)
        value, auxiliary = function(variables)
    return auxiliary, tape.gradient(value, variables, unconnected_gradients="zero")


def map_range(function: Callable, count, dtype: str, at_once: int = 1):
    """Stacks `function(i)` for i < count along a new first axis.

    Args:
      function: of a scalar integer tensor; returns a tensor.
      count: an integer; on TensorFlow also a tensor.
      dtype: of what `function` returns.
      at_once: how many turns are under way at once on TensorFlow, whose own `map_fn` (behind
        `keras.ops.map`) has ten of them, with ten times the memory.
    """
    if _is_tensorflow():
        import tensorflow as tf

        return tf.map_fn(
            function, tf.range(count), parallel_iterations=at_once, fn_output_signature=dtype
        )
    from keras import ops

    return ops.map(function, ops.arange(count, dtype="int32"))


def batches_of(dataset) -> Iterator:
    """The batches of a `tf.data.Dataset`, as tensors of the backend or as NumPy arrays."""
    return iter(dataset) if _is_tensorflow() else dataset.as_numpy_iterator()


def _is_tensorflow() -> bool:
    return name() == "tensorflow"
