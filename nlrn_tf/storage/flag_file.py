"""Files of flags, as people's editors write them."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from nlrn_tf.storage.reading import read_bytes

_MOST_BYTES = 2**20
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LINES = re.compile(r"\r\n|\r|\n")
_COMMENTS = ("#", "//")
# What separates the flags of a line, and what begins a comment at its end.
_NEXT = re.compile(r"\s+(?=--\w)|\s+#.*")
_UNSAFE = re.compile(r"^\s|\s$|\s#|\s--\w|^[\"'].*[\"']$")
_QUOTED = {'"': re.compile(r'"[^"]*"'), "'": re.compile(r"'[^']*'")}
_WITH_SPACE = re.compile(r"(--?\w+)\s+(.+)", re.DOTALL)


def flags_of(path: Path) -> list[str]:
    """The arguments in a file: lines of one flag or several, without comments and quotes.

    A value may stand in quotes, single or double, which are taken away where they are around all of
    it, or around the whole flag. `--name value` is two arguments. A comment is a line that begins
    with # or //, or what follows a space and #.

    Raises:
      ValueError: it is not a text, in UTF-8 or with a mark of UTF-16.
      MisfitError: it has more than 1 MiB.
      OSError: it cannot be read.
    """
    content = read_bytes(path, _MOST_BYTES)
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    text = content.decode(encoding)
    if "\0" in text:
        raise ValueError("it is not a text")
    return [argument for line in _LINES.split(text) for argument in _arguments(line.strip())]


def safe(text: str) -> str:
    """Lines of flags such that `flags_of` reads the values as they are."""
    lines = []
    for line in text.splitlines():
        name, _, value = line.partition("=")
        quote = next((mark for mark in _QUOTED if mark not in value), "")
        lines.append(f"{name}={quote}{value}{quote}" if _UNSAFE.search(value) else line)
    return "\n".join(lines) + "\n"


def _arguments(line: str) -> Iterator[str]:
    if line.startswith(_COMMENTS):
        return
    for flag in map(_unquoted, _split(line)):
        spaced = _WITH_SPACE.fullmatch(flag)
        if spaced and not spaced[2].startswith("="):
            yield spaced[1]
            yield _unquoted(spaced[2])
        else:
            name, is_given, value = flag.partition("=")
            yield f"{name.rstrip()}={_unquoted(value)}" if is_given else flag


def _split(line: str) -> Iterator[str]:
    """The flags of a line, with their quotes."""
    start = place = 0
    while place < len(line):
        quoted = _QUOTED[line[place]].match(line, place) if line[place] in _QUOTED else None
        following = _NEXT.match(line, place)
        if quoted and (place == start or line[place - 1] in "= \t"):
            place = quoted.end()
        elif following:
            yield line[start:place]
            start = place = following.end()
        else:
            place += 1
    if line[start:]:
        yield line[start:]


def _unquoted(text: str) -> str:
    text = text.strip()
    is_quoted = len(text) > 1 and text[0] in _QUOTED and _QUOTED[text[0]].fullmatch(text)
    return text[1:-1] if is_quoted else text
