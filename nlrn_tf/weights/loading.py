"""Loading networks: the packaged ones by name, others by path."""

import dataclasses
import os
from pathlib import Path

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import atomic_path
from nlrn_tf.model import NLRN
from nlrn_tf.precision import propagates_exactly, resolved
from nlrn_tf.weights.keras_file import read_network
from nlrn_tf.weights.level_choice import of_family
from nlrn_tf.weights.levels import at_level
from nlrn_tf.weights.manifest import find_weights, manifest
from nlrn_tf.weights.rebuilding import rebuild


def load_model(
    name_or_path: str | os.PathLike, *, precision: str = "float32", **config_overrides
) -> NLRN:
    """Loads a network for inference.

    Args:
      name_or_path: a packaged name such as "denoise_s25", the path of a `.keras` file, or a family
        of packaged denoisers, "denoise" or "denoise_lite". Of a family the weights that are best
        at `noise_sigma` are taken.
      precision: of the products: "float32", "bfloat16", or "auto" for the fastest here. The
        residual stream, the input and the output are float32 in all of them. "float32" is exact;
        "auto" sums the correlation of the states nearly (`exact_propagation=False`) in either;
        `exact_propagation=True` sums it exactly in all.
      **config_overrides: fields of `NLRNConfig` to change, for example `window_size=31` or
        `window_border="circular"`. `unroll` is True by default. `noise_sigma` makes a denoiser for
        another level (`levels.at_level`); of weights that do not tell theirs it says what it is.

    Returns:
      The network; call it on `[B, H, W, 1]` float32 in [0, 1].

    Raises:
      NLRNError: no such name or file, a damaged file, another kind of file, or an override that
        does not exist or does not fit the weights.
    """
    unknown = set(config_overrides) - {field.name for field in dataclasses.fields(NLRNConfig)}
    if unknown:
        raise NLRNError(f"{', '.join(sorted(unknown))}: no such option of NLRNConfig")
    noise_sigma = config_overrides.get("noise_sigma")
    name = of_family(name_or_path, noise_sigma)
    model = read_network(find_weights(name))
    model.packaged_name = name if name in manifest() else None
    if noise_sigma is not None and model.config.noise_sigma is not None:
        model = at_level(model, noise_sigma)
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
