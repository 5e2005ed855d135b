"""Many cases of one check, each under a limit of time and memory, in processes of their own."""

import collections
import contextlib
import dataclasses
import importlib
import multiprocessing
import multiprocessing.connection
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from nlrn_tf.errors import NLRNError

SECONDS, GROWTH = 5.0, 1 << 30  # of a case
# The limit of time is one of the processor, which others may use too; by the clock it is so many
# times as long, for a case that only waits.
PATIENCE = 12
_START_SECONDS = 120.0  # of a process, which may load TensorFlow

RIGHT, REFUSED = "right", "refused"
GOOD = (RIGHT, REFUSED)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a case has ended.

    Attributes:
      case: what the check was given.
      outcome: "right"; "refused", by an `NLRNError` of one printable line; or a failure: "wrong"
        (AssertionError of the check), "escaped" (any other exception), "printed" (to standard
        output or error), "hung", "grew", "died".
      detail: what the check has returned, the message, or the traceback.
      seconds: of the processor that it took.
      growth: of the memory of the process at its highest, in bytes; 0 where the system does not
        tell.
    """

    case: object
    outcome: str
    detail: str
    seconds: float
    growth: int


def run_trials(
    check: str,
    cases: Iterable[object],
    *,
    workers: int = 2,
    seconds: float = SECONDS,
    growth: int = GROWTH,
    silent: bool = True,
) -> list[Verdict]:
    """Runs a check on all cases. A process that hangs, grows or dies is replaced.

    Args:
      check: "module:function". It gets a case, raises AssertionError for a wrong result, and
        returns a word on a right one.
      cases: what can be pickled; seeds are best.
      workers: number of processes.
      seconds: limit for each case, see `PATIENCE`.
      growth: limit of the memory that a case adds, in bytes.
      silent: whether a case fails that writes to standard output or error.

    Returns:
      A verdict for each case, in order.
    """
    waiting = collections.deque(enumerate(cases))
    verdicts: dict[int, Verdict] = {}
    running: list[_Worker] = []
    try:
        while waiting or any(worker.busy for worker in running):
            while len(running) < min(workers, len(waiting)):
                running.append(_Worker(check, seconds, growth, silent))
            for worker in running:
                if waiting and worker.idle:
                    worker.begin(*waiting.popleft())
            multiprocessing.connection.wait([worker.connection for worker in running], 0.05)
            for worker in [*running]:
                verdict = worker.look()
                if verdict is not None:
                    verdicts[worker.number] = verdict
                if worker.ended:
                    running.remove(worker)
    finally:
        for worker in running:
            worker.stop()
    return [verdicts[number] for number in sorted(verdicts)]


def failures(verdicts: Sequence[Verdict], most: int = 5) -> str:
    """The first failures in words, for an assertion; empty where all is well."""
    bad = [verdict for verdict in verdicts if verdict.outcome not in GOOD]
    shown = [f"{v.case}: {v.outcome} after {v.seconds:.1f} s: {v.detail}" for v in bad[:most]]
    return "\n".join([f"{len(bad)} of {len(verdicts)} failed", *shown]) if bad else ""


def summary(verdicts: Sequence[Verdict]) -> str:
    """Counts of outcomes, and the extremes."""
    counts = collections.Counter(verdict.outcome for verdict in verdicts)
    slowest = max(verdict.seconds for verdict in verdicts)
    growth = max(verdict.growth for verdict in verdicts) / 2**20
    words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    return f"{len(verdicts)} cases: {words}; at most {slowest:.2f} s and {growth:.0f} MiB"


class _Worker:
    """A process, seen from outside."""

    def __init__(self, check: str, seconds: float, growth: int, silent: bool):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(check, theirs, silent), daemon=True)
        self._process.start()
        theirs.close()
        self._seconds, self._growth = seconds, growth
        self._begun, self._used, self._memory = time.monotonic(), 0.0, 0
        self._ready = self.busy = self.ended = False
        self.number = -1
        self._case: object = None

    @property
    def idle(self) -> bool:
        return self._ready and not self.busy and not self.ended

    def begin(self, number: int, case: object) -> None:
        self.number, self._case, self.busy = number, case, True
        self._begun, self._used = time.monotonic(), _processor_seconds(self._process.pid)
        with contextlib.suppress(BrokenPipeError):  # seen by `look`
            self.connection.send(case)

    def look(self) -> Verdict | None:
        """The verdict on the present case when there is one."""
        waited = time.monotonic() - self._begun
        taken = _processor_seconds(self._process.pid) - self._used
        try:
            if self.connection.poll():
                return self._received()
        except (EOFError, ConnectionResetError):
            if not self._ready:
                raise RuntimeError("a process for trials did not start") from None
            return self._give_up("died", f"exit code {self._exit_code()}", taken)
        if not self._ready:
            if waited > _START_SECONDS:
                raise RuntimeError("a process for trials did not start in time")
        elif self.busy and (taken > self._seconds or waited > PATIENCE * self._seconds):
            return self._give_up("hung", f"{waited:.1f} s by the clock", taken)
        elif self.busy and self._grown() > self._growth:
            return self._give_up("grew", "", taken)
        return None

    def stop(self) -> None:
        self.ended = True
        self.busy = False
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _received(self) -> Verdict | None:
        outcome, detail, taken, grown, self._memory = self.connection.recv()
        if not self._ready:
            self._ready = True
            return None
        self.busy = False
        if taken > self._seconds:
            outcome = "hung"
        elif grown > self._growth:
            outcome = "grew"
        return Verdict(self._case, outcome, detail, taken, grown)

    def _give_up(self, outcome: str, detail: str, taken: float) -> Verdict:
        grown = self._grown()
        self.stop()
        return Verdict(self._case, outcome, detail, taken, grown)

    def _grown(self) -> int:
        return max(memory_of(self._process.pid, "VmRSS") - self._memory, 0)

    def _exit_code(self) -> int | None:
        self._process.join(5)
        return self._process.exitcode


def _serve(check: str, connection: multiprocessing.connection.Connection, silent: bool) -> None:
    """What a process does: a case after the other."""
    module, _, name = check.partition(":")
    function = getattr(importlib.import_module(module), name)
    with tempfile.TemporaryFile() as printed:
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
        connection.send(("ready", "", 0.0, 0, memory_of(os.getpid(), "VmRSS")))
        while True:
            try:
                case = connection.recv()
            except EOFError:
                return
            printed.truncate(0)
            printed.seek(0)
            before, begun = memory_of(os.getpid(), "VmRSS"), sum(os.times()[:4])
            _forget_peak()
            outcome, detail = _judged(function, case)
            taken = sum(os.times()[:4]) - begun
            sys.stdout.flush()
            sys.stderr.flush()
            said = os.pread(printed.fileno(), 500, 0)
            if silent and said and outcome in GOOD:
                outcome, detail = "printed", said.decode(errors="replace")
            grown = max(memory_of(os.getpid(), "VmHWM") - before, 0)
            connection.send((outcome, detail, taken, grown, memory_of(os.getpid(), "VmRSS")))


def _judged(function, case: object) -> tuple[str, str]:
    try:
        return RIGHT, str(function(case))
    except NLRNError as error:
        line = str(error)
        return (REFUSED if line and line.isprintable() else "escaped"), line
    except AssertionError:
        return "wrong", traceback.format_exc()
    except BaseException:
        return "escaped", traceback.format_exc()


def _processor_seconds(process: int | None) -> float:
    """That a process and its children have used; 0 where Linux is not."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_of(process: int | None, what: str) -> int:
    """Memory of a process in bytes: VmRSS now, VmHWM the highest. 0 where Linux is not."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(what)), 0)


def _forget_peak() -> None:
    """Sets VmHWM to the memory in use now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
