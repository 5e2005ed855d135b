"""Starts the processes of distributed training runs, for tests."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "support" / "replicas.py"
PORT_TAKEN = "cannot join the others"


def start(data, runs, **environment):
    """A process of `replicas.py`; what it says goes to `process.said`."""
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (of the process)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(data), json.dumps(runs)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stderr=said,
    )
    process.said = said
    return process


def said_by(process):
    process.said.seek(0)
    return process.said.read()


def run(data, runs, **environment):
    """Runs one process to its end."""
    process = start(data, runs, **environment)
    assert process.wait(timeout=600) == 0, said_by(process)


@contextlib.contextmanager
def workers(data, runs, count=2):
    """Processes that find each other by TF_CONFIG, when they have; they are killed at the end.

    A port that is free now may be taken a moment later: then others are tried.
    """
    for _ in range(5):
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        processes = [start(data, runs, TF_CONFIG=tf_config(addresses, i)) for i in range(count)]
        try:
            if not port_was_taken(processes):
                yield processes
                return
        finally:
            for process in processes:
                process.kill()
                process.wait()
    raise AssertionError("no free ports")


def tf_config(addresses, index):
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def port_was_taken(processes):
    """Waits until the chief trains, or a process has ended."""
    while all(process.poll() is None for process in processes):
        if " states of " in said_by(processes[0]):
            return False
        time.sleep(0.1)
    return any(PORT_TAKEN in said_by(process) for process in processes)


def end(processes, seconds=300):
    """The exit codes."""
    return [process.wait(timeout=seconds) for process in processes]
