"""Checking what was parsed from a file against a type, before anything is made of it.

The types are those that a parser of JSON gives, and dataclasses made of them:

    int, float, str, bool, X | None, list[X], tuple[X, ...], dict[str, X], object (anything)
    Annotated[int, Within(1, 100)], Annotated[str, Matching("[0-9a-f]{64}")]
    a dataclass, of a dictionary with its fields; those with defaults may be missing
"""

import dataclasses
import re
import reprlib
import types
import typing


class MisfitError(ValueError):
    """Parsed content that is not of the type it must have; says where and what is there."""


@dataclasses.dataclass(frozen=True)
class Within:
    """A number from `low` to `high`, both included. NaN is within nothing."""

    low: float
    high: float = float("inf")

    def obstacle(self, value) -> str | None:
        """What a value must be, where it is not; None where it is."""
        if self.low <= value <= self.high:
            return None
        most = "" if self.high == float("inf") else f" and at most {self.high:g}"
        return f"at least {self.low:g}{most}"


@dataclasses.dataclass(frozen=True)
class Matching:
    """A string that a regular expression describes as a whole."""

    pattern: str

    def obstacle(self, value) -> str | None:
        """What a value must be, where it is not; None where it is."""
        return None if re.fullmatch(self.pattern, value) else f"like {self.pattern}"


def checked(kind: typing.Any, value: typing.Any, place: str = "content") -> typing.Any:
    """`value` as a `kind`; whole numbers pass for floats.

    Args:
      kind: a type, see the head of this module.
      value: what a parser gave.
      place: of the value in the file, for messages.

    Raises:
      MisfitError: it is not one.
      NLRNError: a dataclass refuses its values.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        value = checked(arguments[0], value, place)
        for limit in arguments[1:]:
            obstacle = limit.obstacle(value)
            _require(obstacle is None, place, value, obstacle)
        return value
    if origin in (types.UnionType, typing.Union):
        rest = [part for part in arguments if part is not types.NoneType]
        return None if value is None else checked(rest[0], value, place)
    if origin in (list, tuple):
        _require(isinstance(value, list | tuple), place, value, "a list")
        items = (checked(arguments[0], item, f"{place}[{k}]") for k, item in enumerate(value))
        return origin(items)
    if origin is dict:
        _require(isinstance(value, dict), place, value, "an object")
        return {
            name: checked(arguments[1], item, f"{place}.{name}") for name, item in value.items()
        }
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, place)
    return _plain(kind, value, place)


def _plain(kind: type, value, place: str):
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    accepted = (int, float) if kind is float else kind
    # True and False are numbers in Python.
    is_right = isinstance(value, accepted) and (kind in (bool, object) or type(value) is not bool)
    _require(is_right, place, value, words.get(kind, "given"))
    return value


def _record(kind: typing.Any, value, place: str):
    _require(isinstance(value, dict), place, value, "an object")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise MisfitError(f"{place} has an unknown entry {_short(unknown[0])}")
    hints = typing.get_type_hints(kind, include_extras=True)
    for name, field in fields.items():
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
        if name not in value and not has_default:
            raise MisfitError(f"{place} has no entry '{name}'")
    prefix = "" if place == "content" else f"{place}."
    return kind(**{n: checked(hints[n], item, f"{prefix}{n}") for n, item in value.items()})


def _require(condition: bool, place: str, value, words: str | None) -> None:
    if not condition:
        raise MisfitError(f"{place} must be {words}, not {_short(value)}")


def _short(value) -> str:
    """A value of any size in a few characters, without control characters."""
    return reprlib.repr(value).encode("ascii", "backslashreplace").decode()
