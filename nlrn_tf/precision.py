"""The precision of the products in a network. Light: the scripts check their flags with it."""

from pathlib import Path

from nlrn_tf import backend, machine
from nlrn_tf.errors import NLRNError

# Keras' names. In all of them the weights, and in inference the sums over the states, are float32.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

AUTO = "auto"
CHOICES = (AUTO, "float32", "bfloat16")  # in inference

HELP = (
    "Of the products. bfloat16 is faster where the processor has instructions for it, and costs "
    "at most 0.015 dB; auto takes it there, else float32. float32 by name sums the correlation of "
    "the states exactly."
)

EXACT_HELP = (
    "Sum the correlation of the states exactly in any precision, not by the channels that nearly "
    "give the same sum: changes PSNR by less than 0.005 dB, and takes longer where no kernel of "
    "the attention keeps the sum."
)

# The CPU's own products of bfloat16; without them they are slower than those of float32.
_CPU_FEATURES = {"amx_bf16", "avx512_bf16"}

# Of the first GPUs of NVIDIA with products of bfloat16 (Ampere).
_GPU_CAPABILITY = (8, 0)


def resolved(precision: str) -> str:
    """`precision`, with "auto" replaced by what is the fastest here; may load TensorFlow.

    Raises:
      NLRNError: there is no such precision.
    """
    if precision not in (AUTO, *POLICIES):
        raise NLRNError(f"precision {precision}: must be one of {', '.join((AUTO, *POLICIES))}")
    if precision != AUTO:
        return precision
    return "bfloat16" if _gpu_multiplies(_cpu_multiplies()) else "float32"


def propagates_exactly(precision: str, exact: bool = False) -> bool | None:
    """The `exact_propagation` of a network in a precision.

    "auto" asks for what is fastest; a precision that is asked for by name is what it says. `exact`
    goes before both.
    """
    if exact:
        return True
    return False if precision == AUTO else None


def _cpu_multiplies() -> bool:
    return bool(_CPU_FEATURES & machine.processor_features())


def _gpu_multiplies(otherwise: bool) -> bool:
    """Whether TensorFlow's GPU does; `otherwise` where it has none."""
    if not Path("/dev/nvidiactl").exists() or not backend.tensorflow_gpus():
        return otherwise
    return (backend.gpu_compute_capability() or _GPU_CAPABILITY) >= _GPU_CAPABILITY
