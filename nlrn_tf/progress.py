"""The progress of work on many images."""

import datetime
import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nlrn_tf.errors import printable

LOG_SECONDS = 60


def image_progress(visible: bool = True) -> Progress:
    """Images done and time left, on standard error when `visible`.

    A bar on a terminal; elsewhere a line now and then (`LOG_SECONDS`), when an image begins.
    """
    console = Console(file=sys.stderr, highlight=False)
    return _ImageProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (visible and console.is_terminal),
        get_time=time.monotonic,
        speed_estimate_period=3600,  # one image can take minutes
        log_lines=visible and not console.is_terminal,
    )


class _ImageProgress(Progress):
    def __init__(self, *columns, log_lines: bool, **options):
        super().__init__(*columns, **options)
        self._log_lines = log_lines
        self._last_line = time.monotonic()

    def update(self, task_id: TaskID, **changes) -> None:
        if "description" in changes:  # the name of a file
            changes["description"] = printable(changes["description"])
        super().update(task_id, **changes)
        if not self._log_lines or time.monotonic() - self._last_line < LOG_SECONDS:
            return
        self._last_line = time.monotonic()
        task = self._tasks[task_id]
        seconds = task.time_remaining
        left = "?" if seconds is None else datetime.timedelta(seconds=round(seconds))
        line = f"{task.completed:.0f} of {task.total:.0f} images done, {left} left"
        self.console.print(line, markup=False, soft_wrap=True)
