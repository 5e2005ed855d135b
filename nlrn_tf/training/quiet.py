"""Keeping TensorFlow's own words from the terminal."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from nlrn_tf.errors import NLRNError


@contextlib.contextmanager
def native_errors_held_back() -> Iterator[None]:
    """Holds back what native code writes to standard error; Python's own is shown.

    TensorFlow reports a lost worker in a dozen lines that no setting silences. They are shown when
    the block ends by an exception that is no `NLRNError`.
    """
    with tempfile.TemporaryFile() as held_back, open(os.dup(2), "w", buffering=1) as shown:
        before = sys.stderr
        os.dup2(held_back.fileno(), 2)
        sys.stderr = shown
        try:
            yield
        except (NLRNError, KeyboardInterrupt):
            raise
        except BaseException:
            held_back.seek(0)
            shown.write(held_back.read().decode(errors="backslashreplace"))
            raise
        finally:
            sys.stderr = before
            os.dup2(shown.fileno(), 2)
