"""What is said of the machine, against what Linux says itself."""

import subprocess
import sys

import pytest

from nlrn_tf import machine


@pytest.mark.skipif(sys.platform != "linux", reason="free is a command of Linux")
def test_memory_is_that_of_the_machine(monkeypatch):
    monkeypatch.setattr(machine, "MEMORY_LIMITS", ())
    lines = subprocess.run(["free", "-b"], check=True, capture_output=True, text=True).stdout
    total = int(lines.splitlines()[1].split()[1])
    assert machine.memory() == pytest.approx(total, rel=0.01)


@pytest.mark.parametrize(("text", "is_limit"), [("1048576\n", True), ("max\n", False)])
def test_memory_of_a_container_is_its_limit(monkeypatch, tmp_path, text, is_limit):
    whole = machine.memory()
    limit = tmp_path / "memory.max"
    limit.write_text(text)
    monkeypatch.setattr(machine, "MEMORY_LIMITS", (limit, tmp_path / "missing"))
    assert machine.memory() == 2**20 if is_limit else machine.memory() >= whole
