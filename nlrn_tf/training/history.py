"""`history.json` in a work folder: each start of the run, so that the weights can be traced."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from nlrn_tf import backend, machine
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import write_text, writing
from nlrn_tf.storage.reading import read_json
from nlrn_tf.storage.schema import Matching

NAME = "history.json"
DAMAGED_NAME = "history.damaged.json"


@dataclasses.dataclass
class Start:
    """One start of a run."""

    date: Annotated[str, Matching(r"\d{4}-\d\d-\d\d")]
    command: str
    commit: str | None
    machine: str
    versions: dict[str, str]


def record_start(workdir: str | os.PathLike, arguments: Sequence[str]) -> None:
    """Appends this start to the history of the run: command, commit, machine, versions.

    A damaged history is put aside, with a warning on standard error.

    Raises:
      NLRNError: the file cannot be written.
    """
    start = {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python", *arguments]),
        "commit": _commit(),
        "machine": ", ".join([machine.described(), *backend.accelerators()]),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("keras", backend.name())},
        },
    }
    path = Path(workdir) / NAME
    try:
        history = read_history(workdir)
    except NLRNError as error:
        # The run does not depend on it.
        kept = path.with_name(DAMAGED_NAME)
        with writing(kept):
            path.replace(kept)
        print(f"warning: {error}; it is kept as {kept.name}, and a new one begun", file=sys.stderr)
        history = []
    write_text(path, json.dumps([*history, start], indent=1) + "\n")


def read_history(workdir: str | os.PathLike) -> list[dict]:
    """The starts of a run in order; empty when there are none.

    Raises:
      NLRNError: the file is damaged.
    """
    path = Path(workdir) / NAME
    if not path.exists():
        return []
    starts = read_json(path, list[Start], "damaged history of the run")
    return [dataclasses.asdict(start) for start in starts]


def _commit() -> str | None:
    """The commit of the source, None when it does not lie in a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
