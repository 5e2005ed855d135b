"""The processor and the memory of this machine."""

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

# Of the container that the process runs in, of both versions of control groups.
MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


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


def memory() -> int:
    """The bytes of memory that this machine has or, if less, that its container may use."""
    amounts = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in MEMORY_LIMITS:
        text = path.read_text().strip() if path.exists() else "max"
        amounts += [int(text)] if text.isdigit() else []
    return min(amounts)


def _entry(name: str) -> str:
    """The value of the first entry of this name in /proc/cpuinfo; empty where there is none."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
