"""`.keras` files that are damaged, of something else, or made to do harm: one line, soon."""

import io
import json
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.weights.keras_file import read_network
from nlrn_tf.weights.loading import save_model

CONFIG, ARRAYS = "config.json", "model.weights.h5"


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """The entries of a sound file."""
    path = tmp_path_factory.mktemp("sound") / "a.keras"
    config = nlrn_tf.NLRNConfig(4, 2, 2, 5, task="denoise", noise_sigma=25.0)
    save_model(nlrn_tf.NLRN(config), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.keras"


def write(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def refused(path, message):
    start = time.monotonic()
    with pytest.raises(NLRNError) as caught:
        read_network(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert message in line
    assert line.isprintable()
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": 2**20}, "settings need"),
        ({"filters": 8}, "settings need"),
        ({"num_states": 10**7}, "settings need"),
        ({"num_states": 10**7, "tied_weights": False}, "settings need"),
        ({"num_states": 3}, "settings need 12 arrays of shape (3, 4), but it has 0"),
        ({"non_local_every": 0}, "settings need 6 arrays of shape (1, 4), but it has 7"),
        ({"filters": 0}, "filters=0 is not allowed"),
        ({"window_size": 10**30}, "below 2^31"),
        ({"filters": "four"}, "filters must be a whole number, not 'four'"),
        ({"filters": True}, "filters must be a whole number, not True"),
        ({"scales": [None]}, "scales[0] must be a whole number, not None"),
        ({"scales": 3}, "scales must be a list"),
        ({"similarity": "cosine"}, "similarity=cosine is not allowed"),
        ({"unroll": 1}, "unroll must be true or false"),
        ({"noise_sigma": float("nan")}, "noise_sigma=nan is not allowed"),
        ({"depth\x1b[2J": 1}, "unknown entry"),
    ],
)
def test_settings_that_do_not_fit_the_arrays_or_their_types(path, entries, changes, message):
    described = json.loads(entries[CONFIG])
    described["config"]["config"] |= changes
    write(path, {**entries, CONFIG: json.dumps(described)})
    refused(path, message)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("[" * 100_000, "recursion"),
        ("", "not JSON"),
        ("[]", "must be an object"),
        ('{"class_name": "NLRN", "registered_name": "nlrn_tf>NLRN"}', "config must be an object"),
        ('{"class_name": "NLRN", "registered_name": "x>NLRN"}', "an NLRN of another program"),
        ('{"class_name": {"a": []}}', "holds a something else, not an NLRN"),
    ],
    ids=lambda value: value[:20],
)
def test_other_descriptions(path, entries, described, message):
    write(path, {**entries, CONFIG: described})
    refused(path, message)


def test_nothing_that_a_file_names_is_built_or_called(path, entries):
    described = {
        "module": "keras.layers",
        "class_name": "TorchModuleWrapper",
        "registered_name": None,
        "config": {"module": {"class_name": "__lambda__", "config": {"value": "4wA="}}},
    }
    write(path, {**entries, CONFIG: json.dumps(described)})
    refused(path, "holds a TorchModuleWrapper, not an NLRN")


def test_archives_of_other_kinds(path, entries):
    write(path, entries)
    content = path.read_bytes()
    place = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: place + 10] + b"\x63" + content[place + 11 :])  # of the method
    refused(path, "an entry is compressed")
    write(path, {**entries, "bomb": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    refused(path, "an entry is compressed")
    write(path, {CONFIG: entries[CONFIG]})
    refused(path, "there is no model.weights.h5 in it")
    damaged = bytearray(content)
    damaged[content.index(b"\x89HDF") + 9000] ^= 1
    path.write_bytes(damaged)
    refused(path, "Bad CRC-32")
    write(path.with_suffix(".zip"), entries)
    refused(path.with_suffix(".zip"), "name ends in .keras")


@pytest.mark.parametrize("length", [0, 7, 100, 2000, -100, -1])
def test_arrays_that_are_cut(path, entries, length):
    """h5py raises RuntimeError, OSError, KeyError and others."""
    write(path, {**entries, ARRAYS: entries[ARRAYS][:length]})
    refused(path, "not a .keras file, or a damaged one")


def change_arrays(entries, change):
    file = io.BytesIO(entries[ARRAYS])
    with h5py.File(file, "r+") as arrays:
        change(arrays)
    return {**entries, ARRAYS: file.getvalue()}


PLACE, MORE = "conv_out/vars/0", np.zeros(7, "f4")


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (lambda f: f.update({PLACE: h5py.ExternalLink("/etc/passwd", "/")}), "links"),
        (lambda f: f.update({PLACE: h5py.SoftLink("/conv_in/vars/0")}), "links"),
        (lambda f: f.create_dataset(PLACE, (3, 3, 4, 1), "f8"), "plain float32"),
        (lambda f: f.create_dataset(PLACE, (10**5, 10**5), "f4"), "larger than the file"),
        (lambda f: f.create_dataset(PLACE, (10**9,), "f4", chunks=(10**6,)), "plain float32"),
        (lambda f: f.create_dataset(PLACE, (3, 3, 4, 2), "f4"), "but it has 0"),
        (lambda f: None, "but it has 0"),
        (lambda f: f.update({PLACE: np.zeros((3, 3, 4, 1), "f4"), "more": MORE}), "not used"),
    ],
)
def test_other_arrays(path, entries, replace, message):
    def change(file):
        del file[PLACE]
        replace(file)

    write(path, change_arrays(entries, change))
    refused(path, message)


def test_groups_without_an_end(path, entries):
    def change(file):
        file["layers"]["itself"] = file["layers"]

    write(path, change_arrays(entries, change))
    refused(path, "nested too deeply")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_files_that_keras_has_saved_are_read(path, policy):
    keras.utils.set_random_seed(3)
    model = nlrn_tf.NLRN(nlrn_tf.NLRNConfig(4, 2, 2, 5, similarity="gaussian"), dtype=policy)
    model.save(path)
    read = read_network(path)
    assert read.config == model.config
    for weight, expected in zip(read.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
