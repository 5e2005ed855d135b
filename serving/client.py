"""Restores images with a network that TensorFlow Serving serves.

  python serving/client.py noisy.png -o clean.png
  python serving/client.py photos -o restored --concurrency=4
  python serving/client.py photos -o restored --transport=grpc
  python serving/client.py small.png -o large.png --model=sr --scale=3

The input is a PNG or JPEG file, or a folder, of which all below are taken. The output is a .png
file, or a folder in which the images keep their names and subfolders and become .png. They keep
their colour profile. An image that the server refuses is reported, and the others are done all the
same. While the server cannot be reached or has too much to do, requests are repeated.

It works without the rest of the project: copy client.py and calls.py. REST needs
`pip install absl-py requests rich`; gRPC also `tensorflow-serving-api`, which brings TensorFlow.
"""

import contextlib
import os
import queue
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags
from calls import (
    Call,
    ClientError,
    ImageError,
    UnavailableError,
    grpc_call,
    printable,
    rest_call,
    with_profile,
    with_retries,
)

_OUTPUT = flags.DEFINE_string(
    "output", None, "A .png file (the input is a file) or a folder.", required=True, short_name="o"
)
_TRANSPORT = flags.DEFINE_enum("transport", "rest", ["rest", "grpc"], "How to call the server.")
_SERVER = flags.DEFINE_string(
    "server",
    None,
    "Address, host:port; for REST also a URL. Default: localhost:8501 for REST, localhost:8500 "
    "for gRPC.",
)
_MODEL = flags.DEFINE_string("model", "denoise_s25", "Name of the model in models.config.")
_LABEL = flags.DEFINE_string("label", None, "Version label, for example canary.")
_VERSION = flags.DEFINE_integer(
    "version", None, "Number of the version. Default: the latest that is served.", lower_bound=1
)
_SCALE = flags.DEFINE_integer(
    "scale", None, "Factor of a super-resolution model, which needs it.", lower_bound=2
)
_NOISE_SIGMA = flags.DEFINE_float(
    "noise_sigma",
    None,
    "Noise of the images, in grey levels of 0..255. Default: the level of the model.",
    lower_bound=0.0,
)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 1, "Requests at a time.", lower_bound=1)
_TIMEOUT = flags.DEFINE_float("timeout", 600, "Seconds to wait for an image.", lower_bound=0.1)
_RETRIES = flags.DEFINE_integer(
    "retries",
    6,
    "How often a request is repeated while the server is not available. The waits double, from "
    "half a second.",
    lower_bound=0,
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist.")
_SKIP_EXISTING = flags.DEFINE_bool(
    "skip_existing",
    False,
    "Leave outputs that exist and do the rest: completes an interrupted run.",
)
flags.mark_flags_as_mutual_exclusive(["label", "version"])
flags.mark_bool_flags_as_mutual_exclusive(["overwrite", "skip_existing"])

SUFFIXES = (".png", ".jpg", ".jpeg")  # what the server decodes


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise flags.Error(f"one file or folder must be named, not {len(arguments)}")
    jobs = plan(Path(arguments[0]), _OUTPUT.value, _OVERWRITE.value, _SKIP_EXISTING.value)
    rest = _TRANSPORT.value == "rest"
    server = _SERVER.value or ("localhost:8501" if rest else "localhost:8500")
    call = (rest_call if rest else grpc_call)(
        server,
        _MODEL.value,
        label=_LABEL.value,
        version=_VERSION.value,
        scale=_SCALE.value,
        noise_sigma=_NOISE_SIGMA.value,
        timeout=_TIMEOUT.value,
    )
    try:
        count = restore_files(with_retries(call, _RETRIES.value), jobs, _CONCURRENCY.value)
    except UnavailableError as error:
        raise ClientError(
            f"{server}: not available after {_RETRIES.value + 1} attempts ({error}); is it "
            "running? See --server and --retries"
        ) from error
    line = printable(f"{count} image{'' if count == 1 else 's'} restored: {_OUTPUT.value}")
    try:
        print(line, flush=True)
    except BrokenPipeError:  # who reads the output has gone; the images are done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def restore_files(call: Call, jobs: dict[Path, Path], concurrency: int = 1) -> int:
    """Restores files and writes the results atomically, with a progress bar.

    Args:
      call: see calls.py; used by `concurrency` threads.
      jobs: `{output: input}`.
      concurrency: requests at a time.

    Returns:
      The number of images written.

    Raises:
      ClientError: the server is not available or an output cannot be written (what came before
        stays); or, after all the others, some images could not be restored.
    """
    failures: list[str] = []
    with _progress() as progress, contextlib.closing(_results(call, jobs, concurrency)) as results:
        bar = progress.add_task("", total=len(jobs))
        for target, source, result in results:
            if isinstance(result, ImageError):
                failures.append(f"{source}: {result}")
                if len(jobs) > 1:
                    line = printable(failures[-1])
                    progress.console.print(line, markup=False, soft_wrap=True)
            elif isinstance(result, Exception):
                raise result
            else:
                _write(target, result)
            progress.advance(bar)
    if len(jobs) == 1 and failures:
        raise ClientError(failures[0])
    if failures:
        raise ClientError(
            f"{len(failures)} of {len(jobs)} images could not be restored (named above); "
            f"the other {len(jobs) - len(failures)} are done"
        )
    return len(jobs)


def plan(source: Path, output: str, overwrite: bool, skip_existing: bool) -> dict[Path, Path]:
    """Which file is made from which: `{output: input}`, without those that need not be made.

    Raises:
      ClientError: a missing or unsupported input, or an output that is not possible.
    """
    target = Path(output)
    if not source.exists():
        raise ClientError(f"{source}: no such file or folder")
    if source.is_dir():
        if target.suffix.lower() in SUFFIXES and not target.is_dir():
            raise ClientError(f"{output}: names one image; a folder of images needs a folder")
        pairs = [
            (target / path.relative_to(source).with_suffix(".png"), path)
            for path in _images_below(source, target)
        ]
    elif source.suffix.lower() not in SUFFIXES:
        raise ClientError(f"{source}: the server takes PNG and JPEG files; convert it first")
    elif target.is_dir() or output.endswith(os.sep):
        pairs = [(target / source.with_suffix(".png").name, source)]
    elif target.suffix.lower() != ".png":
        raise ClientError(
            f"{output}: the result is a PNG file; end its name with .png, or with / for a folder"
        )
    else:
        pairs = [(target, source)]
    jobs: dict[Path, Path] = {}
    for path, made_from in pairs:
        if jobs.setdefault(path, made_from) != made_from:
            raise ClientError(f"{jobs[path]} and {made_from} would both become {path}; rename one")
    return _without_existing(jobs, overwrite, skip_existing)


def _images_below(folder: Path, output: Path) -> list[Path]:
    """The images in `folder` and its subfolders, sorted, without hidden ones and the output."""
    images = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and output.resolve() not in path.resolve().parents
    ]
    if not images:
        raise ClientError(f"{folder}: holds no image ({', '.join(SUFFIXES)})")
    return images


def _without_existing(jobs: dict[Path, Path], overwrite: bool, skip: bool) -> dict[Path, Path]:
    existing = [target for target in jobs if target.exists()]
    inputs = {os.path.realpath(source) for source in jobs.values()}
    for target in existing:
        if os.path.realpath(target) in inputs:
            raise ClientError(f"{target}: would overwrite an input; choose another output")
    if existing and not (overwrite or skip):
        raise ClientError(
            f"{existing[0]}: exists; give --overwrite to replace, --skip_existing to go on, or "
            "choose another output"
        )
    return {target: jobs[target] for target in jobs if not (skip and target in existing)}


def _results(call: Call, jobs: dict[Path, Path], concurrency: int) -> Iterator[tuple]:
    """(target, source, bytes or exception), as they come.

    The threads are daemons, so that Ctrl-C and errors need not wait for the server.
    """
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    done: queue.SimpleQueue = queue.SimpleQueue()
    for target, source in jobs.items():
        waiting.put((target, source))

    def work():
        with contextlib.suppress(queue.Empty):
            while True:
                target, source = waiting.get_nowait()
                try:
                    content = _read(source)
                    result = with_profile(call(content), content)
                except Exception as error:  # for the main thread
                    result = error
                done.put((target, source, result))

    for _ in range(min(concurrency, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in jobs:
            yield done.get()
    finally:
        with contextlib.suppress(queue.Empty):
            while True:  # after an error nothing more is sent
                waiting.get_nowait()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or error})") from error


def _write(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever sees half of it."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        raise ClientError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _progress():
    """Images done and time left, on standard error when it is a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(file=sys.stderr, highlight=False)
    return progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def run() -> int:
    """Runs `main`; returns 0, or 1 for a problem that can be mended, 2 for a wrong flag, 130."""
    if {"--help", "-h", "-help"} & set(sys.argv[1:]):  # absl's own --help exits with code 1
        app.usage(shorthelp=True, writeto_stdout=True)
        return 0
    flags.FLAGS.set_gnu_getopt(True)
    for stream in (sys.stdout, sys.stderr):  # names may have letters that their encoding lacks
        stream.reconfigure(errors="backslashreplace")
    try:
        main(flags.FLAGS(sys.argv)[1:])
        return 0
    except flags.Error as error:
        message, code = f"{error} (see --help)", 2
    except ClientError as error:
        message, code = str(error), 1
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    print(f"{Path(sys.argv[0]).name}: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(run())
