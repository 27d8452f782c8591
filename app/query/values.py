"""Reads the values of filters: what a caller wrote in a query becomes what the database compares with.

Pure; which field takes which kind of value is told in `fields`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from app.accounts.model import Access, Source


class Fault(Exception):  # noqa: N818 - not a failure of the program: a caller's slip
    """A value cannot be used; `code` is for programs, `detail` for people and never repeats the value."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Context:
    """What reading values depends on: who asks, when, in which zone a date begins, and the sources that exist."""

    access: Access
    moment: datetime
    zone: tzinfo
    sources: Mapping[UUID, Source]

    @property
    def visible_sources(self) -> list[Source]:
        """Return the sources within the key's wall."""
        wall = self.access.source_ids
        return [source for source in self.sources.values() if wall is None or source.id in wall]


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a value means, from `start` to before `end`: a day for a date, a millisecond for an instant."""

    start: datetime
    end: datetime


_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,9}))?"
    r"(?:([Zz])|([+ -])([0-9]{2}):?([0-9]{2}))?"
)
_RELATIVE = re.compile(r"([-+ ])([0-9]{1,6})([smhdw])")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_BIGGEST = 1 << 63
_FIRST_YEAR, _LAST_YEAR = 1900, 2999
_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_DIGITS_OF_MILLISECONDS, _DIGITS_OF_MICROSECONDS = 3, 6


def check_text(text: str) -> None:
    """Refuse what no text in PostgreSQL can hold."""
    if "\x00" in text:
        raise Fault("unusable-text", "holds the character U+0000")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault("unusable-text", "holds a lone surrogate, which is no character") from None


def parse_text(text: str, _: Context) -> str:
    """Return a text as it is."""
    return text


def parse_integer(text: str, _: Context) -> int:
    """Return a whole number of at most 64 bit."""
    if not _INTEGER.fullmatch(text.strip()):
        raise Fault("not-an-integer", "is no whole number")
    number = int(text)
    if not -_BIGGEST <= number < _BIGGEST:
        raise Fault("out-of-range", "is beyond 64 bit")
    return number


def parse_decimal(text: str, _: Context) -> Decimal:
    """Return a number with a point."""
    if not _DECIMAL.fullmatch(text.strip()):
        raise Fault("not-a-number", "is no number such as 19 or 16.15")
    return Decimal(text.strip())


def parse_json(text: str, _: Context) -> Any:
    """Return an object or a list of JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict | list):
        raise Fault("not-json", 'is no object of JSON such as {"data":{"productId":81}}')
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:  # what an item holds that deep is kept as text
        raise Fault("too-deep", "is nested deeper than anything that is kept") from None
    if b"\\u0000" in written:
        raise Fault("unusable-text", "holds the character U+0000")
    return value


def parse_boolean(text: str, _: Context) -> bool:
    """Return true or false."""
    found = {"true": True, "false": False}.get(text.strip().lower())
    if found is None:
        raise Fault("not-a-boolean", "is neither true nor false")
    return found


def parse_id(text: str, _: Context) -> UUID:
    """Return one of Callbox's ids."""
    try:
        return UUID(text.strip())
    except ValueError:
        raise Fault("not-an-id", "is none of Callbox's ids (UUID); a platform's ids have fields of their own") from None


def parse_date(text: str, context: Context) -> date:
    """Return a date: `2025-03-09`, or relative to today such as `-7d` and `+2w`."""
    text = text.strip() if not text.startswith(" ") else text
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise Fault("not-a-date", "is no day of the calendar") from None
    relative = _RELATIVE.fullmatch(text)
    if relative is None or relative[3] not in "dw":
        raise Fault("not-a-date", "is no date; write 2025-03-09, or relative to today: -7d, -2w, %2B30d")
    try:
        return context.moment.astimezone(context.zone).date() + _offset(relative)
    except OverflowError:
        raise Fault("out-of-range", "is beyond the calendar") from None


def parse_span(text: str, context: Context) -> Span:
    """Return what a time means: RFC 3339, a date (that day in the service's zone), or relative such as `-24h`."""
    try:
        span = _to_span(text, context)
    except (ValueError, OverflowError):
        raise Fault("not-a-time", "is no moment of the calendar") from None
    if not _FIRST_YEAR <= span.start.year <= _LAST_YEAR:
        raise Fault("out-of-range", f"lies not in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return span


def _to_span(text: str, context: Context) -> Span:
    if _DATE.fullmatch(text):
        day = date.fromisoformat(text)
        return Span(_midnight(day, context.zone), _midnight(day + timedelta(days=1), context.zone))
    if relative := _RELATIVE.fullmatch(text):
        moment = context.moment + _offset(relative)
        return Span(moment, moment + _MICROSECOND)
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise Fault("not-a-time", "is no time; write 2025-03-09T10:00:00Z, 2025-03-09, or relative to now: -24h, -7d")
    day_text, time_text, fraction, zulu, sign, hours, minutes = found.groups()
    if not zulu and not hours:
        raise Fault("no-zone", "has no zone; add Z (UTC) or an offset such as +01:00 (in URLs %2B01:00)")
    # A + that was not escaped arrives as a space.
    offset = "+00:00" if zulu else f"{'-' if sign == '-' else '+'}{hours}:{minutes}"
    moment = datetime.fromisoformat(f"{day_text}T{time_text}{offset}").astimezone(UTC)
    digits = fraction or ""
    moment += timedelta(microseconds=int(digits[:_DIGITS_OF_MICROSECONDS].ljust(_DIGITS_OF_MICROSECONDS, "0")))
    return Span(moment, moment + (_MILLISECOND if len(digits) <= _DIGITS_OF_MILLISECONDS else _MICROSECOND))


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _offset(relative: re.Match[str]) -> timedelta:
    amount = int(relative[2]) * _UNITS[relative[3]]
    return -amount if relative[1] == "-" else amount


def parse_source(text: str, context: Context) -> UUID:
    """Return the id of a source by its name."""
    for source in context.visible_sources:
        if source.name == text:
            return source.id
    names = ", ".join(sorted(source.name for source in context.visible_sources))
    raise Fault("unknown-value", f"is no source; there are: {names or 'none'}")


def parse_provider(text: str, context: Context) -> tuple[UUID, ...]:
    """Return the ids of all sources of a provider."""
    found = tuple(source.id for source in context.visible_sources if source.provider == text)
    if not found:
        names = ", ".join(sorted({source.provider for source in context.visible_sources}))
        raise Fault("unknown-value", f"is no provider with a source; there are: {names or 'none'}")
    return found
