"""What killed writers leave is removed; what others write, or have written, is not."""

import os
import signal
import subprocess
import sys

import pytest

from nlrn_tf.files import atomic_folder, atomic_path, write_text
from nlrn_tf.storage.temporary import remove_abandoned

WRITER = """
import sys, time
from nlrn_tf.files import atomic_folder, atomic_path
with atomic_path(sys.argv[1] + "/step-00000001.npz") as file:
    file.write_bytes(b"half")
    with atomic_folder(sys.argv[1] + "/1") as folder:
        (folder / "saved_model.pb").write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing a file and a folder into `tmp_path`."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def test_what_is_being_written_stays(tmp_path, writer):
    names = set(os.listdir(tmp_path))
    assert len(names) == 2
    remove_abandoned(tmp_path)
    write_text(tmp_path / "other.txt", "")
    assert set(os.listdir(tmp_path)) == {*names, "other.txt"}
    assert all(name.startswith((".step-00000001.", ".1.")) for name in names)


def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(os.listdir(tmp_path)) == 2
    write_text(tmp_path / "next.txt", "")
    assert os.listdir(tmp_path) == ["next.txt"]


def test_files_of_users_stay(tmp_path):
    names = [".step-00000001.npz", ".best.abcdefgh.keras", ".a.nlrn-abc.png", "a.nlrn-abcdefgh.png"]
    names += [".a.nlrn-abcdefgh.tar.gz", ".nlrn-abcdefgh"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".a.nlrn-abcdefgh.png").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (tmp_path / ".b.nlrn-abcdefgh").symlink_to(outside)
    os.mkfifo(tmp_path / ".c.nlrn-abcdefgh")
    remove_abandoned(tmp_path)
    assert set(names) <= set(os.listdir(tmp_path))
    assert not (tmp_path / ".a.nlrn-abcdefgh.png").exists()
    assert (outside / "file").exists()
    remove_abandoned(tmp_path / "missing")


def test_writers_at_the_same_time_do_not_take_each_others(tmp_path):
    """Ten processes that each look for abandoned files before each of their own."""
    script = """
import sys
from pathlib import Path
from nlrn_tf.files import write_text
from nlrn_tf.storage.temporary import remove_abandoned
for number in range(100):
    remove_abandoned(Path(sys.argv[1]))
    write_text(f"{sys.argv[1]}/{sys.argv[2]}-{number}.txt", "whole")
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(number)])
        for number in range(4)
    ]
    assert [process.wait() for process in processes] == [0] * 4
    names = os.listdir(tmp_path)
    assert len(names) == 400
    assert {(tmp_path / name).read_text() for name in names} == {"whole"}


def test_names_are_beside_and_keep_the_suffix(tmp_path):
    with atomic_path(tmp_path / "a" / "weights.keras") as temporary:
        assert temporary.parent == tmp_path / "a"
        assert temporary.suffix == ".keras"
    long = tmp_path / ("a." + "n" * 253)
    with atomic_path(long) as temporary:
        temporary.touch()
    assert long.exists()
    with atomic_folder(tmp_path / "made") as temporary:
        assert temporary.name.startswith(".made.")
