"""Answers histories: what each event changed in a record, newest first.

For inquiries and leads the processor keeps the changes right on the events; a customer's are folded here, for there
may be two records in an event and the stored changes are the subject's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import BigInteger, Text, Uuid, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.ingest.contract import VIAS
from app.processing.baselines import merged
from app.processing.order import receipt_key
from app.processing.records import Told, flatten, fold_events
from app.query.answers import answer, next_link
from app.query.cursor import Position, write_cursor
from app.query.details import get_row, parse_id
from app.query.filters import Question, read_question
from app.query.fullness import held
from app.query.kept import RECORD, Beginning, find_beginning, folded, life_of, told_since, with_beginning
from app.query.months import in_reach_of
from app.query.personal import hide_changes
from app.query.prepared import Prepared, asked
from app.query.reading import moment_of, reading_of
from app.query.resource import Resource, Row
from app.query.schemas.inquiries import Customer
from app.query.shapes import unless_large, written_whole
from app.query.trail import note_reading
from app.query.values import Context
from app.query.walls import OTHERS_TOLD, Statement, cache_of_walls, in_reach, others_told, walled
from app.storage.models import deliveries, events

Entries = Sequence[Mapping[str, Any]]

_via = (
    select(deliveries.c.via)
    .where(
        deliveries.c.id == events.c.delivery_id,
        deliveries.c.source_id == events.c.source_id,
        in_reach(deliveries.c.id),
    )
    .scalar_subquery()
    .label("via")
)
_COLUMNS = (events.c.id, events.c.delivery_id, events.c.received_at, events.c.verdict, events.c.order_key, _via)


async def answer_history(request: Request, resource: Resource, text: str, access: Access) -> Response:
    """Return a page of a record's history.

    Raises:
        NotFound: there is no record of this id that the key may see.
    """
    reading = reading_of(request)
    parameters = request.query_params.multi_items()
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    async with reading.asking(once=True) as connection:
        record = await get_row(connection, resource, parse_id(resource, text), access)
        name = f"{resource.name}/{record['id']}/history"
        question = read_question(name, {}, parameters, context, reading.cursor_key)
        find = _of_customer if resource.kind == "customer" else _of_subject
        entries, has_more, beginning = await find(connection, record, question, access)
    await note_reading(reading, access, name, [record["id"]])
    cursor = None
    if has_more and entries:
        cursor = write_cursor(reading.cursor_key, question.binding, Position((entries[-1]["place"],)))
    shown = [_shape(resource.kind, entry, access) for entry in entries]
    link = {"Link": next_link(reading.public_url or "", request.url.path, parameters, cursor)} if cursor else None
    whole = {"complete_from": beginning.complete_from}
    return answer({"data": shown, "next_cursor": cursor, **whole}, headers=link)


async def _of_subject(
    connection: AsyncConnection, record: Row, question: Question, access: Access
) -> tuple[Entries, bool, Beginning]:
    """Return the entries of a page, and whether there are more; places are order keys."""
    after = None if question.position is None else question.position.after[0]
    values = {RECORD: record["id"], "after": after, "wanted": question.limit + 1, **in_reach_of(life_of(record))}
    statement = _changes_of(access, question.order, goes_on=after is not None)
    found = await statement.rows(connection, values)

    async def read(row: Row) -> Row | None:
        whole = await _changes_of_one(access).rows(connection, {"wanted": row["id"]})
        return {**row, **whole[0]} if whole else None

    rows, ended_at = await held(found[: question.limit], ["changes"], read)
    entries = [_entry(row, orjson.loads(row["changes"]), row["order_key"]) for row in rows]
    has_more = len(found) > question.limit or ended_at is not None
    return entries, has_more, await find_beginning(connection, record["id"], access)


@cache_of_walls
def _changes_of(access: Access, order: str, *, goes_on: bool) -> Prepared:
    own, place, ascending = events.c, events.c.order_key, order == "asc"
    statement: Statement = select(*_COLUMNS, unless_large(own.changes), others_told(access)).where(
        own.record_id == asked(RECORD, Uuid()), in_reach(own.id), own.changes != func.jsonb_build_array()
    )
    if goes_on:
        after = asked("after", Text())
        statement = statement.where(place > after if ascending else place < after)
    statement = statement.order_by(place.asc() if ascending else place.desc()).limit(asked("wanted", BigInteger()))
    return Prepared.of(walled(statement, events, access))


@cache_of_walls
def _changes_of_one(access: Access) -> Prepared:
    statement: Statement = select(written_whole(events.c.changes)).select_from(events)
    return Prepared.of(walled(statement.where(events.c.id == asked("wanted", Uuid())), events, access))


async def _of_customer(
    connection: AsyncConnection, record: Row, question: Question, access: Access
) -> tuple[Entries, bool, Beginning]:
    """Fold what all events say about a customer; places are receipts."""
    values = {RECORD: record["id"], **in_reach_of(life_of(record))}
    beginning, told, size = await told_since(connection, _said_of(access), values, access)
    rows = {row["id"]: row for row in told if row["fields"]}
    base = merged(beginning.baselines)
    _, marks = await folded(lambda: fold_events((_told(row) for row in rows.values()), base), size)
    entries = [
        _entry(row, changes, _place(row))
        for row in rows.values()
        if (changes := [one for one in marks[row["id"]].changes if _is_shown(one["field"])])
    ]
    ascending = question.order == "asc"
    entries.sort(key=lambda entry: str(entry["place"]), reverse=not ascending)
    if question.position is not None:
        after = str(question.position.after[0])
        entries = [entry for entry in entries if (entry["place"] > after if ascending else entry["place"] < after)]
    return entries[: question.limit], len(entries) > question.limit, beginning


@cache_of_walls
def _said_of(access: Access) -> Prepared:
    part = func.jsonb_path_query_first(
        events.c.parts, literal_column("'$[*] ? (@.kind == \"customer\").fields'::jsonpath"), type_=JSONB
    )
    statement: Statement = select(*_COLUMNS, events.c.item_index)
    statement = statement.where(events.c.customer_id == asked(RECORD, Uuid()), in_reach(events.c.id))
    return Prepared.of(with_beginning(walled(statement, events, access), part.label("fields"), access))


def _told(row: Row) -> Told:
    place = _place(row)
    return Told(row["id"], place, place, row["received_at"], flatten("customer", row["fields"]))


def _place(row: Row) -> str:
    return receipt_key(row["delivery_id"], row["item_index"])


def _is_shown(field: str) -> bool:
    """Tell whether a change is of a field that customers are shown with."""
    return field.partition(".")[0] in Customer.model_fields


def _entry(row: Row, changes: Any, place: str) -> dict[str, Any]:
    return {**row, "changes": changes, "place": place}


def _shape(kind: str, entry: Mapping[str, Any], access: Access) -> dict[str, Any]:
    changes, some_hidden = hide_changes(kind, entry["changes"], access, others_told=entry.get(OTHERS_TOLD, False))
    return {
        "at": entry["received_at"],
        "event_id": entry["id"],
        "delivery_id": entry["delivery_id"],
        "via": None if entry["via"] is None else VIAS[entry["via"]],
        "verdict": entry["verdict"],
        "changes": changes,
        "redacted": ["changes"] if some_hidden else [],
    }
