"""What the scripts share: starting, stopping, and telling the user what went wrong."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging

from nlrn_tf.errors import NLRNError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is first imported

INTERRUPTED = 130  # the shell's exit code for a program ended by Ctrl-C


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Parses the flags, runs `main(arguments)` and ends the process.

    Exit code 0 on success and for `--help`, 1 for a problem that the user can mend (one line
    on standard error), 2 for a wrong flag, 130 after Ctrl-C. Flags and positional arguments
    may be mixed; `main` receives the positional ones.
    """
    flags.FLAGS.set_gnu_getopt(True)
    absl_logging.set_verbosity(absl_logging.WARNING)
    sys.exit(_guarded(main))


def default_data_dir() -> str:
    """`$NLRN_DATA_DIR`, else `data/` beside the scripts."""
    return os.environ.get("NLRN_DATA_DIR") or str(Path(__file__).resolve().parents[1] / "data")


def _guarded(main: Callable[[Sequence[str]], None]) -> int:
    if {"--help", "-h", "-help"} & set(sys.argv[1:]):  # absl's own --help exits with code 1
        app.usage(shorthelp=True, writeto_stdout=True)
        return 0
    try:
        arguments = flags.FLAGS(sys.argv)[1:]
    except flags.Error as error:
        return _complain(f"{error} (see --help)", 2)
    try:
        main(arguments)
    except flags.Error as error:  # flags that contradict each other
        return _complain(f"{error} (see --help)", 2)
    except NLRNError as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    return 0


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
    return code
