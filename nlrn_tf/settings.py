"""Settings that are declared once: a field of a dataclass holds default, help and choices.

The flags of the scripts are made from such fields (`nlrn_tf.cli.define_flags`).
"""

import dataclasses
import math
import textwrap
import typing
from collections.abc import Callable, Iterable

from nlrn_tf.errors import NLRNError

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance


def setting(
    default,
    help: str,
    *,
    choices: Iterable[str] | Callable[[], Iterable[str]] = (),
    may_change: bool = False,
):
    """A field of a settings class.

    Args:
      default: its value when none is given.
      help: one sentence; the help of its flag.
      choices: the values that it may have, where they can be listed.
      may_change: whether a training run may go on with another value.
    """
    metadata = {"help": help, "choices": choices, "may_change": may_change}
    return dataclasses.field(default=default, metadata=metadata)


def documented(settings_class: type) -> type:
    """Adds the help of each field to the docstring of a settings class."""
    lines = []
    for field in dataclasses.fields(settings_class):
        text = textwrap.fill(
            f"{field.name}: {field.metadata['help']}",
            92,
            initial_indent="      ",
            subsequent_indent="        ",
        )
        lines.append(text)
    text = "\n".join([settings_class.__doc__ or "", "", "    Attributes:", *lines, ""])
    settings_class.__doc__ = text
    return settings_class


def choices_of(field: dataclasses.Field) -> list[str]:
    """The values that a setting may have; empty where they are not listed."""
    choices = field.metadata.get("choices", ())
    return list(choices() if callable(choices) else choices)


def require(settings: object, name: str, valid: bool, allowed: str) -> None:
    """Checks a setting.

    Raises:
      NLRNError: it is not `valid`; the message names the setting, its value and what is `allowed`.
    """
    if not valid:
        value = getattr(settings, name)
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        raise NLRNError(f"{name}={shown} is not allowed: give {allowed}")


def require_choices(settings: "DataclassInstance") -> None:
    """Checks every setting whose values are listed; None passes where it is the default.

    Raises:
      NLRNError: one has another value.
    """
    for field in dataclasses.fields(settings):
        choices = choices_of(field)
        value = getattr(settings, field.name)
        if choices and not (value is None and field.default is None):
            require(settings, field.name, value in choices, f"one of {', '.join(choices)}")


def is_count(value: object, lowest: int = 1) -> bool:
    """Whether a value is a whole number of at least `lowest`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def is_positive(value: float) -> bool:
    """Whether a value is a finite number above 0."""
    return math.isfinite(value) and value > 0
