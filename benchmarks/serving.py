"""Measures an exported network behind TensorFlow Serving's gRPC API, under load.

  python benchmarks/serving.py
  python benchmarks/serving.py --clients=8 --seconds=120 --size=64 --json=serving.json

The server is the stand-in of the tests (serving/stand_in/endpoint.py), in a process of its own: the
real SavedModel and protocol, but not the binary of TensorFlow Serving. It is started several times
to compare the first request after the warm-up with the median of those that follow, one at a time;
then the clients send images as fast as they get them back. Each answer is compared with
`nlrn_tf.restore`. The exit code is 0 when no request failed, all answers were right, and the first
request was not much slower than the others.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from absl import flags

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "serving")]

from benchmarks import common  # noqa: E402
from nlrn_tf import cli, precision  # noqa: E402
from nlrn_tf.errors import NLRNError  # noqa: E402

_WEIGHTS = flags.DEFINE_string("weights", "denoise_s25", "Name or path; a denoiser.")
_SAVED_MODEL = flags.DEFINE_string(
    "saved_model", None, "Folder of a version exported from the weights. Default: exports them."
)
_CLIENTS = flags.DEFINE_integer("clients", 8, "Clients at a time.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 120, "How long they send.", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 64, "Side of the grey images in pixels.", lower_bound=1)
_IMAGES = flags.DEFINE_integer("images", 8, "Number of different images.", lower_bound=1)
_STARTS = flags.DEFINE_integer("starts", 3, "Starts of the server.", lower_bound=1)
_FOLLOWING = flags.DEFINE_integer(
    "following", 15, "Requests whose median the first one is compared with.", lower_bound=1
)
_MAX_RATIO = flags.DEFINE_float(
    "max_first_to_median", 1.5, "What the first request may take, in medians of the following."
)
_CONCURRENT_RUNS = flags.DEFINE_integer(
    "concurrent_runs", 2, "Images restored at a time; as in serving/batching.config.", lower_bound=1
)
_JSON = flags.DEFINE_string("json", None, "File for the figures.")
_PRECISION = flags.DEFINE_enum("precision", precision.AUTO, precision.CHOICES, precision.HELP)

MODEL = "benchmarked"


def main(_: list[str]) -> None:
    cli.start_tensorflow()
    from nlrn_tf.restoration.restorer import restore
    from nlrn_tf.weights.loading import load_model

    with contextlib.ExitStack() as stack:
        folder = _SAVED_MODEL.value or _export(stack.enter_context(tempfile.TemporaryDirectory()))
        model = load_model(_WEIGHTS.value, precision=_PRECISION.value)
        images = _noisy_images(_IMAGES.value, _SIZE.value)
        checks = [Check(image, restore(model, image)) for image in images]
        firsts = []
        for _start in range(_STARTS.value):
            with _server(folder) as server:
                firsts.append(_first_request(server, checks[0]))
        server = stack.enter_context(_server(folder))
        load = Load(server, checks)
        load.run(_CLIENTS.value, _SECONDS.value)
    _report(firsts, load, checks)
    ratio = np.median([row["first"] / row["median"] for row in firsts])
    if load.failures or any(check.wrong for check in checks):
        raise NLRNError(f"requests failed or were answered wrongly: {load.failures[:3]}")
    if ratio > _MAX_RATIO.value:
        raise NLRNError(f"the first request took {ratio:.2f} times the median one")


class Check:
    """Compares answers with what `nlrn_tf.restore` gives, by at most one grey level.

    Rounding may decide a pixel either way, since sums of floats depend on the threads.
    """

    def __init__(self, image: np.ndarray, expected: np.ndarray):
        import cv2

        self.content = cv2.imencode(".png", image)[1].tobytes()
        self.expected = expected.astype(int)
        self.answers: dict[bytes, int] = {}  # the difference of each kind of answer
        self.wrong = 0
        self._lock = threading.Lock()

    def __call__(self, answer: bytes) -> None:
        import cv2

        with self._lock:
            if answer not in self.answers:
                restored = cv2.imdecode(np.frombuffer(answer, np.uint8), cv2.IMREAD_UNCHANGED)
                right_shape = restored.shape == self.expected.shape
                difference = np.abs(restored - self.expected).max() if right_shape else 255
                self.answers[answer] = int(difference)
            self.wrong += self.answers[answer] > 1


class Load:
    """Clients that send as fast as they get answers."""

    def __init__(self, server: dict, checks: list[Check]):
        self.server, self.checks = server, checks
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.seconds = 0.0

    def run(self, clients: int, seconds: float) -> None:
        start = time.perf_counter()
        threads = [
            threading.Thread(target=self._send, args=(number, start + seconds))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.perf_counter() - start

    def _send(self, number: int, end: float) -> None:
        from calls import ClientError

        call = _grpc_call(self.server)
        while time.perf_counter() < end:
            check = self.checks[number % len(self.checks)]
            number += 1
            start = time.perf_counter()
            try:
                answer = call(check.content)
            except ClientError as error:
                self.failures.append(str(error))
                continue
            self.latencies.append(time.perf_counter() - start)
            check(answer)


def _first_request(server: dict, check: Check) -> dict:
    """The first request beside the median of the following ones: seconds, and CPU seconds."""
    from calls import ClientError

    with contextlib.suppress(ClientError):  # connects, so that only the model is measured
        _grpc_call(server, label="no such label")(b"")
    call = _grpc_call(server)
    latencies, cpu = [], []
    for _request in range(1 + _FOLLOWING.value):
        start, cpu_start = time.perf_counter(), _cpu_seconds(server["pid"])
        answer = call(check.content)
        latencies.append(time.perf_counter() - start)
        cpu.append(_cpu_seconds(server["pid"]) - cpu_start)
        check(answer)
    return {
        "loading": server["loading"],
        "first": latencies[0],
        "median": float(np.median(latencies[1:])),
        "cpu_ratio": cpu[0] / max(float(np.median(cpu[1:])), 0.01),  # in ticks of 0.01 s
    }


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used; other work on the machine does not change it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _report(firsts: list[dict], load: Load, checks: list[Check]) -> None:
    kinds = [difference for check in checks for difference in check.answers.values()]
    rows = [
        {"figure": "requests", "value": len(load.latencies)},
        {"figure": "failures", "value": len(load.failures)},
        {"figure": "wrong answers", "value": sum(check.wrong for check in checks)},
        {"figure": "largest difference, grey levels", "value": max(kinds, default=0)},
        {"figure": "images per second", "value": len(load.latencies) / load.seconds},
    ]
    for percent in (50, 99) if load.latencies else ():
        latency = float(np.percentile(load.latencies, percent))
        rows.append({"figure": f"latency p{percent}, seconds", "value": latency})
    for number, row in enumerate(firsts, start=1):
        ratio = row["first"] / row["median"]
        rows += [
            {"figure": f"start {number}: loading and warm-up, seconds", "value": row["loading"]},
            {"figure": f"start {number}: first request, seconds", "value": row["first"]},
            {"figure": f"start {number}: median of the following", "value": row["median"]},
            {"figure": f"start {number}: first to median", "value": ratio},
            {"figure": f"start {number}: the same of CPU time", "value": row["cpu_ratio"]},
        ]
    settings = {
        "weights": _WEIGHTS.value,
        "image": f"{_SIZE.value}x{_SIZE.value} grey",
        "clients": _CLIENTS.value,
        "seconds": round(load.seconds, 1),
        "concurrent_runs": _CONCURRENT_RUNS.value,
        "precision": precision.resolved(_PRECISION.value),
        "attention": common.OPERATIONS,
        "server": "serving/stand_in/endpoint.py, gRPC",
    }
    common.report("Serving", settings, rows, _JSON.value)


def _noisy_images(count: int, size: int) -> list[np.ndarray]:
    """uint8 `[size, size]`: waves with noise of sigma 25."""
    y, x = np.mgrid[:size, :size]
    images = []
    for number in range(count):
        clean = 127 + 80 * np.sin(x / (7 + number)) * np.cos(y / 11)
        noise = np.random.default_rng(number).normal(0, 25, clean.shape)
        images.append(np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8))
    return images


def _export(folder: str) -> str:
    command = [sys.executable, "run_export.py", f"--weights={_WEIGHTS.value}"]
    command += [f"--precision={_PRECISION.value}"]
    subprocess.run([*command, f"--export_dir={folder}", "--version=1"], cwd=ROOT, check=True)
    return os.path.join(folder, "1")


@contextlib.contextmanager
def _server(folder: str):
    """A server process; yields its ports and how long it took to load."""
    command = [sys.executable, "-m", "benchmarks.serving_process", f"--name={MODEL}"]
    command += [f"--saved_model={Path(folder).resolve()}"]
    command += [f"--concurrent_runs={_CONCURRENT_RUNS.value}"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        line = process.stdout.readline()
        if not line:
            raise NLRNError(f"the server did not start, exit code {process.wait()}")
        yield {"pid": process.pid, **json.loads(line)}
        process.stdin.close()


def _grpc_call(server: dict, label: str | None = None):
    from calls import grpc_call

    return grpc_call(f"localhost:{server['grpc']}", MODEL, label=label)


if __name__ == "__main__":
    cli.run(main)
