"""The one exception that users see as a single line, and how foreign text is shown in it."""

import contextlib
import os
import unicodedata
from collections.abc import Iterator


class NLRNError(Exception):
    """A problem that the user can mend.

    Its message is one line: which file or flag, what is wrong, what to do. The scripts
    print it without a traceback and exit with code 1 (`nlrn_tf.cli.run`).
    """

    _keras_call_info_injected = True  # or Keras would rewrite one raised inside a layer

    def __str__(self) -> str:
        return printable(super().__str__())


class NotFiniteError(NLRNError):
    """A network has returned values that are not finite."""


def printable(text: str) -> str:
    """Text with control characters escaped, such as those of names of files.

    A terminal obeys some (ESC), a newline makes two lines of one, others reverse the order of
    letters. Surrogates are what Python makes of names that are not UTF-8.
    """
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in text
    )


@contextlib.contextmanager
def blaming(path: str | os.PathLike, words: str) -> Iterator[None]:
    """Turns whatever goes wrong in the block into an error about one file.

    Args:
      path: of the file.
      words: what is said of it; `{}` stands for the reason.

    Raises:
      NLRNError: instead of any `Exception` in the block; one in the block passes as it is.
    """
    try:
        yield
    except NLRNError:
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise NLRNError(f"{path}: there is too little memory") from error
        raise NLRNError(f"{path}: {words.format(reason_of(error))}") from error


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Puts the name of a file before an `NLRNError` of the block, which does not tell it."""
    try:
        yield
    except NLRNError as error:
        raise NLRNError(f"{path}: {error}") from error


def reason_of(error: Exception) -> str:
    """One line about an exception of others, with its type where the text alone says little."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def _is_out_of_memory(error: Exception) -> bool:
    """Of Python and NumPy; of OpenCV (Error.StsNoMem); of TensorFlow."""
    is_opencv = type(error).__module__ == "cv2" and getattr(error, "code", 0) == -4
    is_tensorflow = type(error).__name__ == "ResourceExhaustedError"
    return isinstance(error, MemoryError) or is_opencv or is_tensorflow
