"""Answers statistics: how many there are, in buckets of time and by groups, with sums and medians.

Late ones are counted right, for it is the rows that are counted, or what `hours` has of them. What makes a group is
told in `groups`, what a bucket in `buckets`, what is counted at all in `counted`; rows are chosen as in the lists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Date, Select, func, null
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access, Source
from app.problems import Invalid
from app.query import hours
from app.query.answers import answer
from app.query.buckets import MOST, WORDS, Buckets, TooManyError, known_to_the_database, parse_zone
from app.query.counted import STATISTICS, Statistic, within_wall
from app.query.deliveries import DELIVERIES
from app.query.export import chosen
from app.query.filters import Parameters, Question, Slips, read_question
from app.query.groups import Group, groups_of
from app.query.months import in_reach_of
from app.query.prepared import tuples_of_shape
from app.query.reading import Reading, moment_of, reading_of
from app.query.trail import note_reading
from app.query.values import Context, Fault, Span, parse_date, parse_span
from app.times import now, to_text

MOST_ROWS: Final = 20_000
_MOST_RANGES: Final = 64
_INSTANT: Final = timedelta(microseconds=1)
_OWN: Final = ("group_by", "bucket", "by", "tz")
_NOT_HERE: Final = ("limit", "cursor", "order")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a statistic, read and checked."""

    question: Question
    context: Context
    groups: tuple[str, ...]
    by: str
    buckets: Buckets | None
    tz: str
    bounds: tuple[datetime | None, datetime | None]
    filters: Parameters


def read_groups(given: Mapping[str, Sequence[str]], known: Mapping[str, Group], slips: Slips) -> tuple[str, ...]:
    """Return the names in `group_by`."""
    texts = [text for one in given.get("group_by", ()) for text in one.split(",") if text]
    if not set(texts) <= set(known):
        slips.add("group_by", "unknown-value", f"is none of these: {', '.join(known)}")
    return tuple(dict.fromkeys(texts))


def split_off(request: Request, own: Sequence[str], slips: Slips) -> tuple[dict[str, list[str]], Parameters]:
    """Return the parameters that are the statistic's own, by name, and the filters."""
    mine: dict[str, list[str]] = {}
    filters = []
    for name, text in request.query_params.multi_items():
        if name in own:
            mine.setdefault(name, []).append(text)
        elif name in _NOT_HERE:
            slips.add(name, "unknown-parameter", "is not known here: a statistic has no pages")
        else:
            filters.append((name, text))
    for name, texts in mine.items():
        if len(texts) > 1 and name != "group_by":
            slips.add(name, "repeated", "may be given once only")
    return mine, filters


def zone_of(given: Mapping[str, Sequence[str]], reading: Reading, slips: Slips) -> Any:
    """Return the time zone asked for, or the service's."""
    name = given["tz"][0] if "tz" in given else str(getattr(reading.zone, "key", "UTC"))
    try:
        return parse_zone(name)
    except Fault as fault:
        slips.add("tz", fault.code, fault.detail)
        return parse_zone("UTC")


def _read(request: Request, statistic: Statistic, reading: Reading, access: Access) -> Asked:
    slips = Slips()
    given, filters = split_off(request, _OWN, slips)
    groups = read_groups(given, statistic.groups, slips)
    zone = zone_of(given, reading, slips)
    word = given["bucket"][0] if "bucket" in given else None
    if word is not None and word not in WORDS:
        slips.add("bucket", "unknown-value", f"is none of these: {', '.join(WORDS)}")
    by = given["by"][0] if "by" in given else next(iter(statistic.times))
    if by not in statistic.times:
        slips.add("by", "unknown-value", f"is none of these: {', '.join(statistic.times)}")
    elif word == "hour" and isinstance(statistic.times[by].type, Date):
        slips.add("bucket", "no-hours", f"cannot be hours: `{by}` is a date")
    slips.check()
    # Dates in filters mean days of the zone asked for, so that they fit the buckets.
    context = Context(access, moment_of(request), zone, reading.book.present.sources)
    resource = statistic.resource
    question = read_question(resource.name, resource.fields, filters, context, reading.cursor_key)
    buckets = None if word is None else Buckets(word, zone)
    bounds = (None, None) if buckets is None else _bounds(by, filters, context, statistic)
    return Asked(question, context, groups, by, buckets, zone.key, bounds, filters)


def _bounds(
    by: str, filters: Parameters, context: Context, statistic: Statistic
) -> tuple[datetime | None, datetime | None]:
    """Return from when until when the filters let rows in, as far as they say; a beginning alone means until now.

    Raises:
        Invalid: a day is in the calendar's first or last year, which no buckets reach.
    """
    is_date = isinstance(statistic.times[by].type, Date)
    starts, ends = dict[str, datetime](), dict[str, datetime]()
    for name, text in filters:
        if name not in (by, *(f"{by}[{op}]" for op in ("gt", "gte", "lt", "lte"))):
            continue
        span = _day(parse_date(text, context), context) if is_date else parse_span(text, context)
        if not name.endswith(("[lt]", "[lte]")):  # one that is given again means "or"
            start = span.end if name == f"{by}[gt]" else span.start
            starts[name] = min(start, starts.get(name, start))
        if not name.endswith(("[gt]", "[gte]")):
            end = span.start if is_date or name == f"{by}[lt]" else span.end
            end -= _INSTANT if name == f"{by}[lt]" or not is_date else timedelta()
            ends[name] = max(end, ends.get(name, end))
    last = min(ends.values(), default=context.moment if starts else None)
    return max(starts.values(), default=None), last


def _day(day: date, context: Context) -> Span:
    if not date.min.year < day.year < date.max.year:
        raise too_many()
    begins = (datetime(one.year, one.month, one.day, tzinfo=context.zone) for one in (day, day + timedelta(days=1)))
    return Span(*(begin.astimezone(UTC) for begin in begins))


async def answer_statistic(request: Request, name: str, access: Access) -> Response:
    """Return a statistic.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble.
    """
    statistic, reading = STATISTICS[name], reading_of(request)
    asked = _read(request, statistic, reading, access)
    async with known_to_the_database():
        rows = await _count(statistic, reading, asked, access)
    if asked.question.by_personal:
        await note_reading(reading, access, f"stats/{name}", [])
    return answer({"data": rows, "tz": asked.tz, "as_of": now()})


async def _count(statistic: Statistic, reading: Reading, asked: Asked, access: Access) -> list[dict[str, Any]]:
    sources = reading.book.present.sources
    groups = [statistic.groups[name] for name in asked.groups]
    column = statistic.times[asked.by]
    begin: ColumnElement[Any] = null()
    if asked.buckets is not None:
        begin = asked.buckets.of(column, is_date=isinstance(column.type, Date), known=_known(asked))
    keys = [column.label(f"k{n}") for n, column in enumerate(c for group in groups for c in group.keys(sources))]
    values = [column for group in groups for column in group.values()]
    resource = statistic.resource
    statement = resource.columns(access).with_only_columns(
        begin.label("begin"), func.count(), *statistic.measures(), *keys, *values, maintain_column_froms=True
    )
    statement = chosen(resource, statement, asked.question.conditions, access).where(*within_wall(resource, access))
    if asked.buckets is not None:
        statement = statement.where(column.is_not(None))
    grouped = [*(["begin"] if asked.buckets is not None else []), *(f"k{n}" for n in range(len(keys)))]
    statement = statistic.told(statement.group_by(*grouped).limit(MOST_ROWS + 1))
    async with reading.asking() as connection:
        found = await _by_hours(connection, asked, statement) if statistic.resource is DELIVERIES else None
        if found is None:
            found = await tuples_of_shape(connection, statement, in_reach_of(asked.question.ids))
    if len(found) > MOST_ROWS:
        raise too_many()
    return _shown(statistic, asked, _aligned(asked.buckets, found), sources)


def _aligned(buckets: Buckets | None, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows with the first instant of their bucket: where midnight comes twice, the database says the second."""
    if buckets is None or buckets.word == "hour":
        return found
    begin = cache(buckets.begin)
    return [(begin(row[0]), *row[1:]) for row in found]


async def _by_hours(connection: AsyncConnection, asked: Asked, statement: Select[Any]) -> list[tuple[Any, ...]] | None:
    """Return what `statement` counts, most of it from what was counted by the hour; None where that cannot be."""
    context = asked.context
    found = hours.find_hours(asked.filters, asked.by, asked.buckets, context)
    if found is None:
        return None
    async with hours.one_snapshot(connection):
        waiting = await hours.find_waiting(connection, context.access)
        if waiting is None:
            return None
        rest = [*found.beside(), *([hours.of_waiting(found, waiting)] if waiting else [])]
        counted = hours.of_hours(found, asked.groups, asked.buckets, _known(asked), context).limit(MOST_ROWS + 1)
        of_hours = await tuples_of_shape(connection, counted, {})
        others: list[Any] = []
        for ids, condition in rest:
            reach = in_reach_of(asked.question.ids.within(ids))
            others += await tuples_of_shape(connection, statement.where(condition), reach)
    return hours.put_together(of_hours, others)


def too_many() -> Invalid:
    """Return the problem that there are too many rows."""
    detail = f"The answer has more than {MOST} buckets or {MOST_ROWS} rows; ask for larger buckets or fewer days."
    return Invalid(detail, errors=[{"in": "query", "name": "bucket", "code": "too-many-buckets", "detail": detail}])


def _shown(
    statistic: Statistic, asked: Asked, found: Sequence[tuple[Any, ...]], sources: Mapping[UUID, Source]
) -> list[dict[str, Any]]:
    """Return the rows, with every bucket for every group, the largest group first."""
    groups = [statistic.groups[name] for name in asked.groups]
    measured = 2 + len(statistic.nothing)
    by_group: dict[tuple[Any, ...], dict[Any, tuple[Any, ...]]] = {}
    fields: dict[tuple[Any, ...], dict[str, Any]] = {}
    group_of = groups_of(groups, sources)
    for row in found:
        key, shown = group_of(row[measured:])
        by_group.setdefault(key, {})[row[0]] = row
        fields.setdefault(key, shown)
    if not groups and not by_group:
        by_group[()], fields[()] = {}, {}
    begins = _begins(asked, [row[0] for row in found])
    if len(begins) * len(by_group) > MOST_ROWS:
        raise too_many()
    ordered = sorted(by_group, key=lambda key: (-sum(row[1] for row in by_group[key].values()), str(key)))
    empty = {"count": 0, **statistic.shown(statistic.nothing)}
    shown_rows: list[dict[str, Any]] = []
    for begin in begins:
        label = _label(asked.buckets, begin)
        for key in ordered:
            own = by_group[key].get(begin)
            counted = empty if own is None else {"count": own[1], **statistic.shown(own[2:measured])}
            shown_rows.append({**label, **fields[key], **counted})
    return shown_rows


@lru_cache(MOST)
def _label(buckets: Buckets | None, begin: datetime | None) -> Mapping[str, str | None]:
    """Return how a bucket is called: the same ones are asked for again and again."""
    if buckets is None or begin is None:
        return {"bucket": None, "from": None}
    return {"bucket": buckets.label(begin), "from": to_text(begin)}


def _begins(asked: Asked, found: Sequence[Any]) -> list[datetime | None]:
    if asked.buckets is None:
        return [None]
    first, last = asked.bounds
    if first is not None and last is not None and first > last:  # nothing lies between but what is still to come
        first, last = (first, None) if found else (None, None)
    moments = [one for one in (*found, first, last) if one is not None]
    if not moments:
        return []
    expected = _between(asked.buckets, min(moments), max(moments))
    others = set(found).difference(expected)
    return sorted([*expected, *others]) if others else [*expected]


def _known(asked: Asked) -> Sequence[datetime]:
    """Return the beginnings of the buckets that the filters bound, and of the one after them."""
    first, last = asked.bounds
    if asked.buckets is None or first is None or last is None or first > last:
        return ()
    begins = _between(asked.buckets, first, last)
    try:
        return (*begins, asked.buckets.next(begins[-1]))
    except OverflowError:  # here, too
        return ()


def _between(buckets: Buckets, first: datetime, last: datetime) -> Sequence[datetime]:
    """Return the beginnings of the buckets from that of one moment to that of another."""
    try:
        return _between_begins(buckets, buckets.begin(first), buckets.begin(last))
    except (TooManyError, OverflowError):  # the calendar ends in the year 9999
        raise too_many() from None


@lru_cache(_MOST_RANGES)
def _between_begins(buckets: Buckets, first: datetime, last: datetime) -> Sequence[datetime]:
    """Return the beginnings of buckets: the same ones are asked for again until the next one begins."""
    return tuple(buckets.between(first, last))
