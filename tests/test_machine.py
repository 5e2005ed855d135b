import os
import resource
import subprocess
import sys

import pytest

from nlrn_tf import machine


def test_available_memory_is_a_part_of_what_there_is():
    available = machine.available_memory()
    if available is None:
        pytest.skip("the system does not tell")
    assert 0 < available <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_container_has_its_own_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 200000\n")
    assert machine.available_memory() == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory() != 500_000


def test_a_process_has_its_own_limit(monkeypatch):
    limits = (1 << 20, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    assert machine.available_memory() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="free is a command of Linux")
def test_memory_is_that_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    lines = subprocess.run(["free", "-b"], check=True, capture_output=True, text=True).stdout
    total = int(lines.splitlines()[1].split()[1])
    assert machine.memory() == pytest.approx(total, rel=0.01)


@pytest.mark.parametrize(("text", "is_limit"), [("1048576\n", True), ("max\n", False)])
def test_memory_of_a_container_is_its_limit(monkeypatch, tmp_path, text, is_limit):
    whole = machine.memory()
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text(text)
    assert machine.memory() == 2**20 if is_limit else machine.memory() >= whole
