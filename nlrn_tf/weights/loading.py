"""Loading networks: the packaged ones by name, others by path."""

import dataclasses
import os
import zipfile
from pathlib import Path

import keras

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path
from nlrn_tf.model import NLRN
from nlrn_tf.precision import POLICIES, propagates_exactly, resolved
from nlrn_tf.weights.manifest import find_weights


def load_model(
    name_or_path: str | os.PathLike, *, precision: str = "float32", **config_overrides
) -> NLRN:
    """Loads a network for inference.

    Args:
      name_or_path: a packaged name such as "denoise_s25", or the path of a `.keras` file.
      precision: of the products: "float32", "bfloat16", or "auto" for the fastest here. The
        residual stream, the input and the output are float32 in all of them. "float32" is exact;
        "auto" sums the correlation of the states nearly (`exact_propagation=False`) in either.
      **config_overrides: fields of `NLRNConfig` to change, for example `window_size=31` or
        `window_border="circular"`. `unroll` is True by default. A graph that is to be saved
        needs `attention="blocks"`.

    Returns:
      The network; call it on `[B, H, W, 1]` float32 in [0, 1].

    Raises:
      NLRNError: no such name or file, a damaged file, another kind of file, or an override that
        does not exist or does not fit the weights.
    """
    model = _read(find_weights(name_or_path))
    unknown = set(config_overrides) - {field.name for field in dataclasses.fields(NLRNConfig)}
    if unknown:
        raise NLRNError(f"{', '.join(sorted(unknown))}: no such option of NLRNConfig")
    overrides = {
        "unroll": True,  # the faster one in inference
        "exact_propagation": propagates_exactly(precision),
        **config_overrides,
    }
    return rebuild(model, dataclasses.replace(model.config, **overrides), resolved(precision))


def save_model(model: NLRN, path: str | os.PathLike) -> None:
    """Writes `model` to a `.keras` file atomically, in float32 whatever it was trained in.

    Its backend of attention and the form of its propagation are not written: they are a matter of
    the machine, not of the weights.

    Raises:
      NLRNError: the path does not end in .keras or cannot be written.
    """
    if Path(path).suffix != ".keras":
        raise NLRNError(f"{path}: must end in .keras")
    of_weights = dataclasses.replace(model.config, attention=None, exact_propagation=None)
    with atomic_path(path) as temporary:
        rebuild(model, of_weights).save(temporary)


def rebuild(model: NLRN, config: NLRNConfig, precision: str = "float32") -> NLRN:
    """A network of another configuration or precision with the weights of `model`.

    Raises:
      NLRNError: the weights do not fit the configuration.
    """
    rebuilt = NLRN(config, dtype=POLICIES[precision])
    shapes = [weight.shape for weight in rebuilt.weights]
    if shapes != [weight.shape for weight in model.weights]:
        changed = [
            f"{name}={value}"
            for name, value in config.to_dict().items()
            if value != model.config.to_dict()[name]
        ]
        raise NLRNError(f"{', '.join(changed)} does not fit the shapes of the weights")
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def _read(path: Path) -> NLRN:
    if not zipfile.is_zipfile(path):
        raise NLRNError(f"{path}: not a .keras file, or a damaged one")
    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise NLRNError(f"{path}: cannot be loaded ({error})") from error
    if not isinstance(model, NLRN):
        raise NLRNError(f"{path}: holds a {type(model).__name__}, not an NLRN")
    return model
