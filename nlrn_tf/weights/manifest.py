"""What the package says of its weights. Light: needs neither Keras nor TensorFlow."""

import functools
import hashlib
import json
import os
from pathlib import Path

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError

WEIGHTS_DIR = Path(__file__).parent


def packaged_names() -> list[str]:
    """The names of the packaged networks."""
    return sorted(manifest())


@functools.cache
def manifest() -> dict[str, dict]:
    """What `weights/manifest.json` says of each packaged network, by name."""
    return json.loads((WEIGHTS_DIR / "manifest.json").read_text())


def find_weights(name_or_path: str | os.PathLike) -> Path:
    """The `.keras` file of a packaged name, or of a path.

    Raises:
      NLRNError: no such name or file, or a packaged file that is missing or damaged.
    """
    name = os.fspath(name_or_path)
    if name in manifest():
        path = WEIGHTS_DIR / f"{name}.keras"
        if not path.is_file():
            raise NLRNError(f"{path}: the packaged file is missing; install the package again")
        if sha256(path) != manifest()[name]["sha256"]:
            raise NLRNError(f"{path}: the packaged file is damaged; install the package again")
        return path
    path = Path(name_or_path)
    if os.path.isfile(path):
        return path
    families = {found.rpartition("_s")[0] for found in packaged_names()} - {""}
    names = ", ".join(sorted({*packaged_names(), *families})) or "none"
    raise NLRNError(f"{name}: no such weights file, and no packaged network (there are: {names})")


def training_sources(name_or_path: str | os.PathLike, config: NLRNConfig) -> tuple[str, ...]:
    """The image folders that weights have seen in training, such as "BSDS500/train".

    Files by `run_train.py` tell themselves; of the packaged files, and of copies of them under
    other names, the manifest tells.

    Args:
      name_or_path: of the weights.
      config: of the weights.

    Returns:
      The folders; empty where nothing is known.
    """
    if config.trained_on:
        return config.trained_on
    entry = manifest().get(os.fspath(name_or_path))
    if entry is None and Path(name_or_path).is_file():
        checksum = sha256(name_or_path)
        entry = next((e for e in manifest().values() if e["sha256"] == checksum), None)
    return tuple(entry["training"].get("sources", ())) if entry else ()


def sha256(path: str | os.PathLike) -> str:
    """The hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
