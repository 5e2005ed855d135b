"""Writing a network as a SavedModel that TensorFlow Serving loads."""

import json
import os
from pathlib import Path

import tensorflow as tf

import nlrn_tf
from nlrn_tf import backend
from nlrn_tf.errors import NLRNError
from nlrn_tf.export.limits import MAX_PIXELS
from nlrn_tf.export.signatures import ServedModel
from nlrn_tf.export.warmup import require_protos, warmup_requests, write_warmup_requests
from nlrn_tf.files import atomic_folder, require_text, writing_by_tensorflow
from nlrn_tf.model import NLRN
from nlrn_tf.precision import resolved
from nlrn_tf.restoration.checks import FLOAT_RANGE
from nlrn_tf.tasks.registry import task_of
from nlrn_tf.weights.level_choice import of_family
from nlrn_tf.weights.loading import load_model
from nlrn_tf.weights.manifest import find_weights, sha256

METADATA_FILE = "assets/metadata.json"


def export_saved_model(
    weights: str | os.PathLike,
    export_dir: str | os.PathLike,
    *,
    version: int | None = None,
    max_pixels: int = MAX_PIXELS,
    precision: str = "float32",
    noise_sigma: float | None = None,
) -> Path:
    """Writes `export_dir/version`, a SavedModel with the signatures of `ServedModel`.

    Needs the extra `export`.

    It appears at once and complete, after the warm-up requests have run on it, so that TensorFlow
    Serving may watch `export_dir` meanwhile. Beside the model it holds `assets/metadata.json` and
    the warm-up requests.

    Args:
      weights: a packaged name, or the path of a `.keras` file.
      export_dir: folder of the versions; made if missing.
      version: by default one more than the highest there.
      max_pixels: the most pixels that a restored image may have.
      precision: of the products, see `load_model`; best for the machine that will serve.
      noise_sigma: makes a denoiser for another level, see `load_model`.

    Returns:
      The folder of the version.

    Raises:
      NLRNError: no such weights, a version that exists, weights that give values that are not
        finite, another backend than TensorFlow, tensorflow-serving-api is not installed, or a
        folder that cannot be written.
    """
    backend.require_tensorflow("export")
    require_protos()
    folder = _version_folder(require_text(export_dir), version)
    path = find_weights(of_family(weights, noise_sigma))
    # Of all backends of attention only the blocks can be part of a saved graph on any machine.
    level = {} if noise_sigma is None else {"noise_sigma": noise_sigma}
    model = load_model(weights, precision=precision, attention="blocks", **level)
    precision = resolved(precision)
    with atomic_folder(folder) as temporary:
        served = ServedModel(model, max_pixels)
        signatures = served.signatures()
        with writing_by_tensorflow(folder):
            tf.saved_model.save(served, temporary, signatures=signatures)
            write_warmup_requests(temporary, path.stem, _warmup_scales(model))
        _write_metadata(temporary, path, model, {"max_pixels": max_pixels, "precision": precision})
        _try(temporary, model, weights)
    return folder


def _version_folder(export_dir: Path, version: int | None) -> Path:
    if version is None:
        names = [path.name for path in export_dir.glob("*")] if os.path.isdir(export_dir) else []
        version = 1 + max((int(name) for name in names if name.isdecimal()), default=0)
    folder = export_dir / str(version)
    if os.path.exists(folder):
        raise NLRNError(
            f"{folder}: exists already; choose another version, or leave it out for the next one"
        )
    return folder


def _warmup_scales(model: NLRN) -> tuple[int, ...]:
    return model.config.scales or (2,) if task_of(model.config).enlarges else ()


def _write_metadata(folder: Path, path: Path, model: NLRN, options: dict) -> None:
    metadata = {
        "name": path.stem,
        "weights_sha256": sha256(path),
        "task": task_of(model.config).name,
        "noise_sigma": model.config.noise_sigma,
        "scales": list(model.config.scales),
        **options,
        "input_range": [0.0, 1.0],
        "accepted_range": list(FLOAT_RANGE),  # noise takes an image out of [0, 1]
        "config": model.config.to_dict(),
        "nlrn_tf": nlrn_tf.__version__,
        "tensorflow": tf.__version__,
    }
    (folder / METADATA_FILE).write_text(json.dumps(metadata, indent=1) + "\n")


def _try(folder: Path, model: NLRN, weights: str | os.PathLike) -> None:
    """Loads the SavedModel and runs the warm-up requests."""
    loaded = tf.saved_model.load(folder)
    for signature, inputs in warmup_requests(_warmup_scales(model)):
        for output in loaded.signatures[signature](**inputs).values():
            if output.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(output)):
                raise NLRNError(f"{weights}: gives values that are not finite; is it damaged?")
