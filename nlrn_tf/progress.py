"""The progress bar of work on many images."""

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def image_progress(visible: bool = True) -> Progress:
    """Images done and time left, on standard error when it is a terminal and `visible`."""
    console = Console(file=sys.stderr, highlight=False)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (visible and console.is_terminal),
        speed_estimate_period=3600,  # one image can take minutes
    )
