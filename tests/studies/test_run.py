"""Whole studies: what they leave, going on after an interruption, joining, and bad input."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from nlrn_tf.errors import NLRNError, NotFiniteError
from nlrn_tf.imaging.files import write_image
from nlrn_tf.studies import run
from nlrn_tf.studies.members import HELD_OUT
from nlrn_tf.studies.settings import StudySettings
from nlrn_tf.training.step import TrainingStep

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = StudySettings("table3", smoke=True)  # the one with the fewest members
FIRST, SECOND = SETTINGS.of_study.members


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Small images under the names that a trial reads."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in (*HELD_OUT[:2], "BSDS500/train/1", "BSDS500/train/2", "Set12/01"):
        coarse = rng.integers(30, 220, (6, 7), np.uint8)
        write_image(folder / f"{name}.png", np.kron(coarse, np.ones((8, 8), np.uint8)))
    return folder


@pytest.fixture
def steps(monkeypatch):
    """Counts the training steps."""
    taken, step = [], TrainingStep.__call__

    def counted(self, *arguments):
        taken.append(None)
        return step(self, *arguments)

    monkeypatch.setattr(TrainingStep, "__call__", counted)
    return taken


def study(workdir, data, settings=SETTINGS):
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    return run.run_study(settings, workdir=workdir, data_dir=data, console=console), printed


def only(member):
    return StudySettings("table3", smoke=True, only=(member,))


def test_an_interrupted_study_goes_on_and_trains_nothing_twice(data, tmp_path, steps, monkeypatch):
    calls, evaluate = [], run.evaluate

    def interrupted(*arguments, **options):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    monkeypatch.setattr(run, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path, data)
    assert list(json.loads((tmp_path / "study.json").read_text())["members"]) == [FIRST]
    assert f"Not done yet: {SECOND}" in (tmp_path / "study.md").read_text()
    results, printed = study(tmp_path, data)
    assert len(steps) == 2 * 40
    assert f"{FIRST} (1 of 2): done before" in printed.getvalue()
    written = json.loads((tmp_path / "study.json").read_text())
    assert list(written["members"]) == list(results) == [FIRST, SECOND]
    for name, result in results.items():
        assert result["steps"] == 40
        assert 10 < result["psnr"] < 40
        assert written["members"][name]["psnr"] == result["psnr"]
    assert written["members"][FIRST]["paper_psnr"] == 27.64
    with Image.open(tmp_path / "study.png") as plot:
        assert min(plot.size) > 400
    # The other rows of the paper's table, and the packaged weights with the paper's sizes.
    table = (tmp_path / "study.md").read_text()
    assert "| MemNet (paper) |  |  |  | 27.38 | 667,000 |" in table
    assert "| 330,625 | 38 | 8.60 M |" in table


def test_members_of_two_machines_are_joined_and_bad_folders_refused(data, tmp_path, steps):
    here, there = tmp_path / "here", tmp_path / "there"
    study(here, data, only(FIRST))
    study(there, data, only(SECOND))
    shutil.copytree(there / SECOND, here / SECOND)
    steps.clear()
    results, _ = study(here, data)
    assert (list(results), steps) == ([FIRST, SECOND], [])

    for settings, message in [
        (StudySettings("table1", smoke=True), "holds study table3, not table1"),
        (StudySettings("table3"), f"member {FIRST} was trained with sources=BSDS500/train, not "),
    ]:
        with pytest.raises(NLRNError, match=message):
            study(here, data, settings)
    path = here / SECOND / "member.json"
    content = json.loads(path.read_text())
    for changes, message in [
        ({"settings": {**content["settings"], "max_minutes": 5.0}}, "minutes_per_run=5.0"),
        ({"member": "nlrn"}, "is member nlrn of table3"),
    ]:
        path.write_text(json.dumps({**content, **changes}))
        with pytest.raises(NLRNError, match=message):
            study(here, data)
    path.write_text("{")
    with pytest.raises(NLRNError, match=r"member\.json: cannot be read"):
        study(here, data)
    assert steps == []


def test_a_member_whose_output_is_not_finite_is_said_to_be_so(data, tmp_path, monkeypatch):
    def evaluate(*_, **__):
        raise NLRNError("01.png: not finite") from NotFiniteError("not finite")

    monkeypatch.setattr(run, "evaluate", evaluate)
    results, printed = study(tmp_path, data, only(FIRST))
    assert results[FIRST]["psnr"] is None
    assert f"| {FIRST} | not finite |" in printed.getvalue()
    assert not (tmp_path / "study.png").exists()


def command(*flags):
    return [sys.executable, "run_study.py", *map(str, flags)]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--study=table9"], 2, "table9"),
        (["--study=table1", "--only=cosine"], 2, "--only=cosine"),
        (["--study=table1", "--smoke", "--data_dir=/nowhere"], 1, "/nowhere/Set12"),
    ],
)
def test_the_script_complains_in_one_line(tmp_path, flags, code, message):
    done = subprocess.run(
        command(*flags, f"--workdir={tmp_path}"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_killed_study_completes(data, tmp_path):
    call = command("--study=table1", "--smoke", f"--data_dir={data}", f"--workdir={tmp_path}")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    for line in process.stdout:
        if "(3 of 6)" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/weights.keras")}
    assert len(before) == 2
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("done before") == 2
    for path, time in before.items():
        assert path.stat().st_mtime_ns == time
    members = json.loads((tmp_path / "study.json").read_text())["members"]
    assert len(members) == 6
    assert all(member["psnr"] is not None for member in members.values())
