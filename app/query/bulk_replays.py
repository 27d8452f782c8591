"""Takes the order to process all deliveries of a filter again, a page at a time; doing it is the processor's business.

A single delivery is `replays`'.
"""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.audit import record_async
from app.accounts.model import Access
from app.query.answers import answer
from app.query.cursor import Position, write_cursor
from app.query.deliveries import DELIVERIES
from app.query.filters import Question, Slips, read_question
from app.query.reading import Reading, moment_of, reading_of
from app.query.trail import actor_of
from app.query.values import Context
from app.query.walls import Statement, walled
from app.storage.models import deliveries, inbox

DRY_RUN = "dry_run"
MOST_AT_ONCE = 100
"""The inbox is taken in the order of ids: with more at once, what comes meanwhile would be kept waiting."""


async def answer_replays(request: Request, access: Access) -> Response:
    """Put a page of deliveries into the inbox again; with `dry_run` only count all of the filter.

    Raises:
        Problem: a parameter cannot be used, there is no filter, or the database has trouble.
    """
    reading = reading_of(request)
    dry_run, question = _read(request, reading, access)
    own = deliveries.c
    chosen = DELIVERIES.columns(access).with_only_columns(own.id, own.source_id, maintain_column_froms=True)
    chosen = walled(chosen, deliveries, access).where(*question.conditions)
    if question.position is not None:
        chosen = chosen.where(own.id < UUID(str(question.position.after[0])))
    if dry_run:
        async with reading.asking() as connection:
            counted = await connection.execute(select(func.count()).select_from(chosen.subquery()))
            return answer({"matched": counted.scalar_one(), "queued": 0, "next_cursor": None})
    limit = min(question.limit, MOST_AT_ONCE)
    return answer(await _queue(reading, replace(question, limit=limit), chosen, access), status=202)


async def _queue(reading: Reading, question: Question, chosen: Statement, access: Access) -> dict[str, object]:
    async with reading.writing() as connection:
        page = chosen.order_by(deliveries.c.id.desc()).limit(question.limit + 1)
        rows = (await connection.execute(page)).mappings().all()
        has_more, rows = len(rows) > question.limit, rows[: question.limit]
        if rows:
            waiting = [{"delivery_id": row["id"], "source_id": row["source_id"]} for row in rows]
            await connection.execute(insert(inbox).values(waiting).on_conflict_do_nothing())
            detail = {"delivery_ids": [str(row["id"]) for row in rows]}
            await record_async(connection, actor_of(access), "delivery.replay", detail)
    end = None
    if has_more:
        position = Position((str(rows[-1]["id"]),), int(question.asked_at.timestamp() * 1000))
        end = write_cursor(reading.cursor_key, question.binding, position)
    return {"matched": None, "queued": len(rows), "next_cursor": end}


def _read(request: Request, reading: Reading, access: Access) -> tuple[bool, Question]:
    """Return whether only to count, and the filter."""
    given = request.query_params.multi_items()
    slips = Slips()
    words = [text for name, text in given if name == DRY_RUN]
    if words not in ([], ["true"], ["false"]):
        slips.add(DRY_RUN, "not-a-boolean", "is `true` or `false`")
    if any(name == "order" for name, _ in given):
        slips.add("order", "unknown-parameter", "is not known here; the newest are processed first")
    slips.check()
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    parameters = [(name, text) for name, text in given if name != DRY_RUN]
    question = read_question(DELIVERIES.name, DELIVERIES.fields, parameters, context, reading.cursor_key)
    if not question.conditions:
        slips.add("status", "missing", "or another filter of the list is needed, such as `status=quarantined`")
    slips.check()
    return words == ["true"], question
