import os
import resource

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
