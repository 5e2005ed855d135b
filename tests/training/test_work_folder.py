"""The work folder of a run: one process at a time, what a kill leaves, places that cannot be."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.storage.locks import lock_folder
from nlrn_tf.training.checkpoint import latest_checkpoint
from nlrn_tf.training.trainer import train
from tests.support.training import SMALL, arrays

ROOT = Path(__file__).resolve().parents[2]
SHORT = dataclasses.replace(SMALL, steps=2, validation_images=())

LEAVE = """
import os, signal, sys
from nlrn_tf.files import atomic_path
names = ["checkpoints/step-00000001.npz", "best.keras", "records/images-00000-of-00003.tfrecord"]
def leave(names):
    if not names:
        os.kill(os.getpid(), signal.SIGKILL)
    with atomic_path(f"{sys.argv[1]}/{names[0]}") as file:
        file.write_bytes(b"half")
        leave(names[1:])
leave(names)
"""


def command(photos, workdir, *flags):
    return [
        *(sys.executable, "run_train.py", f"--data_dir={photos}", f"--workdir={workdir}"),
        *("--sources=photos", "--filters=6", "--embedding_size=3", "--window_size=9"),
        *("--num_states=2", "--patch_size=9", "--batch_size=4", "--steps=200", *flags),
    ]


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_the_same(photos, tmp_path):
    """At random moments, the first before it has begun."""
    print(f"killed with checkpoints of the steps {kill_again_and_again(photos, tmp_path, 4)}")


def kill_again_and_again(photos, folder, kills):
    """Compares a run that is killed `kills` times with one that is not.

    Returns:
      The step of the newest checkpoint after each kill.
    """
    flags = (f"--steps={60 * kills}", "--checkpoint_steps=10", "--validation_steps=25")
    flags += ("--ema_decay=0.9", "--validation_images=photos/a", "--log_seconds=0")
    whole, cut = folder / "whole", folder / "cut"
    subprocess.run(command(photos, whole, *flags), cwd=ROOT, check=True, capture_output=True)
    rng = np.random.default_rng(os.getpid())
    steps = [0]
    for number in range(kills):
        with subprocess.Popen(
            command(photos, cut, *flags), cwd=ROOT, stderr=subprocess.PIPE, text=True
        ) as process:
            wanted = steps[-1] + rng.integers(1, 55) if number else 0
            while number and not process.stderr.readline().startswith(f"step {wanted} "):
                assert process.poll() is None
            time.sleep(rng.uniform(0, 0.1 if number else 5))  # of a step, or of the start
            process.kill()
        found = latest_checkpoint(cut / "checkpoints")
        steps.append(found.step if found else 0)
    subprocess.run(command(photos, cut, *flags), cwd=ROOT, check=True, capture_output=True)
    a, b = (latest_checkpoint(path / "checkpoints") for path in (whole, cut))
    assert (a.step, a.examples) == (b.step, b.examples)
    assert max(steps) < a.step
    assert largest_difference(a.state, b.state) == 0
    assert not list(cut.rglob(".*"))
    return steps[1:]


def largest_difference(one, two):
    pairs = zip(arrays(one), arrays(two), strict=True)
    return max(float(np.abs(x - y).max()) for x, y in pairs)


@pytest.mark.slow
def test_of_two_runs_in_one_folder_one_goes_on(photos, tmp_path):
    processes = [
        subprocess.Popen(
            command(photos, tmp_path / "run", f"--seed={seed}"),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    said = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1]
    winner, loser = codes.index(0), codes.index(1)
    lines = said[loser].splitlines()
    assert len(lines) == 1
    assert f"{tmp_path / 'run'}: in use by process {processes[winner].pid} on " in lines[0]
    assert "Traceback" not in "".join(said)
    run = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert (run.step, run.config["seed"]) == (200, winner + 1)
    assert not (tmp_path / "run" / ".lock").exists()


def test_records_for_two_are_made_by_one_at_a_time(photos, tmp_path):
    records = tmp_path / "records"
    with lock_folder(records), pytest.raises(NLRNError, match="records: in use by process"):
        train(SHORT, workdir=tmp_path / "a", data_dir=photos, records_dir=records)
    assert not (tmp_path / "a").exists()


def test_what_a_killed_run_has_left_is_removed(photos, tmp_path):
    killed = subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)])
    assert killed.returncode == -signal.SIGKILL
    hidden = list(tmp_path.rglob(".*"))
    assert len(hidden) == 3
    train(SHORT, workdir=tmp_path, data_dir=photos)
    assert not list(tmp_path.rglob(".*"))
    assert latest_checkpoint(tmp_path / "checkpoints").step == 2


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("/dev/null/run", r"^/dev/null/run: cannot be written \(Not a directory\)"),
        ("n" * 256, r"n{256}: cannot be written \(File name too long\)"),
        ("run\udcff", r"run\\udcff: the name is not UTF-8; give another place"),
        ("run\0", r"run\\x00: the name is not UTF-8"),
    ],
)
def test_places_that_cannot_be(photos, tmp_path, place, message):
    with pytest.raises(NLRNError, match=message):
        train(SHORT, workdir=tmp_path / place, data_dir=photos)
    with pytest.raises(NLRNError):
        train(SHORT, workdir=tmp_path / "a", data_dir=photos, records_dir=tmp_path / place)
    assert not os.listdir(tmp_path)


def test_tensorboard_as_a_file(photos, tmp_path):
    (tmp_path / "tensorboard").write_text("mine")
    with pytest.raises(NLRNError, match=r"tensorboard: cannot be written \(Not a directory\)"):
        train(SHORT, workdir=tmp_path, data_dir=photos)
    assert (tmp_path / "tensorboard").read_text() == "mine"


@pytest.fixture
def full_disk():
    """A limit of the size of files, in bytes, which the system tells as it tells a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1500, 20_000])
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(photos, tmp_path, full_disk, size):
    """At the records or the first checkpoint, and at the weights."""
    full_disk(size)
    with pytest.raises(NLRNError, match=r"cannot be written \(.*File too large"):
        train(SHORT, workdir=tmp_path, data_dir=photos)
    full_disk(10**9)
    train(SHORT, workdir=tmp_path, data_dir=photos)
    assert not list(tmp_path.rglob(".*"))
