"""The progress of work on many images."""

import bisect
import datetime
import itertools
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from nlrn_tf.errors import printable

LOG_SECONDS = 60

# A told duration counts as much as the work of so many seconds that has been measured.
TRUSTED_SECONDS = 10


class TimeLeft:
    """The time left of work on images, by what each of them costs.

    Args:
      costs: of each image, in proportion, or in seconds where `in_seconds`.
      in_seconds: whether the costs tell how long the images take, so that the time left is known
        before anything is done. What is then measured corrects it.
      completed: images that were done before.
    """

    def __init__(self, costs: Sequence[float], *, in_seconds: bool = False, completed: float = 0):
        self._sums = [0.0, *itertools.accumulate(costs)]
        self._trusted = TRUSTED_SECONDS if in_seconds else 0
        self._first = self._done = self._cost(completed)
        self._began = self._changed = time.monotonic()

    def update(self, completed: float) -> None:
        """Takes the number of images that are done, with the part of the present one."""
        done = self._cost(completed)
        if done > self._done:
            self._done, self._changed = done, time.monotonic()

    def seconds(self) -> float | None:
        """The time left; None as long as nothing tells it.

        It falls while a piece of an image is under way too; where that takes longer than it should,
        a tenth of the image stays left.
        """
        known = self._trusted + self._done - self._first
        if not known:
            return None
        rate = (self._trusted + self._changed - self._began) / known
        end = self._sums[min(bisect.bisect_right(self._sums, self._done), len(self._sums) - 1)]
        image = rate * (end - self._done)
        under_way = time.monotonic() - self._changed
        return max(image - under_way, image / 10) + rate * (self._sums[-1] - end)

    def _cost(self, completed: float) -> float:
        whole = min(int(completed), len(self._sums) - 1)
        following = min(whole + 1, len(self._sums) - 1)
        part = completed - whole
        return (1 - part) * self._sums[whole] + part * self._sums[following]


def image_progress(visible: bool = True) -> "ImageProgress":
    """Images done and time left, on standard error when `visible`.

    A bar on a terminal; elsewhere a line now and then (`LOG_SECONDS`), when a piece of work is
    done.
    """
    console = Console(file=sys.stderr, highlight=False)
    return ImageProgress(console, visible)


class ImageProgress(Progress):
    """A bar for one task, whose steps are images; see `image_progress`."""

    def __init__(self, console: Console, visible: bool):
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _TimeLeftColumn(self),
            console=console,
            disable=not (visible and console.is_terminal),
            get_time=time.monotonic,
        )
        self.left: TimeLeft | None = None
        self._log_lines = visible and not console.is_terminal
        self._last_line = time.monotonic()

    def expect(self, costs: Sequence[float], *, in_seconds: bool) -> None:
        """Tells what the images cost, from now on; until then all cost the same.

        Args: see `TimeLeft`.
        """
        completed = sum(task.completed for task in self.tasks)
        self.left = TimeLeft(costs, in_seconds=in_seconds, completed=completed)

    def update(self, task_id: TaskID, **changes) -> None:
        if "description" in changes:  # the name of a file
            changes["description"] = printable(changes["description"])
        super().update(task_id, **changes)
        self._report(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._report(task_id)

    def add_task(
        self,
        description: str,
        start: bool = True,
        total: float | None = 100.0,
        completed: int = 0,
        visible: bool = True,
        **fields,
    ) -> TaskID:
        if self.left is None:
            self.left = TimeLeft([1.0] * round(total or 0), completed=completed)
        return super().add_task(description, start, total, completed, visible, **fields)

    def _report(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if self.left is None:
            return
        self.left.update(task.completed)
        if not self._log_lines or time.monotonic() - self._last_line < LOG_SECONDS:
            return
        self._last_line = time.monotonic()
        done = int(task.completed + 1e-6)  # of parts that are added up
        line = f"{done} of {task.total:.0f} images done, {shown(self.left.seconds())} left"
        self.console.print(line, markup=False, soft_wrap=True)


class _TimeLeftColumn(ProgressColumn):
    def __init__(self, progress: ImageProgress):
        super().__init__()
        self._progress = progress

    def render(self, task) -> Text:
        left = self._progress.left
        seconds = None if left is None else left.seconds()
        return Text(f"{shown(seconds)} left", style="progress.remaining")


def shown(seconds: float | None) -> str:
    """Hours, minutes and seconds; "?" where they are not known."""
    return "?" if seconds is None else str(datetime.timedelta(seconds=round(seconds)))
