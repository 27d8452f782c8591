"""Puts the rows of a list into the order of one of their fields, page by page; what is not known comes last either way.

Which fields these are is told beside each list, those with an index only; without `sort` a list is in the order of ids.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, cast, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.query.cursor import Position
from app.query.filters import Question
from app.query.prepared import rows_of_shape
from app.query.resource import Resource, Row
from app.query.walls import Statement


def place_of(row: Row, sort: str) -> tuple[str | int | None, str]:
    """Return where a row stands: its value, and its id, which parts those of the same value."""
    value = row[sort]
    return (value.isoformat() if isinstance(value, date) else value), str(row["id"])


async def sorted_rows(
    connection: AsyncConnection, resource: Resource, statement: Statement, question: Question
) -> Sequence[Row]:
    """Return one row more than the page holds, if there are as many."""
    by, wanted = resource.table.c[str(question.sort)], question.limit + 1
    position = question.position
    rows: list[Row] = []
    if position is None or position.after[0] is not None:
        known = _known(statement.where(by.is_not(None)), by, resource.table.c.id, question)
        rows += await rows_of_shape(connection, known.limit(wanted), {})
        position = None
    if len(rows) < wanted and by.nullable:
        unknown = _unknown(statement.where(by.is_(None)), resource.table.c.id, question, position)
        rows += await rows_of_shape(connection, unknown.limit(wanted - len(rows)), {})
    return rows


def _known(statement: Statement, by: ColumnElement[Any], own_id: ColumnElement[UUID], question: Question) -> Statement:
    ascending = question.order == "asc"
    if question.position is not None:
        value, last = question.position.after
        place, after = tuple_(by, own_id), tuple_(cast(literal(str(value)), by.type), literal(UUID(str(last))))
        statement = statement.where(place > after if ascending else place < after)
    return statement.order_by(*((by.asc(), own_id.asc()) if ascending else (by.desc(), own_id.desc())))


def _unknown(
    statement: Statement, own_id: ColumnElement[UUID], question: Question, position: Position | None
) -> Statement:
    ascending = question.order == "asc"
    if position is not None:
        last = UUID(str(position.after[1]))
        statement = statement.where(own_id > last if ascending else own_id < last)
    return statement.order_by(own_id.asc() if ascending else own_id.desc())
