"""Makes the network known to Keras without loading Keras, for `keras.saving.load_model`.

Keras finds classes by a register that importing `nlrn_tf.model` enters them into. That is put off
until Keras is imported, by whomever.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types


def register_with_keras() -> None:
    """Registers the network now where Keras is loaded, else as soon as it is."""
    if "keras" in sys.modules:
        # Not while Keras itself is being loaded: then it asks for us, not the other way round.
        if not _is_being_imported(sys.modules["keras"]):
            importlib.import_module("nlrn_tf.model")
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


class _KerasFinder(importlib.abc.MetaPathFinder):
    """Finds Keras as the others do, and registers the network when it is loaded.

    Being found alone says nothing: TensorFlow looks whether Keras is there before it needs it.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader)
        return spec


class _RegisteringLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader):
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _KerasFinder)]
        self._loader.exec_module(module)
        # A module of ours that asks for Keras is imported to its end first: the network needs it.
        ours = [each for name, each in sys.modules.items() if name.startswith("nlrn_tf.")]
        if not any(map(_is_being_imported, ours)):
            importlib.import_module("nlrn_tf.model")


def _is_being_imported(module: types.ModuleType) -> bool:
    return getattr(module.__spec__, "_initializing", False)
