"""The processor and the memory of this machine."""

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")  # of version 2, as containers see it


def processor_name() -> str:
    """Such as "Intel(R) Xeon(R) Processor"."""
    return _entry("model name") or platform.processor() or platform.machine()


def processor_features() -> frozenset[str]:
    """The instruction sets by their names in Linux, such as "amx_bf16"; empty elsewhere."""
    return frozenset(_entry("flags").split())


def described() -> str:
    """Processor and number of cores, in words."""
    return f"{processor_name()}, {os.cpu_count()} cores"


def num_cores() -> int:
    """The cores that this process may use."""
    can_tell = hasattr(os, "sched_getaffinity")  # not on macOS
    return len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that this process may still take; None where the system does not tell.

    The least of what is free on the machine, within the control group (a container), and below
    the limit of the process (`ulimit -v`). Caches of files count as free.
    """
    found = [_free_on_the_machine(), _free_in_the_group(), _free_for_the_process()]
    return min((size for size in found if size is not None), default=None)


def _free_on_the_machine() -> int | None:
    return _kibibytes(Path("/proc/meminfo"), "MemAvailable")


def _free_in_the_group() -> int | None:
    try:
        limit = (CONTROL_GROUP / "memory.max").read_text()
        used = int((CONTROL_GROUP / "memory.current").read_text())
        statistics = (CONTROL_GROUP / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    caches = sum(int(line.split()[1]) for line in statistics if line.startswith("inactive_file "))
    return max(int(limit) - used + caches, 0) if limit.strip().isdigit() else None


def _free_for_the_process() -> int | None:
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _kibibytes(Path("/proc/self/status"), "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else max(limit - used, 0)


def _kibibytes(path: Path, name: str) -> int | None:
    """The value of an entry that is in KiB, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(name)), None)


def _entry(name: str) -> str:
    """The value of the first entry of this name in /proc/cpuinfo; empty where there is none."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
