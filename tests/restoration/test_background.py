import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlrn_tf.restoration.background import in_background

ROOT = Path(__file__).resolve().parents[2]

READS_FOR_AN_HOUR = """
import os, sys, time
from nlrn_tf import cli
from nlrn_tf.restoration import files, one_file

def read(*_):
    os.write(1, b"reads\\n")  # without the lock of sys.stdout, which a thread may hold at the end
    time.sleep(3600)

class Model:
    scale = None

def main(_):
    one_file.read_pictures = read
    source, output = sys.path.pop(), sys.path.pop()
    files.restore_files(Model(), [source], output, before_loading=cli.start_tensorflow)

sys.path += sys.argv[:0:-1]
del sys.argv[1:]
cli.run(main)
"""


def test_results_and_errors_are_those_of_the_function():
    assert in_background(divmod, 7, 2).result() == (3, 1)
    with pytest.raises(ZeroDivisionError):
        in_background(divmod, 7, 0).result()


def test_the_first_interrupt_ends_a_read_in_progress(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(b"x")
    command = [sys.executable, "-c", READS_FOR_AN_HOUR, tmp_path / "in", tmp_path / "out"]
    with subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "reads\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert process.returncode == 130
    assert complaint == "-c: interrupted\n"
