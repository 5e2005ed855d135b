"""What the package says of its weights. Light: needs neither Keras nor TensorFlow."""

import functools
import hashlib
import json
import os
from pathlib import Path

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
    names = ", ".join(packaged_names()) or "none"
    raise NLRNError(f"{name}: no such weights file, and no packaged network (there are: {names})")


def sha256(path: str | os.PathLike) -> str:
    """The hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
