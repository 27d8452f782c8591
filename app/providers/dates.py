"""Reads days and instants as platforms write them: ISO 8601, MySQL, German, Unix time.

What a date means for the order of events is each platform's reader's business.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

from app.providers.values import INVISIBLE, MAX_NUMBER, Warn

_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:$|[T\s])")
_GERMAN_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:$|\s)")
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt\s]\s*(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?"
)
_SHORTEST = len("2025-03-09T10:01")
_EPOCH = re.compile(r"\d{9,13}(?:\.\d+)?")
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = (int, float)  # a union would be made anew for each value
_EPOCH_FROM = 100_000_000
_EPOCH_MS_FROM = 100_000_000_000


def find_day(value: Any) -> date | None:
    """Return the day in `YYYY-MM-DD`, with or without a time, or `DD.MM.YYYY`; as written, without zones."""
    return _day_in(value[:MAX_NUMBER]) if isinstance(value, str) else None


@lru_cache(maxsize=4096)  # callbacks are about few days, and each is looked at several times
def _day_in(written: str) -> date | None:
    bare = written.strip(INVISIBLE)
    if not bare.isascii():
        return None
    if match := _DATE.match(bare):
        year, month, day = match.groups()
    elif match := _GERMAN_DATE.match(bare):
        day, month, year = match.groups()
    else:
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def day_text(value: Any, warn: Warn) -> str | None:
    """Return a day as `YYYY-MM-DD`; a time beside it is not looked at."""
    day = find_day(value)
    if day is None:
        warn("not-a-date" if isinstance(value, str) else "wrong-type")
        return None
    return day.isoformat()


def find_instant(value: Any, zone: tzinfo) -> datetime | None:
    """Return the instant that ISO 8601 or MySQL text with a time of day states, in UTC; without a zone in `zone`."""
    if not isinstance(value, str) or len(value) < _SHORTEST:
        return None
    bare = value[:MAX_NUMBER].strip(INVISIBLE)
    match = _TIME.fullmatch(bare) if bare.isascii() else None
    day = None if match is None else find_day(bare.replace("t", "T"))
    if match is None or day is None:
        return None
    hour, minute, second, fraction, offset = match.groups()
    try:
        local = datetime(
            day.year,
            day.month,
            day.day,
            int(hour),
            int(minute),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            tzinfo=_offset(offset) or zone,
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def find_epoch(value: Any) -> datetime | None:
    """Return the instant of a Unix time in seconds (from 1973 on) or, from 100,000,000,000 on, milliseconds."""
    if isinstance(value, str):
        bare = value.strip(INVISIBLE)[:MAX_NUMBER]
        if not bare.isascii() or not _EPOCH.fullmatch(bare):
            return None
        value = float(bare)
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or value < _EPOCH_FROM:
        return None
    seconds = value / 1000 if value >= _EPOCH_MS_FROM else value
    try:
        return _EPOCH_START + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None


def _offset(written: str | None) -> tzinfo | None:
    """Return the zone of `Z`, `+01`, `+0100` or `+01:00`."""
    if written is None:
        return None
    if written in "Zz":
        return UTC
    digits = written[1:].replace(":", "").ljust(4, "0")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(ahead if written[0] == "+" else -ahead)
