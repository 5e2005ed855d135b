"""`history.json` in a work folder: each start of the run, so that the weights can be traced."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nlrn_tf import backend, machine
from nlrn_tf.files import write_text

NAME = "history.json"


def record_start(workdir: str | os.PathLike, arguments: Sequence[str]) -> None:
    """Appends this start to the history of the run: command, commit, machine, versions."""
    start = {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python", *arguments]),
        "commit": _commit(),
        "machine": machine.described(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("keras", backend.name())},
        },
    }
    history = [*read_history(workdir), start]
    write_text(Path(workdir) / NAME, json.dumps(history, indent=1) + "\n")


def read_history(workdir: str | os.PathLike) -> list[dict]:
    """The starts of a run in order; empty when there are none."""
    path = Path(workdir) / NAME
    return json.loads(path.read_text()) if path.exists() else []


def _commit() -> str | None:
    """The commit of the source, None when it does not lie in a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
