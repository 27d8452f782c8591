"""What means unknown, text, ids, truth values."""

import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers import values
from app.providers.values import is_unknown

Run = Callable[[Callable[[Any, Callable[[str], None]], Any], Any], tuple[Any, list[str]]]
TOKEN = "cbt_" + "Ab3-_" * 8 + "xyz"
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("value", [None, "", " \t\n", "\u00a0\u200b", [], {}, "0000-00-00", " 0000-00-00 00:00:00 "])
def test_unknown_is_unknown(value: Any) -> None:
    assert is_unknown(value)


@pytest.mark.parametrize("value", [0, False, 0.0, "0", "-", [0], [None], {"a": None}, "0001-01-01"])
def test_known_is_known(value: Any) -> None:
    assert not is_unknown(value)


@pytest.mark.parametrize(
    ("value", "text", "reasons"),
    [
        ("  Tischlerei ", "Tischlerei", []),
        ("Mu\u0308ller", "Müller", []),
        ("\u00a0x\u200b", "x", []),
        (42, "42", []),
        (1.5, "1.5", []),
        (True, None, ["wrong-type"]),
        ({"a": 1}, None, ["wrong-type"]),
        (["a"], None, ["wrong-type"]),
        ("x" * 1000, "x" * 1000, []),
        ("x" * 1001, "x" * 1000, ["cut"]),
        ("ü" * 1000, "ü" * 1000, []),
        ("ü" * 1500, "ü" * 1000, ["cut"]),
        ("u\u0308" * 900, "ü" * 900, []),
        ("x" * 999 + " y", "x" * 999, ["cut"]),
        ("x" * 980 + TOKEN, "x" * 980 + "cbt_" + "*" * 16, ["cut"]),
        ("\x1c\x1d \x0b x\x0c\x1e\x1f", "x", []),
        (f"https://x.test/callbacks/wegroup/{TOKEN}", "https://x.test/callbacks/wegroup/cbt_" + "*" * 43, []),
    ],
)
def test_text(value: Any, text: str | None, reasons: list[str], read_value: Run) -> None:
    assert read_value(values.text, value) == (text, reasons)


@given(text=st.text(alphabet=string.printable, max_size=20))
def test_text_loses_nothing_but_the_blanks_around_it(text: str, read_value: Run) -> None:
    assert read_value(values.text, text) == (text.strip() or None, [])


@pytest.mark.parametrize(
    ("value", "number", "reasons"),
    [
        (2900417, 2900417, []),
        (1, 1, []),
        (" 02900417 ", 2900417, ["text-for-number"]),
        (2900417.0, 2900417, []),
        ((1 << 63) - 1, (1 << 63) - 1, []),
        (1 << 63, None, ["out-of-range"]),
        (0, None, ["out-of-range"]),
        (-5, None, ["out-of-range"]),
        ("2.900.417", None, ["wrong-type"]),
        ("0", None, ["out-of-range"]),
        (1.5, None, ["wrong-type"]),
        ("٣", None, ["wrong-type"]),
        (True, None, ["wrong-type"]),
        ([1], None, ["wrong-type"]),
    ],
)
def test_ids(value: Any, number: int | None, reasons: list[str], read_value: Run) -> None:
    assert read_value(values.platform_id, value) == (number, reasons)


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        ("true", True),
        (" FALSE ", False),
        ("Ja", True),
        ("nein", False),
        ("yes", True),
        ("NO", False),
        (1.0, True),
        (0.0, False),
    ],
)
def test_booleans(value: Any, truth: bool, read_value: Run) -> None:
    assert read_value(values.boolean, value) == (truth, [])


@pytest.mark.parametrize("value", [2, -1, "maybe", 0.5, [True], {"a": 1}])
def test_what_is_no_boolean_is_left_out(value: Any, read_value: Run) -> None:
    assert read_value(values.boolean, value) == (None, ["wrong-type"])


@given(value=ANYTHING)
def test_nothing_is_ever_raised_and_what_is_left_out_is_told(read_value: Run, value: Any) -> None:
    for parse in (values.text, values.platform_id, values.boolean):
        result, reasons = read_value(parse, value)
        assert (result is not None) or reasons or is_unknown(value)
