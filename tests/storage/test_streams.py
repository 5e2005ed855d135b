"""A program whose output goes nowhere does its work, and says what it can."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
from pathlib import Path
from nlrn_tf import cli

def main(arguments):
    for number in range(2000):
        print(number, "\\u5199\\u771f \\xe9" + 60 * "x", flush=number % 7 == 0)
        print(number, "\\u5199", file=sys.stderr)
    Path(arguments[0]).write_text("done")

cli.run(main, takes_arguments=True)
"""


def run(tmp_path, redirection, encoding="utf-8"):
    """Exit code, standard error, and whether the work was done."""
    done = tmp_path / "done"
    command = f'"$0" -c "$1" "$2" {redirection}; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(
        ["bash", "-c", command, sys.executable, PROGRAM, done],
        cwd=ROOT,
        env={"PYTHONIOENCODING": encoding, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in ended.stderr
    return ended.returncode, ended.stderr, done.exists()


@pytest.mark.parametrize(
    "redirection",
    ["| head -n 1", "2>&1 | head -n 1", "| true", ">&-", "2>&-", "<&- >&- 2>&-", "</dev/null"],
)
def test_the_work_is_done(tmp_path, redirection):
    code, _, is_done = run(tmp_path, redirection)
    assert (code, is_done) == (0, True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "ascii:strict"])
def test_what_the_encoding_lacks_is_escaped(tmp_path, encoding):
    code, errors, is_done = run(tmp_path, "2> /dev/null | tail -n 1 >&2", encoding)
    assert (code, is_done) == (0, True)
    assert errors.startswith(rb"1999 \u5199\u771f ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_when_the_work_is_done(tmp_path):
    code, errors, is_done = run(tmp_path, "> /dev/full")
    assert (code, is_done) == (1, True)
    last = errors.splitlines()[-1]
    assert last.endswith(b"standard output: cannot be written (No space left on device)")
