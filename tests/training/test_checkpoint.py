"""Checkpoints that are damaged or of something else: one line, and no other training."""

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nlrn_tf.training.start import resumed_run
from nlrn_tf.training.state import first_state
from tests.support.training import SMALL, new_model

AVERAGED = dataclasses.replace(SMALL, ema_decay=0.9)
META = "meta.npy"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A checkpoint of step 3."""
    state = first_state(new_model(AVERAGED), AVERAGED)
    run = Checkpoint(state, 3, 12, 0.5, 2, config=AVERAGED.flat())
    run.filters, run.embedding_size = AVERAGED.filters[-1], AVERAGED.embedding_size[-1]
    return save_checkpoint(tmp_path_factory.mktemp("sound"), run, keep=1)


@pytest.fixture
def saved(sound, tmp_path):
    """The same in a work folder, and what is in it."""
    path = tmp_path / "checkpoints" / sound.name
    path.parent.mkdir()
    path.write_bytes(sound.read_bytes())
    with zipfile.ZipFile(path) as archive:
        return path, {name: archive.read(name) for name in archive.namelist()}


def refused(saved, entries, message, method=zipfile.ZIP_STORED):
    path, _ = saved
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(NLRNError) as caught:
        resumed_run(AVERAGED, path.parents[1])
    line = str(caught.value)
    assert line.startswith(f"{path}: damaged checkpoint (")
    assert line.endswith("; delete it to go on from the one before")
    assert message in line
    assert line.isprintable()


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def test_a_number_that_is_no_character(saved):
    """NumPy makes a string of it, which ends Python where it is printed."""
    content = saved[1][META]
    bad = content[:-8] + (0x934BC764).to_bytes(4, "little") + content[-4:]
    refused(saved, {**saved[1], META: bad}, "can't decode bytes")


@pytest.mark.parametrize("part", ["trainable", "non_trainable", "momentum", "velocity", "ema"])
def test_a_missing_part_is_no_training_without_it(saved, part):
    entries = {name: content for name, content in saved[1].items() if not name.startswith(part)}
    refused(saved, entries, f"it has 0 arrays of {part}")


def test_averages_where_there_should_be_none(saved):
    path, _ = saved
    with pytest.raises(NLRNError, match=r"holds a run with ema_decay=0\.9"):
        resumed_run(SMALL, path.parents[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.zeros((3, 3, 6, 1), "f4")), ""),
        (npy(np.zeros((3, 3, 6, 2), "f4")), "conv_out/kernel has shape (3, 3, 6, 2)"),
        (npy(np.zeros((3, 3, 6, 1), "f8")), "is of float64, not float32"),
        (npy(np.zeros((3, 3, 6, 1), "i4")), "not an array of numbers"),
        (npy(np.array("text")), "not an array of numbers"),
        (npy(np.zeros((3, 3, 6, 1), "f4"))[:-1], "of the size that it says"),
        (npy(np.zeros((3, 3, 6, 1), "f4")).replace(b"(3, 3, 6", b"(9**9, "), "damaged"),
        (npy(np.zeros((3, 3, 6, 1), "f4")).replace(b"(3, 3, 6", b"'''\x00,6"), "damaged"),
        (npy(np.zeros((3, 3, 6, 1), "f4")).replace(b"(3, 3, 6, 1)", b"(99999999,) "), "size"),
        (b"", "damaged"),
    ],
)
def test_another_array(saved, content, message):
    entries = {**saved[1], "trainable/conv_out/kernel.npy": content}
    if message:
        return refused(saved, entries, message)
    with zipfile.ZipFile(saved[0], "w") as archive:
        for name, entry in entries.items():
            archive.writestr(name, entry)
    assert resumed_run(AVERAGED, saved[0].parents[1]).step == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 4}, "it is of step 4, not of that in its name"),
        ({"step": "3"}, "step must be a whole number, not '3'"),
        ({"step": -1}, "step must be at least 0 and at most 9.0072e+15, not -1"),
        ({"step": None}, "step must be a whole number, not None"),
        ({"minutes": float("inf")}, "at most 1e+09, not inf"),
        ({"minutes": []}, "minutes must be a number, not []"),
        ({"best": {}}, "best must be a number, not {}"),
        ({"curve": [1]}, "curve[0] must be an object, not 1"),
        ({"curve": [{"steps": 1}]}, "unknown columns"),
        ({"config": 7}, "config must be an object"),
        ({"num_states": 10**7}, "has shape (2, 6), but (10000000, 6) is needed"),
        ({"num_states": 0}, "num_states=0 is not allowed"),
        ({"filters": 2**20}, "is needed"),
        ({"filters": 0}, "filters=0 is not allowed"),
        ({"more": 1}, "unknown entry 'more'"),
    ],
)
def test_another_meta(saved, change, message):
    meta = json.loads(str(np.load(io.BytesIO(saved[1][META]))))
    refused(saved, {**saved[1], META: npy(np.array(json.dumps({**meta, **change})))}, message)


@pytest.mark.parametrize("name", ["step", "examples", "minutes", "num_states", "config", "curve"])
def test_a_meta_without_an_entry(saved, name):
    meta = json.loads(str(np.load(io.BytesIO(saved[1][META]))))
    del meta[name]
    text = npy(np.array(json.dumps(meta)))
    refused(saved, {**saved[1], META: text}, f"meta has no entry '{name}'")


@pytest.mark.parametrize(
    "content",
    [npy(np.array("[" * 100_000)), npy(np.array("")), npy(np.array(7)), npy(np.array("[]")), b"x"],
    ids=["brackets", "empty", "number", "list", "no array"],
)
def test_a_meta_that_is_none(saved, content):
    refused(saved, {**saved[1], META: content}, "")


def test_compressed_archives_and_unknown_methods(saved):
    refused(saved, saved[1], "compressed", zipfile.ZIP_DEFLATED)
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 10] = 99
    path.write_bytes(content)
    with pytest.raises(NLRNError, match="damaged checkpoint"):
        load_checkpoint(path)


def test_numbers_for_names_must_be_all_of_them(saved):
    """As in checkpoints of version 0.1."""
    numbered = {META: saved[1][META]}
    for part in ("trainable", "non_trainable", "momentum", "velocity", "ema", "counters"):
        names = [name for name in saved[1] if name.startswith(f"{part}/")]
        for number, name in enumerate(names):
            numbered[f"{part}/{number:03d}.npy"] = saved[1][name]
    del numbered["velocity/005.npy"]
    refused(saved, numbered, "velocity")
