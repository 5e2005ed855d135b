"""A history that is damaged does not keep a run from going on."""

import json

import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.training.history import DAMAGED_NAME, NAME, read_history, record_start

SOUND = {"date": "2026-01-31", "command": "c", "commit": None, "machine": "m", "versions": {}}


@pytest.mark.parametrize(
    "content",
    ["", "[", "[" * 100_000, "{}", "[1]", json.dumps([{**SOUND, "date": 1}]), "[{}]", "\x00"],
    ids=range(8),
)
def test_a_damaged_one_is_put_aside(tmp_path, capsys, content):
    (tmp_path / NAME).write_text(content)
    with pytest.raises(NLRNError, match=r"history\.json: damaged history of the run"):
        read_history(tmp_path)
    record_start(tmp_path, ["run_train.py", "--steps=1"])
    assert [start["command"] for start in read_history(tmp_path)] == [
        "python run_train.py --steps=1"
    ]
    assert (tmp_path / DAMAGED_NAME).read_text() == content
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {tmp_path / NAME}: damaged history")
    assert said.count("\n") == 1
    assert said.endswith(f"it is kept as {DAMAGED_NAME}, and a new one begun\n")


def test_a_sound_one_goes_on(tmp_path, capsys):
    (tmp_path / NAME).write_text(json.dumps([SOUND]))
    record_start(tmp_path, ["run_train.py"])
    assert read_history(tmp_path)[0] == SOUND
    assert not capsys.readouterr().err
