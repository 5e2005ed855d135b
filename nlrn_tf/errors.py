"""The one exception that users see as a single line, and how foreign text is shown in it."""

import unicodedata


class NLRNError(Exception):
    """A problem that the user can mend.

    Its message is one line: which file or flag, what is wrong, what to do. The scripts
    print it without a traceback and exit with code 1 (`nlrn_tf.cli.run`).
    """

    _keras_call_info_injected = True  # or Keras would rewrite one raised inside a layer

    def __str__(self) -> str:
        return printable(super().__str__())


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
