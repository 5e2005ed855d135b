import unicodedata

import cv2
import numpy as np
import pytest

from nlrn_tf.errors import NLRNError, blaming, printable, reason_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("写真 ü.png", "写真 ü.png"),
        ("a\u3000b\u00a0c", "a\u3000b\u00a0c"),  # spaces of names
        ("red\x1b[31m.png", r"red\x1b[31m.png"),
        ("two\nlines\r.png", r"two\nlines\r.png"),
        ("\u202egnp.exe", r"\u202egnp.exe"),  # right to left
        ("\udcff.png", r"\udcff.png"),  # no UTF-8
        ("\u2028\u2029\x9b", r"\u2028\u2029\x9b"),
        ("", ""),
    ],
)
def test_control_characters_are_shown_escaped(text, shown):
    assert printable(text) == shown
    assert str(NLRNError(text)) == shown


def test_every_character_is_shown_by_what_can_be_printed():
    for code in range(0x20000):
        shown = printable(chr(code))
        assert shown.encode("utf-8", "strict")
        assert unicodedata.category(shown[0]) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def test_whatever_goes_wrong_names_the_file():
    with (
        pytest.raises(NLRNError, match=r"^x\.png: bad \(TypeError: no\) end$"),
        blaming("x.png", "bad ({}) end"),
    ):
        raise TypeError("no")
    with pytest.raises(NLRNError, match=r"^as it is$"), blaming("x.png", "bad"):
        raise NLRNError("as it is")
    with pytest.raises(KeyboardInterrupt), blaming("x.png", "bad"):
        raise KeyboardInterrupt


def test_reasons_are_one_line_with_the_type_where_the_text_says_little():
    assert reason_of(ValueError("two\n  lines")) == "two lines"
    assert reason_of(KeyError("momentum")) == "KeyError: 'momentum'"
    assert reason_of(OSError(28, "No space left on device")) == "No space left on device"


def opencv_without_memory():
    error = cv2.error("Failed to allocate")
    error.code = cv2.Error.StsNoMem
    return error


def tensorflow_without_memory():
    return type("ResourceExhaustedError", (Exception,), {})("OOM when allocating")


@pytest.mark.parametrize(
    "error", [MemoryError(), opencv_without_memory(), tensorflow_without_memory()]
)
def test_too_little_memory_is_no_damage(error):
    with (
        pytest.raises(NLRNError, match=r"^x\.png: there is too little memory$"),
        blaming("x.png", "is damaged"),
    ):
        raise error


def test_numpy_without_memory():
    with pytest.raises(NLRNError, match="too little memory"), blaming("x.png", "is damaged"):
        np.empty(1 << 60, np.uint8)
