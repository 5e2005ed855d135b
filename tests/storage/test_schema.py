"""What fits a type passes as it is; what does not is told with its place."""

import dataclasses
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlrn_tf.storage.schema import Matching, MisfitError, Within, checked

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "size", ""]), inner),
    max_leaves=5,
)


@dataclasses.dataclass
class Inner:
    name: Annotated[str, Matching("[a-z]+")]
    size: Annotated[int, Within(1, 9)] = 1


@dataclasses.dataclass
class Outer:
    items: tuple[Inner, ...]
    best: float | None
    rest: dict[str, object]


RIGHT = {"items": [{"name": "a", "size": 9}, {"name": "b"}], "best": 3, "rest": {"x": [None]}}


def test_dataclasses_are_made_of_dictionaries():
    assert checked(Outer, RIGHT) == Outer((Inner("a", 9), Inner("b")), 3, {"x": [None]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": {}}, "items must be a list, not {}"),
        ({"items": [{"size": 1}]}, r"items\[0\] has no entry 'name'"),
        (
            {"items": [{"name": "a", "size": True}]},
            r"size must be a whole number, not True",
        ),
        ({"items": [{"name": "a", "size": 10}]}, r"size must be at least 1 and at most 9, not 10"),
        ({"items": [{"name": "a\n"}]}, r"name must be like \[a-z\]\+, not 'a\\n'"),
        ({"items": [{"name": 7}]}, "name must be a text, not 7"),
        ({"items": [[]]}, r"items\[0\] must be an object, not \[\]"),
        ({"best": "high"}, "best must be a number, not 'high'"),
        ({"best": False}, "best must be a number, not False"),
        ({"rest": None}, "rest must be an object, not None"),
        ({"\x1b[2J": 1}, r"unknown entry '\\x1b\[2J'"),
        ({"rest": "x" * 10**6}, "rest must be an object, not 'x.{1,40}x'$"),
    ],
)
def test_misfits_are_told_with_their_place(change, message):
    with pytest.raises(MisfitError, match=message):
        checked(Outer, {**RIGHT, **change})


def test_nan_is_within_nothing():
    with pytest.raises(MisfitError, match="at least 0, not nan"):
        checked(Annotated[float, Within(0)], float("nan"))


@given(JSON)
def test_anything_passes_as_anything_and_fits_or_misfits_a_record(value):
    assert checked(object, value) is value
    is_record = isinstance(value, dict) and set(value) <= {"name", "size"}
    is_record = is_record and isinstance(value.get("name"), str) and _is_word(value["name"])
    size = value.get("size", 1) if is_record else None
    if is_record and type(size) is int and 1 <= size <= 9:
        assert checked(Inner, value) == Inner(**value)
    else:
        with pytest.raises(MisfitError) as caught:
            checked(Inner, value)
        assert str(caught.value).isprintable()


def _is_word(text):
    return text.isascii() and text.isalpha() and text.islower()
