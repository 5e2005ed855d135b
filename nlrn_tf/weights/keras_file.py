"""Reading `.keras` files: all of it is checked before a network is built.

Such a file is a zip archive of `config.json`, which says how to build the network, and
`model.weights.h5` with its arrays. Only the settings of an NLRN are taken from the former, so that
no file can name code to be run, and only plain arrays of the shapes that follow from them are
accepted in the latter.
"""

import collections
import io
from pathlib import Path

import h5py

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.storage.archive import entry, open_archive
from nlrn_tf.storage.reading import parsed_json, reading
from nlrn_tf.storage.schema import MisfitError, checked
from nlrn_tf.weights.shapes import weight_shapes

_REMEDY = "get the file again, or train it again"
_MAX_CONFIG_BYTES = 2**20


def read_network(path: Path) -> NLRN:
    """The network of a `.keras` file by `save_model`, in float32.

    Raises:
      NLRNError: it is another kind of file, damaged, or of another kind of network.
    """
    if path.suffix != ".keras":
        raise NLRNError(f"{path}: not a .keras file; give one whose name ends in .keras")
    with reading(path, "not a .keras file, or a damaged one", _REMEDY):
        with open_archive(path) as archive:
            described = entry(archive, "config.json")
            arrays = entry(archive, "model.weights.h5")
        if len(described) > _MAX_CONFIG_BYTES:
            raise MisfitError("config.json is too large")
        config = _network_config(path, parsed_json(described))
        _check_arrays(arrays, config)
        network = NLRN(config)
        network.load_weights(path)
        return network


def _network_config(path: Path, described: object) -> NLRNConfig:
    """The settings in what `config.json` says."""
    content = checked(dict[str, object], described, "config.json")
    kind = content.get("class_name")
    if kind != NLRN.__name__:
        shown = kind if isinstance(kind, str) and kind.isidentifier() else "something else"
        raise NLRNError(f"{path}: holds a {shown[:60]}, not an NLRN; give another file")
    if content.get("registered_name") != f"nlrn_tf>{NLRN.__name__}":
        raise NLRNError(f"{path}: holds an NLRN of another program; give another file")
    options = checked(dict[str, object], content.get("config"), "config.json: config")
    settings = options.get("config")
    return checked(NLRNConfig, settings, "config.json: config.config")


def _check_arrays(content: bytes, config: NLRNConfig) -> None:
    """Whether the arrays in an HDF5 file are those of a network."""
    with h5py.File(io.BytesIO(content), "r") as file:
        found = collections.Counter(_shapes(file, len(content)))
    expected = collections.Counter(weight_shapes(config).values())
    for shape, count in expected.items():
        if found[shape] != count:
            raise MisfitError(
                f"its settings need {count} arrays of shape {shape}, but it has {found[shape]}"
            )
    if found != expected:
        raise MisfitError(f"it has an array of shape {min(found - expected)}, which is not used")


def _shapes(group: h5py.Group, size: int, depth: int = 0):
    """The shapes of all arrays in a group; refuses what is no plain array inside the file."""
    if depth > 10 or len(group) > 100:
        raise MisfitError("its groups are nested too deeply or too large")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise MisfitError("it has links to other places")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _shapes(item, size, depth + 1)
            continue
        if not isinstance(item, h5py.Dataset):
            raise MisfitError("it holds something else than arrays")
        if item.dtype != "float32" or item.chunks or item.external or item.is_virtual:
            raise MisfitError("an array is not stored as plain float32")
        if item.size * 4 > size:
            raise MisfitError("an array is larger than the file")
        yield item.shape
