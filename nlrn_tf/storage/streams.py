"""Standard streams of programs: what cannot be printed neither ends the work nor is a traceback."""

import io
import os
import sys

_NAMES = {1: "stdout", 2: "stderr"}


def make_lasting() -> None:
    """Makes standard output and standard error such that writing to them raises nothing.

    Letters that their encoding lacks are escaped. A pipe whose reader has gone (`| head`) takes
    what is left into nothing, and so does a full disk, which `problem` tells. A stream that is
    closed is opened on nothing: files that are opened later would take its number.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # the lowest that is free
        pass
    os.close(number)
    for number, name in _NAMES.items():
        stream = getattr(sys, name)
        if stream is None or (stream is getattr(sys, f"__{name}__") and _is_of(stream, number)):
            setattr(sys, name, _lasting(stream, number))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def problem() -> OSError | None:
    """Why standard output was not written whole; None where it was, or where its reader has gone.

    Flushes it.
    """
    if sys.stdout is None:
        return None
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    found = raw.problem if isinstance(raw, _Lasting) else None
    return None if isinstance(found, BrokenPipeError) else found


class _Lasting(io.RawIOBase):
    """A file of the system that takes everything; its first problem is kept."""

    def __init__(self, number: int):
        self._number = number
        self.problem: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data) -> int | None:
        if self.problem is None:
            try:
                return os.write(self._number, data)
            except BlockingIOError:
                return None
            except OSError as error:
                self.problem = error
        return len(data)


def _is_of(stream: object, number: int) -> bool:
    return isinstance(stream, io.TextIOWrapper) and stream.fileno() == number


def _lasting(stream: io.TextIOWrapper | None, number: int) -> io.TextIOWrapper:
    raw = _Lasting(number)
    if stream is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace")
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
