"""Single values as platforms write them."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers import values
from app.providers.values import find_day, find_epoch, find_instant, is_unknown

BERLIN = ZoneInfo("Europe/Berlin")
TOKEN = "cbt_" + "Ab3-_" * 8 + "xyz"


def run(parse: Callable[[Any, Callable[[str], None]], Any], value: Any) -> tuple[Any, list[str]]:
    """Return what a parse function makes of a value, and its warnings."""
    reasons: list[str] = []
    return parse(value, reasons.append), reasons


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
        ("ü" * 1500, "ü" * 1000, ["cut"]),
        ("u\u0308" * 900, "ü" * 900, []),
        ("x" * 999 + " y", "x" * 999, ["cut"]),
        ("x" * 980 + TOKEN, "x" * 980 + "cbt_" + "*" * 16, ["cut"]),
        (f"https://x.test/callbacks/wegroup/{TOKEN}", "https://x.test/callbacks/wegroup/cbt_" + "*" * 43, []),
    ],
)
def test_text(value: Any, text: str | None, reasons: list[str]) -> None:
    assert run(values.text, value) == (text, reasons)


GERMAN = [
    # the value, as a German platform means it, as one with a decimal point means it
    ("350000", "350000", "350000"),
    ("350.000", "350000", "350.000"),
    ("1.234", "1234", "1.234"),
    ("1.234.567", "1234567", "1234567"),
    ("1.234,56", "1234.56", "1234.56"),
    ("1.234.567,8", "1234567.8", "1234567.8"),
    ("350000,00", "350000.00", "350000.00"),
    ("350000.00", "350000.00", "350000.00"),
    ("12,5", "12.5", "12.5"),
    ("12.5", "12.5", "12.5"),
    ("1234.567", "1234.567", "1234.567"),
    ("1234,567", "1234.567", "1234.567"),
    ("0.125", "0.125", "0.125"),
    ("0,125", "0.125", "0.125"),
    ("1,234.56", "1234.56", "1234.56"),
    ("1,234,567", "1234567", "1234567"),
    ("1,234,567.89", "1234567.89", "1234567.89"),
    ("1 234", "1234", "1234"),
    ("1 234 567,89", "1234567.89", "1234567.89"),
    ("1\u00a0234,5", "1234.5", "1234.5"),
    ("1\u202f234", "1234", "1234"),
    ("1'234", "1234", "1234"),
    ("1\u2019234.50", "1234.50", "1234.50"),
    (" 350.000 EUR ", "350000", "350.000"),
    ("350.000 €", "350000", "350.000"),
    ("€ 12,50", "12.50", "12.50"),
    ("EUR 1.000,-", "1000", "1.000"),
    ("500,--", "500", "500"),
    ("500 Euro", "500", "500"),
    ("-1.234,56", "-1234.56", "-1234.56"),
    ("\u22125", "-5", "-5"),
    ("+5", "5", "5"),
    ("3.5e5", "3.5e5", "3.5e5"),
    ("007", "7", "7"),
    (".5", "0.5", "0.5"),
    ("5.", "5", "5"),
]


@pytest.mark.parametrize(("text", "german", "plain"), GERMAN)
def test_numbers_as_text(text: str, german: str, plain: str) -> None:
    assert run(values.number, text) == (Decimal(german), [])
    assert run(values.plain_number, text) == (Decimal(plain), [])


@pytest.mark.parametrize("text", ["1,234", "350,000", "12,345 EUR", "-1,000"])
def test_a_comma_before_three_digits_can_mean_either_and_is_left_out(text: str) -> None:
    assert run(values.number, text) == (None, ["ambiguous-number"])
    assert run(values.plain_number, text) == (None, ["ambiguous-number"])


@pytest.mark.parametrize(
    "value",
    [
        "unbegrenzt",
        "1.2.3",
        "1,2,3",
        "1.23.456",
        "12 34",
        "--5",
        "5-",
        "1e999",
        "1" * 65,
        "٣",
        "1_000",
        "0x1F",
        True,
        "NaN",
        "Infinity",
        "10 - 20",
        "ca. 500",
        "500 USD",
        ",",
        ".",
        "-",
        "",
        [1],
        {"a": 1},
        None,
    ],
)
def test_what_is_no_number_is_left_out(value: Any) -> None:
    assert run(values.number, value) == (None, ["wrong-type"])


@pytest.mark.parametrize(
    ("value", "number"), [(1.234, "1.234"), (7, "7"), (0.1, "0.1"), (1e22, "1e22"), (-3.5, "-3.5")]
)
def test_json_numbers_are_taken_as_they_are(value: float, number: str) -> None:
    assert run(values.number, value) == (Decimal(number), [])


def german_form(cents: int) -> str:
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{f'{whole:,}'.replace(',', '.')},{rest:02}"


@given(st.integers(-(10**15), 10**15))
def test_amounts_in_german_come_back_to_the_cent(cents: int) -> None:
    assert run(values.cents_from_euros, german_form(cents)) == (cents, [])
    assert run(values.cents_from_euros, german_form(cents).replace(".", "") + " EUR") == (cents, [])
    assert run(values.cents_from_plain_euros, f"{Decimal(cents) / 100:.2f}") == (cents, [])


@given(st.integers(-(10**12), 10**12))
def test_amounts_as_json_numbers_come_back_to_the_cent(cents: int) -> None:
    assert run(values.cents_from_euros, cents / 100) == (cents, [])


@pytest.mark.parametrize(
    ("parse", "value", "cents", "reasons"),
    [
        (values.cents_from_euros, 250, 25_000, []),
        (values.cents_from_euros, 1.234, 123, ["rounded"]),
        (values.cents_from_euros, "1.234", 123_400, []),
        (values.cents_from_plain_euros, "1.234", 123, ["rounded"]),
        (values.cents_from_plain_euros, "300.50", 30_050, []),
        (values.cents_from_euros, 0.125, 12, ["rounded"]),
        (values.cents_from_euros, 0.135, 14, ["rounded"]),
        (values.cents_from_euros, 19.99, 1999, []),
        (values.cents_from_euros, 1.1e17, None, ["out-of-range"]),
        (values.cents_from_euros, "99999999999999999999", None, ["out-of-range"]),
        (values.cents_from_cents, 48790, 48790, []),
        (values.cents_from_cents, 48790.0, 48790, []),
        (values.cents_from_cents, "48790", 48790, []),
        (values.cents_from_cents, "48.790", 48790, []),
        (values.cents_from_cents, 48790.5, 48790, ["rounded"]),
        (values.cents_from_cents, 48791.5, 48792, ["rounded"]),
        (values.cents_from_cents, (1 << 63) - 1, (1 << 63) - 1, []),
        (values.cents_from_cents, 1 << 63, None, ["out-of-range"]),
        (values.cents_from_cents, True, None, ["wrong-type"]),
    ],
)
def test_money(parse: Any, value: Any, cents: int | None, reasons: list[str]) -> None:
    assert run(parse, value) == (cents, reasons)


@pytest.mark.parametrize(
    ("parse", "value", "number", "reasons"),
    [
        (values.small_integer, "4", 4, []),
        (values.small_integer, "1.200", 1200, []),
        (values.small_integer, 4.0, 4, []),
        (values.small_integer, 0, 0, []),
        (values.small_integer, (1 << 31) - 1, (1 << 31) - 1, []),
        (values.small_integer, 1 << 31, None, ["out-of-range"]),
        (values.small_integer, -1, None, ["out-of-range"]),
        (values.small_integer, 1.5, None, ["not-whole"]),
        (values.small_integer, "vier", None, ["wrong-type"]),
        (values.platform_id, 2900417, 2900417, []),
        (values.platform_id, " 02900417 ", 2900417, []),
        (values.platform_id, 2900417.0, 2900417, []),
        (values.platform_id, (1 << 63) - 1, (1 << 63) - 1, []),
        (values.platform_id, 1 << 63, None, ["out-of-range"]),
        (values.platform_id, 0, None, ["out-of-range"]),
        (values.platform_id, -5, None, ["out-of-range"]),
        (values.platform_id, "2.900.417", None, ["wrong-type"]),
        (values.platform_id, 1.5, None, ["wrong-type"]),
        (values.platform_id, "٣", None, ["wrong-type"]),
        (values.platform_id, True, None, ["wrong-type"]),
        (values.platform_id, [1], None, ["wrong-type"]),
        (values.decimal_text, 19, "19", []),
        (values.decimal_text, 19.0, "19", []),
        (values.decimal_text, "19,50 %", "19.5", []),
        (values.decimal_text, "7.125", "7.125", []),
        (values.decimal_text, "100", "100", []),
        (values.decimal_text, "0,00", "0", []),
        (values.decimal_text, -0.0, "0", []),
        (values.decimal_text, 1e30, None, ["out-of-range"]),
        (values.decimal_text, "frei", None, ["wrong-type"]),
    ],
)
def test_whole_numbers_and_decimals(parse: Any, value: Any, number: Any, reasons: list[str]) -> None:
    assert run(parse, value) == (number, reasons)


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
        (1.0, True),
        (0.0, False),
    ],
)
def test_booleans(value: Any, truth: bool) -> None:
    assert run(values.boolean, value) == (truth, [])


@pytest.mark.parametrize("value", [2, -1, "maybe", 0.5, [True], {"a": 1}])
def test_what_is_no_boolean_is_left_out(value: Any) -> None:
    assert run(values.boolean, value) == (None, ["wrong-type"])


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2025-03-09", date(2025, 3, 9)),
        (" 2025-03-09 ", date(2025, 3, 9)),
        ("2025-3-9", date(2025, 3, 9)),
        ("2025-03-09 23:30:00", date(2025, 3, 9)),
        ("2025-03-09T23:30:00+00:00", date(2025, 3, 9)),
        ("09.03.2025", date(2025, 3, 9)),
        ("9.3.2025 10:00", date(2025, 3, 9)),
        ("2025-02-30", None),
        ("2025-00-00", None),
        ("0000-01-01", None),
        ("2025-03-09x", None),
        ("20250309", None),
        ("03/09/2025", None),
        ("morgen", None),
        (20250309, None),
        ("٢٠٢٥-٠٣-٠٩", None),
    ],
)
def test_days(value: Any, day: date | None) -> None:
    assert find_day(value) == day


def test_an_unreadable_day_is_told() -> None:
    assert run(values.day_text, "2025-03-09 10:00:00") == ("2025-03-09", [])
    assert run(values.day_text, "2025-02-30") == (None, ["not-a-date"])
    assert run(values.day_text, 5) == (None, ["wrong-type"])


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2025-03-09 10:01:02", datetime(2025, 3, 9, 9, 1, 2, tzinfo=UTC)),
        ("2025-07-09 10:01:02", datetime(2025, 7, 9, 8, 1, 2, tzinfo=UTC)),
        ("2025-03-09T10:01", datetime(2025, 3, 9, 9, 1, tzinfo=UTC)),
        ("2025-03-09T10:01:02Z", datetime(2025, 3, 9, 10, 1, 2, tzinfo=UTC)),
        ("2025-03-09t10:01:02.345z", datetime(2025, 3, 9, 10, 1, 2, 345_000, tzinfo=UTC)),
        ("2025-03-09T10:01:02.123456789+00:00", datetime(2025, 3, 9, 10, 1, 2, 123_456, tzinfo=UTC)),
        ("2025-03-09T10:01:02+0130", datetime(2025, 3, 9, 8, 31, 2, tzinfo=UTC)),
        ("2025-03-09T10:01:02-05", datetime(2025, 3, 9, 15, 1, 2, tzinfo=UTC)),
        ("2025-03-09", None),
        ("2025-03-09 24:00:00", None),
        ("2025-03-09 10:01:02+99:00", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("2025-02-30 10:00:00", None),
        ("10:01:02", None),
        (1741514462, None),
    ],
)
def test_instants(value: Any, instant: datetime | None) -> None:
    assert find_instant(value, BERLIN) == instant


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (1714979289, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        (1714979289000, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("1714979289", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        (1714979289.5, datetime(2024, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)),
        (20240506, None),
        (10**300, None),
        (1e300, None),
        (True, None),
        ("2024", None),
        (-1, None),
    ],
)
def test_epochs(value: Any, instant: datetime | None) -> None:
    assert find_epoch(value) == instant


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NUMBERISH = st.text(alphabet="0123456789.,-+ eE€'%\u00a0", max_size=20)
PARSES = [
    values.text,
    values.number,
    values.plain_number,
    values.small_integer,
    values.platform_id,
    values.cents_from_euros,
    values.cents_from_plain_euros,
    values.cents_from_cents,
    values.decimal_text,
    values.boolean,
    values.day_text,
]


@given(ANYTHING | NUMBERISH)
def test_nothing_is_ever_raised_and_what_is_left_out_is_told(value: Any) -> None:
    for parse in PARSES:
        result, reasons = run(parse, value)
        assert (result is not None) or reasons or is_unknown(value)
    find_day(value)
    find_instant(value, BERLIN)
    find_epoch(value)
