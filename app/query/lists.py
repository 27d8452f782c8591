"""Answers lists: one page of rows within the key's wall, by filters, order and cursor.

What a row looks like is told by its resource; how parameters are read by `filters`.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, and_, exists, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.visitors import iterate
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.ids import time_of
from app.problems import Problem
from app.query.access import read_anew
from app.query.answers import answer, next_link
from app.query.cursor import Position, write_cursor
from app.query.feed import check_place, is_another_there, sources_of, top_of
from app.query.fields import ANY_ID, IdRange
from app.query.filters import Parameters, Question, read_question
from app.query.fullness import held_rows
from app.query.ids_first import is_told_by_index, rows_by_id
from app.query.months import in_reach_of, looking, newest_rows
from app.query.prepared import Prepared, rows_of_shape
from app.query.reading import Reading, moment_of, reading_of
from app.query.resource import Resource, Row, neighbours_of
from app.query.shaping import count_rows, read_shaping
from app.query.sorting import place_of, sorted_rows
from app.query.trail import noting
from app.query.values import Context
from app.query.walls import Statement, cache_of_walls, in_reach, walled
from app.query.whole import is_whole, row_after, whole_rows
from app.storage.models import inbox, outcomes
from app.times import now


async def answer_list(
    request: Request, resource: Resource, access: Access, posted: Parameters | None = None
) -> Response:
    """Return a page of a list, by the parameters in the URL or by those that were `posted`.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble.
    """
    reading = reading_of(request)
    given = request.query_params.multi_items() if posted is None else posted
    shaping, parameters = read_shaping(resource.schema, given)
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    question = read_question(resource.name, resource.fields, parameters, context, reading.cursor_key, resource.sorts)
    is_feed = resource.seq is not None and question.order == "asc"
    known = is_whole(resource, question, access)
    counts_some = shaping.count is not None and question.conditions  # which index counts them best hangs on the value
    planned = question.finds_few or (known and not counts_some)
    least = await _top_of_primary(reading, resource) if is_feed else 0
    async with reading.asking(once=resource.once and planned) as connection:
        lag = await _lag_seconds(connection, access) if is_feed else 0.0
        counted = None
        if shaping.count is not None:
            counted = await count_rows(connection, _chosen(resource, question, access), shaping.count, access)
        told = is_told_by_index(resource, question, access)
        top = await top_of(connection, resource.seq) if least and resource.seq is not None else 0
        found = await (_ids if told else _rows)(connection, resource, question, access)
        is_outdated = is_feed and await is_another_there(connection, sources_of(parameters, context))
    if is_outdated:  # a follower would be led past the rows of a source that was not known here yet
        await read_anew(reading.book)
        return await answer_list(request, resource, access, posted)
    if is_feed and not found and question.position is not None:
        await check_place(reading, int(str(question.position.after[0])))
    has_more, found = len(found) > question.limit, found[: question.limit]
    last = found[-1] if found else None
    rows = await rows_by_id(reading, resource, [row["id"] for row in found], access) if told else found
    rows, ended_at = await held_rows(partial(reading.asking, once=resource.once), resource, rows, access)
    has_more, last = has_more or ended_at is not None, ended_at or last
    is_behind = least is None
    if least is not None and top < least and not has_more:
        is_behind, lag = await _on_primary(reading, resource, access, top, lag)
    # An empty page tells something personal only to whoever asks by it; followers of a feed are answered many of them.
    is_noted = resource.audited and (rows or question.by_personal)
    ids = [row["id"] for row in rows]
    async with noting(reading, access, resource.name, ids) if is_noted else nullcontext():
        neighbours = await neighbours_of(reading, resource, rows, access)
        shown = [shaping.cut(resource.shape(row, access, neighbours)) for row in rows]
        end = _end(reading, question, last, is_feed=is_feed)
        page: dict[str, Any] = {"data": shown, "next_cursor": end if has_more else None}
        if is_feed:
            page |= {"follow_cursor": end, "caught_up": not (has_more or is_behind), "lag_seconds": lag}
        if counted is not None:
            page["count"] = counted
        link = None
        if has_more and posted is None:
            link = {"Link": next_link(reading.public_url or "", request.url.path, given, end)}
        return answer(page, headers=link)


@cache_of_walls
def _visible(resource: Resource, access: Access, sort: str | None = None) -> Statement:
    """Return all rows of a list that the key may see."""
    return walled(resource.in_list(access, sort), resource.table, access).where(*resource.in_lists)


def _chosen(resource: Resource, question: Question, access: Access) -> Statement:
    """Return all rows of the question, whichever page is asked for."""
    statement = _visible(resource, access).where(*question.conditions)
    statement = statement.with_only_columns(resource.table.c.id, maintain_column_froms=True)
    if question.order == "asc" and resource.seq is not None:
        statement = statement.where(resource.seq.is_not(None))
    return statement


async def _rows(connection: AsyncConnection, resource: Resource, question: Question, access: Access) -> Sequence[Row]:
    """Return one row more than the page holds, if there are as many."""
    if is_whole(resource, question, access):
        return await whole_rows(connection, resource, question, access)
    statement = _visible(resource, access, question.sort).where(*question.conditions)
    if question.sort is not None:
        return await sorted_rows(connection, resource, statement, question)
    return await _found(connection, resource, question, _in_order(statement, resource, question), access)


async def _ids(connection: AsyncConnection, resource: Resource, question: Question, access: Access) -> Sequence[Row]:
    """Return of these rows the ids alone."""
    ordered = _in_order(_chosen(resource, question, access), resource, question)
    return await _found(connection, resource, question, ordered, access)


async def _found(
    connection: AsyncConnection, resource: Resource, question: Question, ordered: Statement, access: Access
) -> Sequence[Row]:
    """Return what a statement finds, of tables with months the newest first."""
    if resource.seq is None:
        return await rows_of_shape(connection, ordered, {})
    ids = _ids_before(question)
    if question.order == "asc" or question.finds_few:
        return await rows_of_shape(connection, ordered, in_reach_of(ids))
    look = looking(connection, resource, ordered)
    if access.brokers is None or not _by_outcomes_alone(question):
        return await newest_rows(look, ids, question.limit + 1)
    page = await _ids_of_page(connection, question, access, ids)
    return await look(page, question.limit + 1) if page is not None else []


def _ids_before(question: Question) -> IdRange:
    """Return between which ids the rows of a page lie; in a feed the position says nothing of it."""
    if question.position is None or question.order == "asc":
        return question.ids
    return question.ids.within(IdRange(ANY_ID.low, UUID(str(question.position.after[0]))))


def _by_outcomes_alone(question: Question) -> bool:
    """Tell whether outcomes alone say which deliveries fit."""
    parts = (part for condition in question.conditions for part in iterate(condition))
    return {part.table for part in parts if isinstance(part, Column)} == {outcomes}


async def _ids_of_page(connection: AsyncConnection, question: Question, access: Access, ids: IdRange) -> IdRange | None:
    """Return between which ids the deliveries of a page lie, None if there is none.

    To look for it in all months takes little as long as they are not joined. One more is asked for than is read of the
    page, for `ids` reach up to the last one shown.
    """
    own = outcomes.c.delivery_id
    statement: Statement = select(own).where(own >= ids.low, own <= ids.high, *question.conditions)
    statement = statement.order_by(own.desc()).limit(question.limit + 2)
    found = (await connection.execute(walled(statement, outcomes, access))).scalars().all()
    return IdRange(found[-1], found[0]) if found else None


def _in_order(statement: Statement, resource: Resource, question: Question) -> Statement:
    by: ColumnElement[Any] = resource.table.c.id
    if question.order == "asc" and resource.seq is not None:
        by = resource.seq
        statement = statement.where(by.is_not(None))
    ascending = question.order == "asc"
    if question.position is not None:
        (after,) = question.position.after
        value = UUID(after) if isinstance(after, str) else after
        statement = statement.where(by > value if ascending else by < value)
    return statement.order_by(by.asc() if ascending else by.desc()).limit(question.limit + 1)


def _end(reading: Reading, question: Question, last: Row | None, *, is_feed: bool) -> str:
    """Return the cursor that goes on after a page; in a feed relative times go with the clock."""
    if last is None:
        position = question.position or Position((0,))
    elif is_feed:
        position = Position((last["seq"],))
    else:
        place = (str(last["id"]),) if question.sort is None else place_of(last, question.sort)
        position = Position(place, int(question.asked_at.timestamp() * 1000))
    return write_cursor(reading.cursor_key, question.binding, position)


async def _top_of_primary(reading: Reading, resource: Resource) -> int | None:
    """Return the place up to which a replica must tell to be behind in nothing: 0 where it is the primary that answers.

    None while the primary is away: nobody can say what it has.
    """
    if resource.seq is None or reading.engine is reading.primary:
        return 0
    try:
        async with reading.adding() as connection:
            return await top_of(connection, resource.seq)
    except Problem:
        return None


async def _on_primary(reading: Reading, resource: Resource, access: Access, top: int, lag: float) -> tuple[bool, float]:
    """Return whether the primary has more than a replica that tells of all up to `top`, and the greater lag of both.

    What is not on the replica yet counts as not processed.
    """
    try:
        async with reading.adding() as connection:
            missing = await row_after(connection, resource, access, top)
            lag = max(lag, await _lag_seconds(connection, access))
    except Problem:
        return True, lag
    return missing is not None, max(lag, _age(UUID(str(missing["id"]))) if missing else 0.0)


async def _lag_seconds(connection: AsyncConnection, access: Access) -> float:
    """Return the age of the oldest delivery that was never processed yet, 0 if there is none.

    Mostly nothing waits; and of what waits outcomes are only looked for since the oldest of it.
    """
    found = await _oldest_waiting(access, is_new=False).rows(connection, {})
    if found:
        reach = in_reach_of(IdRange(found[0]["delivery_id"], ANY_ID.high))
        found = await _oldest_waiting(access, is_new=True).rows(connection, reach)
    return _age(found[0]["delivery_id"]) if found else 0.0


def _age(some_id: UUID) -> float:
    """Return how long ago, in seconds, what has an id was received."""
    return max(0.0, round((now() - time_of(some_id)).total_seconds(), 3))


@cache_of_walls
def _oldest_waiting(access: Access, *, is_new: bool) -> Prepared:
    """Return the statement of the oldest delivery that waits; where `is_new`, of those that have no outcome yet."""
    own = inbox.c
    statement: Statement = select(own.delivery_id)
    if is_new:
        outcome = and_(outcomes.c.delivery_id == own.delivery_id, outcomes.c.source_id == own.source_id)
        done = exists(select(literal(1)).where(outcome, in_reach(outcomes.c.delivery_id)))
        statement = statement.where(~done, in_reach(own.delivery_id))
    return Prepared.of(walled(statement.order_by(own.delivery_id).limit(1), inbox, access))
