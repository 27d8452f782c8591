"""Answers the funnel: how many inquiries went from one status to another, and how many days it took them.

What a group is stands in `groups`; which inquiries are looked at is asked as in their list.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Date, Select, Subquery, case, cast, func, literal_column, select
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.ids import first_id_at
from app.query.answers import answer
from app.query.buckets import known_to_the_database
from app.query.counted import shown_spread, spread
from app.query.export import chosen
from app.query.fields import ANY_ID, EARLIER
from app.query.filters import Parameters, Slips, read_question
from app.query.groups import OF_INQUIRIES, groups_of
from app.query.inquiries import INQUIRIES, parse_status_name, status_name
from app.query.prepared import tuples_of_shape
from app.query.reading import moment_of, reading_of
from app.query.statistics import MOST_ROWS, read_groups, split_off, too_many, zone_of
from app.query.trail import note_reading
from app.query.values import Context, Fault, parse_integer, parse_span
from app.query.walls import Statement, walled
from app.storage.models import events, inquiries
from app.times import now

GROUPS: Final = {name: group for name, group in OF_INQUIRIES.items() if name != "status"}
_OWN: Final = ("from", "to", "group_by", "tz")


async def answer_funnel(request: Request, access: Access) -> Response:
    """Return a funnel.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble.
    """
    reading, slips = reading_of(request), Slips()
    given, filters = split_off(request, _OWN, slips)
    zone = zone_of(given, reading, slips)
    context = Context(access, moment_of(request), zone, reading.book.present.sources)
    names = read_groups(given, GROUPS, slips)
    statuses = [_status(given, name, context, slips) for name in ("from", "to")]
    slips.check()
    question = read_question(INQUIRIES.name, INQUIRIES.fields, filters, context, reading.cursor_key)
    groups = [GROUPS[name] for name in names]
    keys = [
        column.label(f"k{n}") for n, column in enumerate(c for group in groups for c in group.keys(context.sources))
    ]
    values = [column for group in groups for column in group.values()]
    steps = _steps(access, statuses[0], statuses[1], zone.key, _since(filters, context))
    statement: Select[Any] = select(func.count(), *spread(steps.c.days), *keys, *values)
    statement = statement.select_from(inquiries.join(steps, steps.c.record_id == inquiries.c.id))
    statement = chosen(INQUIRIES, statement, question.conditions, access)
    statement = statement.group_by(*(key.name for key in keys)).limit(MOST_ROWS + 1)
    async with known_to_the_database(), reading.asking() as connection:
        rows = await tuples_of_shape(connection, statement, {})
    if len(rows) > MOST_ROWS:
        raise too_many()
    if question.by_personal:
        await note_reading(reading, access, "stats/funnel", [])
    group_of = groups_of(groups, context.sources)
    shown = [
        {**group_of(row[4:])[1], "from": statuses[0], "to": statuses[1], **_shown(row)}
        for row in sorted(rows, key=lambda row: (-row[0], str(row[4:])))
    ]
    return answer({"data": shown, "tz": zone.key, "as_of": now()})


def _status(given: Mapping[str, Sequence[str]], name: str, context: Context, slips: Slips) -> int:
    if name not in given:
        slips.add(name, "missing", "is missing: a status such as 4 or calculated")
        return 0
    text = given[name][0]
    try:
        return parse_integer(text, context) if text.lstrip("+-").isdigit() else parse_status_name(text, context)
    except Fault as fault:
        slips.add(name, fault.code, fault.detail)
        return 0


def _day(zone: str) -> Any:
    """Return the day of an event: that of the receipt, or the platform's up to the day after."""
    said, received = events.c.occurred_on, events.c.received_at
    moment = func.coalesce(events.c.occurred_at, received)
    is_too_late = said > cast(received, Date) + literal_column("1")
    return case(
        (is_too_late, cast(func.timezone(zone, received), Date)),
        else_=func.coalesce(said, cast(func.timezone(zone, moment), Date)),
    )


def _since(filters: Parameters, context: Context) -> UUID:
    """Return the lowest id that an event of the chosen inquiries may have: none was received before the first."""
    names = ("first_received_at", "first_received_at[gte]", "first_received_at[gt]")
    texts = [[text for name, text in filters if name == one] for one in names]
    starts = [parse_span(found[0], context).start for found in texts if len(found) == 1]
    return first_id_at(max(starts) - EARLIER) if starts else ANY_ID.low


def _told(access: Access, statuses: Sequence[int], since: UUID, *columns: ColumnElement[Any]) -> Statement:
    """Return columns of the events by which inquiries came into one of the statuses."""
    types = [_type(status) for status in statuses]
    statement: Statement = select(*columns).where(
        events.c.type.in_(types), events.c.record_id.is_not(None), events.c.id >= since
    )
    return walled(statement, events, access)


def _steps(access: Access, first: int, then: int, zone: str, since: UUID) -> Subquery:
    """Return the inquiries that were ever in the first status, the first day of it, and that of the second since then.

    One pass over the events: to join those of one status with those of the other misleads the planner, who then
    compares each with each. Only of an inquiry that was in the second status both before and since are they looked at
    once more; to gather the days of all takes half as long again.
    """
    own, day = events.c, _day(zone)
    # What is left out here, nothing, keeps the days from being worked out once for each of their uses.
    told = _told(access, (first, then), since, own.record_id, own.type, day.label("day")).offset(0).subquery("told")
    of_first, of_then = (told.c.type == _type(one) for one in (first, then))
    found = (
        select(
            told.c.record_id,
            func.min(told.c.day).filter(of_first).label("entered"),
            func.min(told.c.day).filter(of_then).label("earliest"),
            func.max(told.c.day).filter(of_then).label("latest"),
        )
        .group_by(told.c.record_id)
        .subquery("found")
    )
    entered, earliest, latest = found.c.entered, found.c.earliest, found.c.latest
    later = _told(access, (then,), since, func.min(day)).where(own.record_id == found.c.record_id, day >= entered)
    reached = case((earliest >= entered, earliest), (latest >= entered, later.correlate(found).scalar_subquery()))
    statement = select(found.c.record_id, (reached - entered).label("days")).where(entered.is_not(None))
    # The same here, for the days are used thrice.
    return statement.offset(0).subquery("steps")


def _type(status: int) -> str:
    return f"thinksurance.inquiry.{status_name(status)}"


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    entered, days = row[0], shown_spread(row[1:4], digits=1)
    reached = days["count"]
    share = round(reached / entered, 4) if entered else None
    return {"entered": entered, "reached": reached, "share": share, "days_between": days}
