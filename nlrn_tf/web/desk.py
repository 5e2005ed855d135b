"""Takes the images of all visitors, one after the other: each uses all processors."""

import contextlib
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path

from nlrn_tf.restoration.background import in_background
from nlrn_tf.web import words
from nlrn_tf.web.restoring import (
    Outcome,
    StoppedError,
    WatchedProgress,
    Wishes,
    restore_upload,
)
from nlrn_tf.web.settings import WebSettings

# Gets the part of the time that has passed, 0 to 1, and how much is left in words.
Look = Callable[[float, str], None]

_SECONDS_BETWEEN_LOOKS = 0.3


class Desk:
    """See above.

    Args:
      limits: what is taken.
      folder: for the files of the work; each image gets a folder of its own in it, which is
        removed.
    """

    def __init__(self, limits: WebSettings, folder: Path):
        self.limits, self.folder = limits, folder
        self._turn = threading.Lock()
        self._under_way: defaultdict[str, set[WatchedProgress]] = defaultdict(set)

    @contextlib.contextmanager
    def restored(self, path: str, wishes: Wishes, visitor: str, look: Look) -> Iterator[Outcome]:
        """Restores a file when its turn has come; the results are there within the block.

        Args:
          path: of the file.
          wishes: how.
          visitor: a name for who has brought it, for `stop`.
          look: called several times a second.

        Raises:
          StoppedError: it was stopped.
          NLRNError: see `restoring.restore_upload`.
        """
        watched = WatchedProgress()
        self._under_way[visitor].add(watched)
        try:
            with self._turn, tempfile.TemporaryDirectory(dir=self.folder) as folder:
                if watched.is_interrupted:
                    raise StoppedError("Stopped.")
                work = (path, wishes, self.limits, Path(folder), watched)
                outcome = in_background(restore_upload, *work)
                while not outcome.done():
                    left = words.left(watched.seconds_left())
                    look(watched.fraction(), "Stopping" if watched.is_interrupted else left)
                    wait([outcome], timeout=_SECONDS_BETWEEN_LOOKS)
                yield outcome.result()
        finally:
            self._under_way[visitor].discard(watched)
            if not self._under_way[visitor]:
                del self._under_way[visitor]

    def stop(self, visitor: str) -> None:
        """Stops what a visitor has under way, or waiting for its turn."""
        for watched in list(self._under_way.get(visitor, ())):
            watched.interrupt()

    def close(self) -> bool:
        """Stops everything; returns whether there was anything."""
        visitors = list(self._under_way)
        for visitor in visitors:
            self.stop(visitor)
        return bool(visitors)
