"""Numbers and amounts as platforms write them."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers import amounts
from app.providers.values import is_unknown

Run = Callable[[Callable[[Any, Callable[[str], None]], Any], Any], tuple[Any, list[str]]]


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
    ("500.-", "500", "500"),
    ("500 Euro", "500", "500"),
    ("-1.234,56", "-1234.56", "-1234.56"),
    ("\u22125", "-5", "-5"),
    ("+5", "5", "5"),
    ("3.5e5", "3.5e5", "3.5e5"),
    ("007", "7", "7"),
    (".5", "0.5", "0.5"),
    ("5.", "5", "5"),
]


def formatted(text: str, number: str) -> list[str]:
    """Return what is noted of a number in text: that it is no plain one, or would say something else as such."""
    try:
        return [] if Decimal(text.strip()) == Decimal(number) else ["formatted-number"]
    except InvalidOperation:
        return ["formatted-number"]


@pytest.mark.parametrize(("text", "german", "plain"), GERMAN)
def test_numbers_as_text(text: str, german: str, plain: str, read_value: Run) -> None:
    assert read_value(amounts.number, text) == (Decimal(german), formatted(text, german))
    assert read_value(amounts.plain_number, text) == (Decimal(plain), formatted(text, plain))


@pytest.mark.parametrize("text", ["1,234", "350,000", "12,345 EUR", "-1,000"])
def test_a_comma_before_three_digits_can_mean_either_and_is_left_out(text: str, read_value: Run) -> None:
    assert read_value(amounts.number, text) == (None, ["ambiguous-number"])
    assert read_value(amounts.plain_number, text) == (None, ["ambiguous-number"])


@pytest.mark.parametrize(
    "value",
    [
        "unbegrenzt",
        "1.2.3",
        "1,2,3",
        "1.23.456",
        "12 34",
        "1 2345",
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
def test_what_is_no_number_is_left_out(value: Any, read_value: Run) -> None:
    assert read_value(amounts.number, value) == (None, ["wrong-type"])


@pytest.mark.parametrize(
    ("value", "number"), [(1.234, "1.234"), (7, "7"), (0.1, "0.1"), (1e22, "1e22"), (-3.5, "-3.5")]
)
def test_json_numbers_are_taken_as_they_are(value: float, number: str, read_value: Run) -> None:
    assert read_value(amounts.number, value) == (Decimal(number), [])


def german_form(cents: int) -> str:
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{f'{whole:,}'.replace(',', '.')},{rest:02}"


@given(cents=st.integers(-(10**15), 10**15))
def test_amounts_in_german_come_back_to_the_cent(cents: int, read_value: Run) -> None:
    assert read_value(amounts.cents_from_euros, german_form(cents)) == (cents, ["formatted-number"])
    in_euros = german_form(cents).replace(".", "") + " EUR"
    assert read_value(amounts.cents_from_euros, in_euros) == (cents, ["formatted-number"])
    assert read_value(amounts.cents_from_plain_euros, f"{Decimal(cents) / 100:.2f}") == (cents, [])


@given(cents=st.integers(-(10**12), 10**12))
def test_amounts_as_json_numbers_come_back_to_the_cent(cents: int, read_value: Run) -> None:
    assert read_value(amounts.cents_from_euros, cents / 100) == (cents, [])


@pytest.mark.parametrize(
    ("parse", "value", "cents", "reasons"),
    [
        (amounts.cents_from_euros, 250, 25_000, []),
        (amounts.cents_from_euros, 1.234, 123, ["rounded"]),
        (amounts.cents_from_euros, "1.234", 123_400, ["formatted-number"]),
        (amounts.cents_from_plain_euros, "1.234", 123, ["rounded"]),
        (amounts.cents_from_plain_euros, "300.50", 30_050, []),
        (amounts.cents_from_euros, 0.125, 12, ["rounded"]),
        (amounts.cents_from_euros, 0.135, 14, ["rounded"]),
        (amounts.cents_from_euros, 19.99, 1999, []),
        (amounts.cents_from_euros, ((1 << 63) - 1) // 100, 9_223_372_036_854_775_800, []),
        (amounts.cents_from_euros, ((1 << 63) - 1) // 100 + 1, None, ["out-of-range"]),
        (amounts.cents_from_euros, 1.1e17, None, ["out-of-range"]),
        (amounts.cents_from_euros, "99999999999999999999", None, ["out-of-range"]),
        (amounts.cents_from_cents, 48790, 48790, []),
        (amounts.cents_from_cents, 48790.0, 48790, []),
        (amounts.cents_from_cents, "48790", 48790, []),
        (amounts.cents_from_cents, "48.790", 48790, ["formatted-number"]),
        (amounts.cents_from_cents, 48790.5, 48790, ["rounded"]),
        (amounts.cents_from_cents, 48791.5, 48792, ["rounded"]),
        (amounts.cents_from_cents, (1 << 63) - 1, (1 << 63) - 1, []),
        (amounts.cents_from_cents, 1 << 63, None, ["out-of-range"]),
        (amounts.cents_from_cents, True, None, ["wrong-type"]),
    ],
)
def test_money(parse: Any, value: Any, cents: int | None, reasons: list[str], read_value: Run) -> None:
    assert read_value(parse, value) == (cents, reasons)


@pytest.mark.parametrize(
    ("parse", "value", "number", "reasons"),
    [
        (amounts.small_integer, "4", 4, []),
        (amounts.small_integer, "1.200", 1200, ["formatted-number"]),
        (amounts.small_integer, 4.0, 4, []),
        (amounts.small_integer, 0, 0, []),
        (amounts.small_integer, (1 << 31) - 1, (1 << 31) - 1, []),
        (amounts.small_integer, 1 << 31, None, ["out-of-range"]),
        (amounts.small_integer, -1, None, ["out-of-range"]),
        (amounts.small_integer, 1.5, None, ["not-whole"]),
        (amounts.small_integer, "vier", None, ["wrong-type"]),
        (amounts.decimal_text, 19, "19", []),
        (amounts.decimal_text, 19.0, "19", []),
        (amounts.decimal_text, "19,50 %", "19.5", ["formatted-number"]),
        (amounts.decimal_text, "7.125", "7.125", []),
        (amounts.decimal_text, "100", "100", []),
        (amounts.decimal_text, "0,00", "0", ["formatted-number"]),
        (amounts.decimal_text, -0.0, "0", []),
        (amounts.decimal_text, 1e30, None, ["out-of-range"]),
        (amounts.decimal_text, -1e30, None, ["out-of-range"]),
        (amounts.decimal_text, "frei", None, ["wrong-type"]),
    ],
)
def test_whole_numbers_and_decimals(parse: Any, value: Any, number: Any, reasons: list[str], read_value: Run) -> None:
    assert read_value(parse, value) == (number, reasons)


NUMBERISH = st.text(alphabet="0123456789.,-+ eE€'%\u00a0", max_size=20)
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers())


@given(value=ANYTHING | NUMBERISH)
def test_nothing_is_ever_raised_and_what_is_left_out_is_told(read_value: Run, value: Any) -> None:
    for parse in (
        amounts.number,
        amounts.plain_number,
        amounts.small_integer,
        amounts.cents_from_euros,
        amounts.cents_from_plain_euros,
        amounts.cents_from_cents,
        amounts.decimal_text,
    ):
        result, reasons = read_value(parse, value)
        assert (result is not None) or reasons or is_unknown(value)
