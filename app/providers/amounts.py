"""Reads numbers and amounts of money as platforms write them: as text, the German way, in euros or in cents.

Other values are `values`' and `dates`'; which field is read by which of these is each platform's table.
"""

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from app.providers.values import INT32, INT64, INVISIBLE, MAX_NUMBER, Warn

_MINUS = ("-", "\u2212")
_SIGNS = (*_MINUS, "+")
_FEW_DIGITS = 9
_MOST_CENTS = Decimal(INT64)
_READABLE = (int, float, str)  # a union would be made anew for each value

_CURRENCY = re.compile(r"^(?:EUR|Euro|€)\s*|\s*(?:EUR|Euro|€)$", re.IGNORECASE)
_GROUP_BLANKS = re.compile(r"(?<=\d)[\s'’](?=\d{3}(?!\d))")  # noqa: RUF001 - the apostrophe people type
_ROUND_PRICE = re.compile(r"(?<=\d)[.,](?:-{1,2}|–|—)$")  # noqa: RUF001 - the dashes people type
_PLAIN = re.compile(r"[\d.,]*\d", re.ASCII)
_DOT_GROUPS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
_COMMA_GROUPS = re.compile(r"[1-9]\d{0,2}(?:(?:,\d{3}){2,}(?:\.\d+)?|,\d{3}\.\d+)")
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2},\d{3}")
_DECIMAL_DOT = re.compile(r"\d+\.\d*|\.\d+|\d+(?:\.\d+)?[eE][+-]?\d{1,2}")


def number(value: Any, warn: Warn) -> Decimal | None:
    """Return a number as Germans write it; JSON numbers are taken as they are.

    In text a dot before exactly three digits groups thousands (`1.234`, `350.000`), otherwise it is the decimal point
    (`1234.5`, `350000.00`, `0.125`). A comma is the decimal sign (`350000,00`, `1.234,56`); one comma before exactly
    three digits (`1,234`) can be either, by a factor of a thousand, and is left out as `ambiguous-number`. Blanks and
    apostrophes before three digits group (`1 234`). A currency sign around the number and `,-` at its end are ignored.
    What is more than a sign, digits and a decimal point is noted.
    """
    return _number(value, warn, german=True)


def plain_number(value: Any, warn: Warn) -> Decimal | None:
    """Return a number whose text has a decimal point, or a decimal comma; `1.234` is less than two."""
    return _number(value, warn, german=False)


def _number(value: Any, warn: Warn, *, german: bool) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, _READABLE):
        warn("wrong-type")
        return None
    if not isinstance(value, str):
        return Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    bare = value.strip(INVISIBLE)
    if len(bare) > MAX_NUMBER or not any(map(str.isdigit, bare)):
        warn("wrong-type")
        return None
    negative = False
    if not _PLAIN.fullmatch(bare):  # most are
        bare = _ROUND_PRICE.sub("", _CURRENCY.sub("", bare)).strip(INVISIBLE)
        negative = bare.startswith(_MINUS)
        bare = _GROUP_BLANKS.sub("", bare[1:].strip(INVISIBLE) if bare.startswith(_SIGNS) else bare)
    if not bare.isascii():
        warn("wrong-type")
        return None
    digits = _decimal_digits(bare, german=german)
    if digits is None:
        warn("ambiguous-number" if _AMBIGUOUS.fullmatch(bare) else "wrong-type")
        return None
    if digits != value.strip(INVISIBLE).lstrip("+-"):
        warn("formatted-number")
    return -Decimal(digits) if negative else Decimal(digits)


def _decimal_digits(bare: str, *, german: bool) -> str | None:
    """Return unsigned digits with a decimal point, None if the ASCII text is no number or could be two."""
    if bare.isdigit():
        return bare
    whole, comma, decimals = bare.partition(",")
    if comma and whole.isdigit() and decimals.isdigit():
        return None if _AMBIGUOUS.fullmatch(bare) else f"{whole}.{decimals}"
    has_groups = _DOT_GROUPS.fullmatch(bare)
    if not (german and has_groups) and _DECIMAL_DOT.fullmatch(bare):
        return bare
    if has_groups:
        return bare.replace(".", "").replace(",", ".")
    if _COMMA_GROUPS.fullmatch(bare):
        return bare.replace(",", "")
    return None


def _few_digits(value: Any) -> int | None:
    """Return a whole number in text that needs no closer look; integers, which most are, are taken without a call."""
    if isinstance(value, str) and len(value) <= _FEW_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    return None


def _bounded(amount: Decimal | None, low: int, high: int, warn: Warn) -> int | None:
    """Return a whole number within bounds; others are left out with a warning."""
    if amount is None:
        return None
    if not low <= amount <= high:
        warn("out-of-range")
        return None
    if amount != amount.to_integral_value():
        warn("not-whole")
        return None
    return int(amount)


def small_integer(value: Any, warn: Warn) -> int | None:
    """Return a count or code from 0 that fits 32 bits."""
    whole = value if type(value) is int else _few_digits(value)
    if whole is not None and 0 <= whole <= INT32:
        return whole
    return _bounded(number(value, warn), 0, INT32, warn)


def _to_cents(amount: Decimal | None, warn: Warn) -> int | None:
    """Return whole cents; half a cent goes to the even one, and a fraction is told."""
    if amount is None:
        return None
    if not -_MOST_CENTS <= amount <= _MOST_CENTS:
        warn("out-of-range")
        return None
    cents = amount.to_integral_value(ROUND_HALF_EVEN)
    if cents != amount:
        warn("rounded")
    return int(cents)


def _times_hundred(amount: Decimal | None) -> Decimal | None:
    """Shift by two places, exact at any length."""
    return None if amount is None else amount.scaleb(2)


def cents_from_euros(value: Any, warn: Warn) -> int | None:
    """Return cents of an amount in euros, written the German way or as a number."""
    whole = value if type(value) is int else _few_digits(value)
    if whole is not None and abs(whole) <= INT32:
        return 100 * whole
    return _to_cents(_times_hundred(number(value, warn)), warn)


def cents_from_plain_euros(value: Any, warn: Warn) -> int | None:
    """Return cents of an amount in euros with a decimal point."""
    return _to_cents(_times_hundred(plain_number(value, warn)), warn)


def cents_from_cents(value: Any, warn: Warn) -> int | None:
    """Return cents of an amount that is in cents already."""
    whole = value if type(value) is int else _few_digits(value)
    if whole is not None and abs(whole) <= INT64:
        return whole
    return _to_cents(number(value, warn), warn)


def decimal_text(value: Any, warn: Warn) -> str | None:
    """Return a decimal as its shortest text (`19`, `19.5`); a per cent sign is ignored."""
    whole = value if type(value) is int else _few_digits(value)
    if whole is not None and abs(whole) <= INT32:
        return str(whole)
    amount = plain_number(value.strip(INVISIBLE).removesuffix("%") if isinstance(value, str) else value, warn)
    if amount is None:
        return None
    if not -INT32 <= amount <= INT32:
        warn("out-of-range")
        return None
    shortest = format(amount.quantize(Decimal("0.000001"), ROUND_HALF_EVEN), "f")
    shortest = shortest.rstrip("0").rstrip(".")
    return "0" if shortest == "-0" else shortest
