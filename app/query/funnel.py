"""Answers the funnel: how many inquiries went from one status to another, and how many days it took them.

What a group is stands in `groups`; which inquiries are looked at is asked as in their list.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Date, Select, Subquery, case, cast, func, select
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
from app.query.groups import OF_INQUIRIES
from app.query.inquiries import INQUIRIES, parse_status_name, status_name
from app.query.reading import moment_of, reading_of
from app.query.statistics import MOST_ROWS, group_of, read_groups, split_off, too_many, zone_of
from app.query.trail import note_reading
from app.query.values import Context, Fault, parse_integer, parse_span
from app.query.walls import walled
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
    steps = _steps(_told(access, statuses, zone.key, _since(filters, context)), *statuses)
    statement: Select[Any] = select(func.count(), *spread(steps.c.reached - steps.c.entered), *keys, *values)
    statement = statement.select_from(inquiries.join(steps, steps.c.record_id == inquiries.c.id))
    statement = chosen(INQUIRIES, statement, question.conditions, access)
    async with known_to_the_database(), reading.asking() as connection:
        found = await connection.execute(statement.group_by(*(key.name for key in keys)).limit(MOST_ROWS + 1))
        rows = found.all()
    if len(rows) > MOST_ROWS:
        raise too_many()
    if question.by_personal:
        await note_reading(reading, access, "stats/funnel", [])
    shown = [
        {**group_of(groups, row[4:], context.sources)[1], "from": statuses[0], "to": statuses[1], **_shown(row)}
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
    """Return the day of an event: the platform's, else that of the receipt."""
    moment = func.coalesce(events.c.occurred_at, events.c.received_at)
    return func.coalesce(events.c.occurred_on, cast(func.timezone(zone, moment), Date))


def _since(filters: Parameters, context: Context) -> UUID:
    """Return the lowest id that an event of the chosen inquiries may have: none was received before the first."""
    names = ("first_received_at", "first_received_at[gte]", "first_received_at[gt]")
    texts = [[text for name, text in filters if name == one] for one in names]
    starts = [parse_span(found[0], context).start for found in texts if len(found) == 1]
    return first_id_at(max(starts) - EARLIER) if starts else ANY_ID.low


def _told(access: Access, statuses: Sequence[int], zone: str, since: UUID) -> Subquery:
    """Return which inquiries were in the statuses, and on which days."""
    types = [_type(status) for status in statuses]
    statement = select(events.c.record_id, events.c.type, _day(zone).label("day")).where(
        events.c.type.in_(types), events.c.record_id.is_not(None), events.c.id >= since
    )
    # What is left out here, nothing, keeps the days from being worked out once for each of their uses.
    return walled(statement, events, access).offset(0).subquery("told")


def _steps(told: Subquery, first: int, then: int) -> Subquery:
    """Return the inquiries that were ever in the first status, the first day of it, and that of the second since then.

    One pass over the events: to join those of one status with those of the other misleads the planner, who then
    compares each with each.
    """
    of_first, of_then = (told.c.type == _type(one) for one in (first, then))
    days = func.min(told.c.day)
    found = (
        select(
            told.c.record_id,
            days.filter(of_first).label("entered"),
            days.filter(of_then).label("earliest"),
            func.array_agg(told.c.day).filter(of_then).label("days"),
        )
        .group_by(told.c.record_id)
        .subquery("found")
    )
    day = func.unnest(found.c.days).column_valued("day")
    later = select(func.min(day)).where(day >= found.c.entered).scalar_subquery()
    reached = case((found.c.earliest < found.c.entered, later), else_=found.c.earliest)
    statement = select(found.c.record_id, found.c.entered, reached.label("reached"))
    return statement.where(found.c.entered.is_not(None)).subquery("steps")


def _type(status: int) -> str:
    return f"thinksurance.inquiry.{status_name(status)}"


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    entered, days = row[0], shown_spread(row[1:4], digits=1)
    reached = days["count"]
    share = round(reached / entered, 4) if entered else None
    return {"entered": entered, "reached": reached, "share": share, "days_between": days}
