"""What the scripts share: starting, stopping, and telling the user what went wrong."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging

from nlrn_tf import backend
from nlrn_tf.errors import NLRNError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is first imported

INTERRUPTED = 130  # the shell's exit code for a program ended by Ctrl-C


def run(main: Callable[[list[str]], None], *, takes_arguments: bool = False) -> None:
    """Parses the flags, runs `main(arguments)` and ends the process.

    Exit code 0 on success and for `--help`, 1 for a problem that the user can mend (one line
    on standard error), 2 for a wrong flag, 130 after Ctrl-C. Flags and positional arguments
    may be mixed; `main` receives the positional ones, which are a wrong flag where it takes none.
    """
    flags.FLAGS.set_gnu_getopt(True)
    absl_logging.set_verbosity(absl_logging.WARNING)
    sys.exit(_guarded(main, takes_arguments))


def start_tensorflow() -> None:
    """Imports TensorFlow.

    What it prints to standard error on a machine without a GPU is held back; no setting silences
    it. Where there is a GPU it tells what is missing to use it, and is shown.
    """
    if Path("/dev/nvidiactl").exists():
        return
    with tempfile.TemporaryFile() as kept_back:
        stderr = os.dup(2)
        os.dup2(kept_back.fileno(), 2)
        try:
            backend.tensorflow_gpus()
        except BaseException:
            kept_back.seek(0)
            os.write(stderr, kept_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def data_dir(given: str | os.PathLike | None = None) -> str:
    """The folder of the data sets: `given`, else `$NLRN_DATA_DIR`, else `data/` of the project."""
    default = Path(__file__).resolve().parents[1] / "data"
    return os.fspath(given or os.environ.get("NLRN_DATA_DIR") or default)


def _guarded(main: Callable[[list[str]], None], takes_arguments: bool) -> int:
    if {"--help", "-h", "-help"} & set(sys.argv[1:]):  # absl's own --help exits with code 1
        app.usage(shorthelp=True, writeto_stdout=True)
        return 0
    try:
        arguments = flags.FLAGS([sys.argv[0], *_with_flagfiles(sys.argv[1:])])[1:]
    except flags.Error as error:
        return _complain(f"{error} (see --help)", 2)
    if arguments and not takes_arguments:
        return _complain(f"unexpected argument {arguments[0]} (see --help)", 2)
    try:
        main(arguments)
    except flags.Error as error:  # flags that contradict each other
        return _complain(f"{error} (see --help)", 2)
    except NLRNError as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    return 0


def _with_flagfiles(
    arguments: Sequence[str], folder: Path = Path(), within: tuple[Path, ...] = ()
) -> list[str]:
    """Puts the flags of each --flagfile in its place.

    absl does too, but takes a path inside a flag file from the current folder, not from the
    file's.
    """
    flat = []
    remaining = iter(arguments)
    for argument in remaining:
        name, given, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            flat.append(argument)
            continue
        path = (folder / Path(value if given else next(remaining, "")).expanduser()).resolve()
        if path in within:
            raise flags.Error(f"--flagfile={path}: includes itself")
        try:
            lines = [line.strip() for line in path.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise flags.Error(f"--flagfile={path}: cannot be read ({error})") from error
        lines = [line for line in lines if line and not line.startswith(("#", "//"))]
        flat += _with_flagfiles(lines, path.parent, (*within, path))
    return flat


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
    return code
