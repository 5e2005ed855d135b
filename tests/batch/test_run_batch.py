"""The command: its flags, and what it says where it cannot begin."""

import subprocess
import sys
from pathlib import Path

import pytest

from nlrn_tf.batch.run import Outcome
from nlrn_tf.batch.settings import BatchSettings
from nlrn_tf.restoration.settings import RestorationSettings
from tests.support.script_calls import script_calls

SCRIPT = Path(__file__).resolve().parents[2] / "run_batch.py"

# Runs the script where a package cannot be imported.
_WITHOUT = """
import runpy, sys
sys.modules[sys.argv.pop(1)] = None
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments, without, cwd):
    command = [sys.executable, "-c", _WITHOUT, without, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_without_beam(tmp_path):
    done = run("--input=photos", "--output=out", without="apache_beam", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "run_batch.py: a batch needs Apache Beam: `pip install apache-beam` (the extra 'batch' of "
        "nlrn-tf)\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["tensorflow", "apache_beam"])
def test_help_is_light(package, tmp_path):
    done = run("--help", without=package, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for flag in ("--input", "-o,--output", "--runner", "--direct_num_workers", "--noise_sigma"):
        assert flag in done.stdout
    assert "--skip_existing" not in done.stdout  # always


def test_what_the_flags_ask_for(tmp_path):
    place = ["--input=a/*.png", "--output=b"]
    commands = [
        [*place, "--task=sr", "--scale=2.5"],
        [*place, "--runner=FlinkRunner", "--", "--flink_master=here"],
        [*place, "--direct_num_workers=-1"],
        [*place, "--noise_sigma=9", "--task=sr"],
        [*place, "--suffix=.gif"],
        [*place, "more"],
        ["--input=a"],
    ]
    function = "nlrn_tf.batch.run.run_batch"
    nothing = Outcome(0, 0, 0, 0, "b/failures.jsonl", 0.0, 0.0)
    found = script_calls(tmp_path, "batch", function, commands, True, nothing)
    scaled, flink, *wrong = found
    [(arguments, _)] = scaled[1:]
    expected = ("a/*.png", "b", RestorationSettings(task="sr", scale=2.5), BatchSettings())
    assert arguments == expected
    [(arguments, named)] = flink[1:]
    assert arguments[3] == BatchSettings(runner="FlinkRunner")
    assert named["beam_options"] == ["--flink_master=here"]
    assert wrong == [(2,)] * 5
