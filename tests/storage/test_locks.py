"""One process at a time in a folder, and what a killed one leaves behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.storage.locks import lock_file, lock_folder

HOLDER = """
import sys, time
from nlrn_tf.storage.locks import lock_folder
with lock_folder(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has locked `tmp_path / "run"`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def hold(folder):
    with lock_folder(folder):
        return True


def test_another_process_is_named(tmp_path, holder):
    expected = rf"run: in use by process {holder.pid} on [\w.-]+ \(-c .*run\); wait until"
    with pytest.raises(NLRNError, match=expected):
        hold(tmp_path / "run")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_lock_of_a_process_that_has_ended_is_free(tmp_path, holder, how):
    holder.send_signal(how)
    holder.wait()
    assert hold(tmp_path / "run")
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_lock_file_of_another_content_is_free(tmp_path):
    (tmp_path / ".lock").write_bytes(b"\xff\x1b[2J process 1 on x")
    assert hold(tmp_path)


def test_one_who_does_not_tell_its_name_is_another_process(tmp_path, holder):
    (tmp_path / "run" / ".lock").write_bytes(b"\x1b[2J process 1\nprocess 2 on x")
    with pytest.raises(NLRNError, match="in use by another process; wait"):
        hold(tmp_path / "run")


def test_files_are_locked_apart(tmp_path):
    with lock_file(tmp_path / "a.json"):
        with lock_file(tmp_path / "b.json"), lock_folder(tmp_path):
            assert hold(tmp_path / "other")
        with pytest.raises(NLRNError, match=rf"a\.json: in use by process {os.getpid()} "):
            lock_file(tmp_path / "a.json").__enter__()
    assert not list(tmp_path.iterdir())


def test_a_folder_made_for_the_lock_goes_with_it_unless_it_is_used(tmp_path):
    assert hold(tmp_path / "a" / "b")
    assert not (tmp_path / "a" / "b").exists()
    with lock_folder(tmp_path / "c"):
        (tmp_path / "c" / "file").touch()
    assert os.listdir(tmp_path / "c") == ["file"]
    (tmp_path / "d").mkdir()
    assert hold(tmp_path / "d")
    assert (tmp_path / "d").is_dir()


@pytest.mark.parametrize("place", ["/dev/null/run", "n" * 256])
def test_where_nothing_can_be_written_is_one_line(tmp_path, place):
    with pytest.raises(
        NLRNError, match=r"cannot be written \((Not a directory|File name too long)"
    ):
        hold(tmp_path / place)


def test_never_two_at_once(tmp_path):
    """Threads that take and free the lock all the time: nobody meets another one inside."""
    inside, met = [], []

    def work():
        for _ in range(300):
            with contextlib.suppress(NLRNError), lock_folder(tmp_path / "run"):
                inside.append(1)
                met.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(met) == {1}
    assert len(met) > 100
