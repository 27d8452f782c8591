"""Answers the funnel: how many inquiries went from one status to another, and how many days it took them.

What a group is stands in `groups`; which inquiries are looked at is asked as in their list.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Date, Select, and_, cast, func, select
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.ids import first_id_at
from app.query.answers import answer
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
    since = _since(filters, context)
    entered = _entered(access, statuses[0], zone.key, since).cte("entered")  # looked at twice, so found once
    reached = _reached(access, statuses[1], zone.key, entered, since).subquery("reached")
    both = inquiries.join(entered, entered.c.record_id == inquiries.c.id).outerjoin(
        reached, reached.c.record_id == inquiries.c.id
    )
    statement: Select[Any] = select(func.count(), *spread(reached.c.day - entered.c.day), *keys, *values).select_from(
        both
    )
    statement = chosen(INQUIRIES, statement, question.conditions, access)
    async with reading.asking() as connection:
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


def _of_status(access: Access, status: int, since: UUID) -> Select[Any]:
    statement = select(events.c.record_id).where(
        events.c.type == f"thinksurance.inquiry.{status_name(status)}",
        events.c.record_id.is_not(None),
        events.c.id >= since,
    )
    return walled(statement, events, access).group_by(events.c.record_id)


def _entered(access: Access, status: int, zone: str, since: UUID) -> Select[Any]:
    """Return the inquiries that were ever in a status, and the first day of it."""
    return _of_status(access, status, since).add_columns(func.min(_day(zone)).label("day"))


def _reached(access: Access, status: int, zone: str, entered: Any, since: UUID) -> Select[Any]:
    """Return those that were in a status on the day they entered the first one or later, and the first such day."""
    statement = _of_status(access, status, since).add_columns(func.min(_day(zone)).label("day"))
    return statement.join(entered, and_(entered.c.record_id == events.c.record_id, _day(zone) >= entered.c.day))


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    entered, days = row[0], shown_spread(row[1:4], digits=1)
    reached = days["count"]
    share = round(reached / entered, 4) if entered else None
    return {"entered": entered, "reached": reached, "share": share, "days_between": days}
