"""What the page says: the notes and errors of the library in the words of the page."""

import os
import re

from nlrn_tf.errors import printable
from nlrn_tf.restoration.duration import in_words

DAMAGED = "Restore what is left of damaged files"

# The arguments that the library names, as they are called on the page.
_ON_THE_PAGE = {
    "accept_damaged": f"“{DAMAGED}” under More options",
    "max_pixels": "the {} that this page takes",
    "noise_sigma": "a noise level of {}",
    "scale": "enlarging by {}",
}
# Advice for who has started the page; whoever visits it cannot follow.
_FOR_THE_OWNER = "raise that if the image is as large, or restore it in parts"


def sentence(text: str, path: str | os.PathLike) -> str:
    """A line of the library about a file, for who has brought it.

    Args:
      text: the line, in which files are named by their paths and arguments as `name=value`.
      path: of the file; on the page it has no folder.
    """
    name = os.path.basename(path)
    for shown in (os.fspath(path), printable(os.fspath(path))):
        text = text.replace(shown, name)
    text = text.replace(_FOR_THE_OWNER, "make it smaller first")
    text = re.sub(r"\b(\w+)=([\w.]+)", _argument, text)
    return text if text.endswith((".", "?", "!")) else f"{text}."


def note(text: str, path: str | os.PathLike) -> str | None:
    """A line that is said while an image is restored, without the name of the image.

    Returns:
      None of a line that is not about the image: how long it takes is shown by the bar.
    """
    for name in (os.fspath(path), os.path.basename(path)):
        if text.startswith(f"{name}: "):
            text = text.removeprefix(f"{name}: ")
            return sentence(text[:1].upper() + text[1:], path)
    return None


def took(seconds: float) -> str:
    """A time that has been measured."""
    if seconds >= 100:
        return in_words(seconds)
    whole = max(1, round(seconds))
    return f"{whole} second{'s' * (whole != 1)}"


def left(seconds: float | None) -> str:
    """The time that work still takes, None where it is not known."""
    if seconds is None:
        return "Working"
    return "A few seconds left" if seconds < 8 else f"About {in_words(seconds)} left"


def megapixels(pixels: float) -> str:
    """A number of pixels."""
    millions = pixels / 1e6
    return f"{millions:.{0 if millions >= 10 else 1 if millions >= 1 else 3}f} megapixels"


def _argument(found: re.Match) -> str:
    name, value = found.groups()
    if name == "max_pixels" and value.isdecimal():
        value = megapixels(int(value))
    return _ON_THE_PAGE.get(name, found[0]).format(value)
