"""Ctrl-C and SIGTERM during a training."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def catch_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in a list instead of stopping the program."""
    received: list[int] = []

    def handler(number, _):
        if received:
            raise KeyboardInterrupt  # the second time at once
        received.append(number)

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, old in before.items():
            signal.signal(number, old)
