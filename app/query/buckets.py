"""Cuts time into hours, days, weeks and months of a named time zone; pure but for the expression in SQL.

What is counted in them is told in `statistics`.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

import psycopg
from sqlalchemy import ARRAY, ColumnElement, DateTime, Grouping, case, cast, func, literal

from app.problems import Invalid
from app.query.values import Fault

WORDS: Final = ("hour", "day", "week", "month")
MOST: Final = 5000
_HOUR = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TooManyError(Exception):
    """There are more buckets than are answered."""


def parse_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name."""
    if name not in _zones():
        raise Fault("unknown-value", "is no time zone such as Europe/Berlin or UTC")
    return ZoneInfo(name)


@asynccontextmanager
async def known_to_the_database() -> AsyncGenerator[None]:
    """Refuse a zone that the database does not know: its list may be older than ours, or from elsewhere."""
    try:
        yield
    except psycopg.errors.InvalidParameterValue:
        detail = "is no time zone that the database knows"
        errors = [{"in": "query", "name": "tz", "code": "unknown-value", "detail": detail}]
        raise Invalid(f"The parameter `tz` {detail}.", errors=errors) from None


@cache
def _zones() -> frozenset[str]:
    """Return the names of all zones: hundreds of files are looked at for that, so once a process."""
    return frozenset(available_timezones())


@cache
def has_whole_hours(zone: ZoneInfo) -> bool:
    """Tell whether the clocks of a zone have only ever shown the minutes of UTC since there are deliveries."""
    moment, last = _EPOCH, datetime(2040, 1, 1, tzinfo=UTC)
    while moment < last:
        offset = moment.astimezone(zone).utcoffset()
        if offset is None or offset % _HOUR:
            return False
        moment += timedelta(days=7)
    return True


def instants(moments: Sequence[datetime]) -> ColumnElement[Any]:
    """Return instants as an array."""
    return Grouping(literal(list(moments), ARRAY(DateTime(timezone=True))))


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of one size in one zone."""

    word: str
    zone: ZoneInfo

    def of(
        self, column: ColumnElement[Any], *, is_date: bool, known: Sequence[datetime] = ()
    ) -> ColumnElement[datetime]:
        """Return the expression for the instant at which the bucket of a time, or of a date, begins.

        From the first to the last of the `known` beginnings it is looked up among these: to work it out in a zone takes
        the database four times as long.
        """
        if is_date:
            local = func.date_trunc(self.word, cast(column, DateTime()))
            return func.timezone(self.zone.key, local)
        if self.word == "hour" and has_whole_hours(self.zone):
            return func.date_bin(literal(_HOUR), column, literal(_EPOCH))
        worked_out: ColumnElement[datetime] = func.date_trunc(literal(self.word), column, literal(self.zone.key))
        if not known or self.word == "hour":  # where summer time is half an hour, hours are not told by the one before
            return worked_out
        begins = instants(known)
        looked_up = begins[func.width_bucket(column, begins)]
        return case(((column >= known[0]) & (column < known[-1]), looked_up), else_=worked_out)

    def begin(self, moment: datetime) -> datetime:
        """Return the instant at which the bucket of a moment begins: the first, where midnight comes twice."""
        local = moment.astimezone(self.zone)
        if self.word == "hour":  # as the database has it, also where summer time is half an hour
            passed = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            return moment.astimezone(UTC) - passed
        day = local.date()
        if self.word == "week":
            day -= timedelta(days=day.weekday())
        elif self.word == "month":
            day = day.replace(day=1)
        return self._midnight(day)

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """Yield the beginnings of all buckets from that of `first` to that of `last`.

        Raises:
            TooManyError: there are more than are answered.
        """
        moment, number = self.begin(first), 0
        while moment <= last:
            number += 1
            if number > MOST:
                raise TooManyError
            yield moment
            moment = self.next(moment)

    def next(self, moment: datetime) -> datetime:
        """Return the instant at which the bucket after that of a moment begins."""
        if self.word == "hour":
            return self.begin(moment + _HOUR)
        day = moment.astimezone(self.zone).date()
        if self.word == "month":
            return self._midnight((day.replace(day=1) + timedelta(days=32)).replace(day=1))
        return self._midnight(day + timedelta(days=7 if self.word == "week" else 1))

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    def label(self, begin: datetime) -> str:
        """Return how people call the bucket."""
        local = begin.astimezone(self.zone)
        if self.word == "hour":
            return local.isoformat(timespec="minutes")
        if self.word == "week":
            year, week, _ = local.isocalendar()
            return f"{year}-W{week:02}"
        return local.strftime("%Y-%m-%d" if self.word == "day" else "%Y-%m")
