"""Counts deliveries from what was counted of them by the hour, and the rest from the rows themselves.

The rest are those that wait, those processed since the last turn of counting, and those of an hour that a filter cuts
apart. All is read in one snapshot, so that each delivery is counted once; how the hours are kept exact is told in
`app.storage.counting`. Where the hours do not hold what is asked for, nothing is answered from them.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    cast,
    exists,
    func,
    literal,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.ids import first_id_at
from app.query.buckets import Buckets, has_whole_hours, instants
from app.query.deliveries import FIELDS
from app.query.fields import ANY_ID, EARLIER, LATER, Condition, Field, IdRange, Op, source_fields
from app.query.filters import Parameters
from app.query.groups import OF_COUNTED_DELIVERIES
from app.query.prepared import Prepared
from app.query.shapes import in_braces
from app.query.values import Context, parse_span
from app.query.walls import Statement, cache_of_walls, walled
from app.storage.models import deliveries, delivery_counts, delivery_counts_end, inbox, outcomes

BY: Final = "received_at"
_HOUR: Final = timedelta(hours=1)
_MOST_WAITING: Final = 20_000
"""Where more than these are to be looked at one by one, going through all rows is no slower."""

_own = delivery_counts.c
_FIELDS: Final[Mapping[str, Field]] = {
    **source_fields(delivery_counts),
    **{name: replace(FIELDS[name], column=_own[name], build=None) for name in ("via", "verdict", "status", "reason")},
}
_BOUNDS: Final = (f"{BY}[gte]", f"{BY}[gt]", BY, f"{BY}[lt]", f"{BY}[lte]")


@dataclass(frozen=True, slots=True)
class Hours:
    """The whole hours within what is asked for, from the first to before the end; None where there is no bound."""

    first: datetime | None
    end: datetime | None
    conditions: Sequence[Condition]

    @property
    def within(self) -> list[Condition]:
        """Return the conditions under which a delivery was received in these hours."""
        received = deliveries.c.received_at
        bounds = ((self.first, received.__ge__), (self.end, received.__lt__))
        return [compare(bound) for bound, compare in bounds if bound is not None]

    def beside(self) -> list[tuple[IdRange, Condition]]:
        """Return the conditions under which one was received before or after them, and between which ids."""
        own, found = deliveries.c, []
        if self.first is not None:
            ids = IdRange(ANY_ID.low, first_id_at(self.first + LATER))
            found.append((ids, and_(own.received_at < self.first, own.id <= ids.high)))
        if self.end is not None:
            ids = IdRange(first_id_at(self.end - EARLIER), ANY_ID.high)
            found.append((ids, and_(own.received_at >= self.end, own.id >= ids.low)))
        return found


def find_hours(filters: Parameters, by: str, buckets: Buckets | None, context: Context) -> Hours | None:
    """Return the hours from which a statistic of deliveries can be answered; None where it cannot.

    `filters` were read before and have no slips.
    """
    others = [(name, text) for name, text in filters if name not in _BOUNDS]
    bounds = dict(filters)
    is_plain = len(bounds) == len(filters) and all(name.partition("[")[0] in _FIELDS for name, _ in others)
    if not is_plain or by != BY or context.access.brokers is not None:
        return None
    if buckets is not None and not has_whole_hours(buckets.zone):
        return None
    spans = {name: parse_span(bounds[name], context) for name in _BOUNDS if name in bounds}
    starts = [spans[name].end if name == f"{BY}[gt]" else spans[name].start for name in _BOUNDS[:3] if name in spans]
    ends = [spans[name].start if name == f"{BY}[lt]" else spans[name].end for name in _BOUNDS[2:] if name in spans]
    first = None if not starts else _begin(max(starts) + _HOUR - timedelta.resolution)
    end = None if not ends else _begin(min(ends))
    if first is not None and end is not None and first >= end:
        return None
    return Hours(first, end, [_condition(name, text, context) for name, text in others])


def _begin(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _condition(name: str, text: str, context: Context) -> Condition:
    plain, mark, word = name.partition("[")
    return _FIELDS[plain].condition(Op(word.rstrip("]")) if mark else Op.EQ, [text], context)


@asynccontextmanager
async def one_snapshot(connection: AsyncConnection) -> AsyncGenerator[None]:
    """Have all statements see the same."""
    await connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        with suppress(DBAPIError):  # a connection that is broken is not used again
            await connection.exec_driver_sql("ROLLBACK")


async def find_waiting(connection: AsyncConnection, access: Access) -> list[UUID] | None:
    """Return the deliveries that no hour holds yet; None where they are too many."""
    found = [row["delivery_id"] for row in await _waiting(access).rows(connection, {})]
    return found if len(found) <= _MOST_WAITING else None


@cache_of_walls
def _waiting(access: Access) -> Prepared:
    end = select(func.coalesce(func.max(delivery_counts_end.c.seq), 0)).scalar_subquery()
    since = walled(select(outcomes.c.delivery_id).where(outcomes.c.seq > end), outcomes, access)
    done = exists(
        select(literal(1)).where(
            outcomes.c.delivery_id == inbox.c.delivery_id, outcomes.c.source_id == inbox.c.source_id
        )
    )
    waiting = walled(select(inbox.c.delivery_id).where(~done), inbox, access)
    return Prepared.of(union_all(*(one.limit(_MOST_WAITING + 1).subquery().select() for one in (since, waiting))))


def of_waiting(hours: Hours, waiting: Sequence[UUID]) -> tuple[IdRange, Condition]:
    """Return the condition for those of the waiting deliveries that were received in the hours, and their ids."""
    ids = IdRange(min(waiting), max(waiting))
    own = deliveries.c
    these = any_(cast(literal(in_braces(waiting), Text), ARRAY(Uuid())))
    return ids, and_(own.id == these, own.id >= ids.low, own.id <= ids.high, *hours.within)


def of_hours(
    hours: Hours, groups: Sequence[str], buckets: Buckets | None, known: Sequence[datetime], context: Context
) -> Select[Any] | CompoundSelect[Any]:
    """Return the statement of what was counted in the hours: the bucket, how many, how long they took, the groups.

    Within the `known` beginnings of buckets each is looked up by itself, which spares to sort all by their buckets.
    """
    chosen = [OF_COUNTED_DELIVERIES[name] for name in groups]
    keys = [column.label(f"k{n}") for n, column in enumerate(c for one in chosen for c in one.keys(context.sources))]
    counted = (func.sum(_own.number).label("number"), func.string_agg(_own.spent, literal(b"")).label("spent"))
    bounds = ((hours.first, _own.hour.__ge__), (hours.end, _own.hour.__lt__))
    within = [compare(bound) for bound, compare in bounds if bound is not None]

    def of(*begin: ColumnElement[Any]) -> Statement:
        statement: Statement = select(*begin, *counted, *keys)
        statement = walled(statement, delivery_counts, context.access).where(*within, *hours.conditions)
        return statement.group_by(*(one.name for one in keys))

    if buckets is None:
        return of(null().label("begin"))
    begin = _own.hour if buckets.word == "hour" else buckets.of(_own.hour, is_date=False)
    whole = of(begin.label("begin")).group_by("begin")
    if buckets.word == "hour" or not known:
        return whole
    bucket = func.unnest(instants(known[:-1]), instants(known[1:])).table_valued("first", "next", name="bucket")
    bucket = bucket.render_derived()
    each = of().where(_own.hour >= bucket.c.first, _own.hour < bucket.c.next).lateral("each")
    inside = select(bucket.c.first, *each.c).select_from(bucket.join(each, true()))
    return union_all(inside, whole.where(_own.hour >= known[-1]))


def put_together(counted: Iterable[Sequence[Any]], rest: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return one row for those of the same bucket and group."""
    found = {(row[0], *row[3:]): tuple(row) for row in counted}
    for begin, number, spent, *keys in rest:
        before = found.get((begin, *keys), (begin, 0, None))
        found[begin, *keys] = (begin, (before[1] or 0) + number, (before[2] or b"") + (spent or b""), *keys)
    return [row for row in found.values() if row[1]]
