"""Sound files of training, and damage to them that keeps checksums right.

A byte that changes in an archive is mostly found by its checksum. What is behind the checksums is
tried too: the content of an entry, or of a JSON text, is damaged before it is wrapped.
"""

import copy
import io
import json
import zipfile

import numpy as np

from tests.support.mutations import mutated

_STRANGE = (None, True, -1, 0, 1, 2**20, 10**7, 2**63, 1e308, 0.5, "", "x", "../x", [], {}, [[]])


def with_damaged_entry(archive: bytes, seed: int) -> bytes:
    """A zip archive with one entry damaged, whose checksum is right again."""
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(io.BytesIO(archive)) as sound:
        entries = {name: sound.read(name) for name in sound.namelist()}
    names = sorted(entries, key=lambda name: not name.endswith(("json", "meta.npy")))
    name = names[0] if rng.integers(2) else names[rng.integers(len(names))]
    entries[name] = mutated(entries[name], seed)
    if rng.integers(8) == 0:
        del entries[names[rng.integers(len(names))]]
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as damaged:
        for name, content in entries.items():
            damaged.writestr(name, content)
    return result.getvalue()


def with_damaged_json(archive: bytes, name: str, seed: int) -> bytes:
    """A zip archive with one entry, of JSON or of an array that holds JSON, changed in a value."""
    with zipfile.ZipFile(io.BytesIO(archive)) as sound:
        entries = {entry: sound.read(entry) for entry in sound.namelist()}
    is_array = name.endswith(".npy")
    text = str(np.load(io.BytesIO(entries[name]))) if is_array else entries[name]
    text = json.dumps(changed_json(json.loads(text), seed))
    wrapped = io.BytesIO()
    np.save(wrapped, np.array(text))
    entries[name] = wrapped.getvalue() if is_array else text.encode()
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as damaged:
        for entry, content in entries.items():
            damaged.writestr(entry, content)
    return result.getvalue()


def changed_json(content, seed: int):
    """A parsed JSON text with one or two values changed, removed, added or exchanged."""
    rng = np.random.default_rng(seed)
    changed = copy.deepcopy(content)
    for _ in range(rng.integers(1, 3)):
        places = list(_places(changed))
        if places:
            holder, key = places[rng.integers(len(places))]
            _change(holder, key, rng)
    return changed if changed != content else [content]


def _places(value):
    """Each value within another: its holder and its key or index."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def _change(holder, key, rng):
    kind, value = rng.integers(6), holder[key]
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(value))
    elif kind == 2 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == 3 and isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = value + int(rng.integers(-2, 3)) if rng.integers(2) else value * 1000
    elif kind == 4 and isinstance(value, list | dict) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        one, two = (keys[rng.integers(len(keys))] for _ in range(2))
        value[one], value[two] = value[two], value[one]
    else:
        holder[key] = copy.deepcopy(_STRANGE[rng.integers(len(_STRANGE))])
