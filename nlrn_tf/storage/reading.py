"""Reading files that others may have written: every failure becomes one line of our own."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlrn_tf.errors import NLRNError, blaming, printable
from nlrn_tf.storage.schema import MisfitError, checked

MAX_JSON_BYTES = 2**26


@contextlib.contextmanager
def reading(path: str | os.PathLike, problem: str, remedy: str = "") -> Iterator[None]:
    """Turns whatever goes wrong in the block into an error that names the file.

    Parsers of foreign bytes raise what they like, so no list of exceptions is complete.

    Args:
      path: of the file that is read.
      problem: what it says about the file, such as "damaged checkpoint".
      remedy: what to do.

    Raises:
      NLRNError: the block raised any exception. One that names the file already passes.
    """
    words = f"{problem} ({{}})" + (f"; {remedy}" if remedy else "")
    with blaming(path, words):
        try:
            yield
        except NLRNError as error:
            if str(error).startswith(printable(f"{path}: ")):
                raise
            raise MisfitError(str(error)) from error


def read_bytes(path: str | os.PathLike, most: int) -> bytes:
    """The content of a file; of one without an end no more than `most` bytes are read.

    Raises:
      MisfitError: it has more than `most` bytes.
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise MisfitError(f"it has more than {most} bytes")
    return content


def read_json(path: str | os.PathLike, kind: Any, problem: str, remedy: str = "") -> Any:
    """A JSON file (UTF-8) as a `kind`, see `schema`.

    Raises:
      NLRNError: the file cannot be read, is no JSON, is nested too deeply, or is no `kind`.
    """
    with reading(path, problem, remedy):
        return checked(kind, parsed_json(read_bytes(Path(path), MAX_JSON_BYTES)))


def parsed_json(content: bytes | str) -> Any:
    """What a JSON text says.

    Raises:
      MisfitError: it is no JSON, not UTF-8, nested too deeply, or has two entries of one name.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        return json.loads(text, object_pairs_hook=_object)
    except MisfitError:
        raise
    except (ValueError, RecursionError) as error:
        raise MisfitError(f"is not JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise MisfitError("has two entries of one name")
    return entries
