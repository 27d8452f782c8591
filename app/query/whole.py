"""Reads a page of a whole list, or of its rows with one value, in a usual order: the statements are the same each time.

What other filters make of a list, and other orders, are the business of `lists`.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, Integer
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.query.fields import ANY_ID, IdRange
from app.query.filters import LIMIT_DEFAULT, LIMIT_MOST, Question
from app.query.months import in_reach_of, newest_rows
from app.query.of_brokers import first_of_brokers
from app.query.prepared import Prepared, asked
from app.query.resource import Resource, Row
from app.query.walls import cache_of_walls, in_reach, walled

_SIZES: Final = (1, LIMIT_DEFAULT + 1, LIMIT_MOST + 1)
"""So many rows at most has a statement that is made for a number of them: one for each number would be planned anew."""

_MOST_LOOKED_UP: Final = 20_000
"""Where more rows of brokers than these were to be looked up for a page, the wall holds many of all rows."""


def is_whole(resource: Resource, question: Question, access: Access) -> bool:
    """Tell whether all rows are asked for in a usual order, or all with one value, which an index has in that order.

    Not the latter within walls: where they hold few rows, all that have the value would be gone through for them.
    """
    if question.sort is not None or not question.conditions:
        return question.sort is None
    if question.only is None or access.source_ids is not None or access.brokers is not None:
        return False
    return question.only[0] in resource.listed_by and (question.order == "desc" or resource.seq is None)


async def whole_rows(
    connection: AsyncConnection, resource: Resource, question: Question, access: Access
) -> Sequence[Row]:
    """Return one row more than the page holds, if there are as many, of a question that `is_whole`."""
    wanted, after = question.limit + 1, None if question.position is None else question.position.after[0]
    column, value = question.only or (None, None)
    statement = _listed(resource, access, question.order, wanted, column)
    given = {"value": value, "seq": -1 if after is None else after}

    async def look(ids: IdRange, number: int) -> Sequence[Row]:
        return await statement.rows(connection, {**given, **in_reach_of(ids), "wanted": number})

    if question.order == "asc" and resource.seq is not None:
        return await look(ANY_ID, wanted)
    ids = ANY_ID if after is None else _beyond(UUID(str(after)), question.order)
    if question.order == "asc" or resource.seq is None:
        return await look(ids, wanted)
    return await newest_rows(look, ids, wanted)


async def row_after(connection: AsyncConnection, resource: Resource, access: Access, seq: int) -> Row | None:
    """Return the next row of a feed after a place, None where there is none."""
    statement = _listed(resource, access, "asc", 1)
    found = await statement.rows(connection, {**in_reach_of(ANY_ID), "seq": seq, "wanted": 1})
    return found[0] if found else None


def _beyond(last: UUID, order: str) -> IdRange:
    """Return the ids that come after the last one shown."""
    if order == "asc":
        return IdRange(UUID(int=min(last.int + 1, ANY_ID.high.int)), ANY_ID.high)
    return IdRange(ANY_ID.low, UUID(int=max(last.int - 1, ANY_ID.low.int)))


def _listed(resource: Resource, access: Access, order: str, most: int, column: str | None = None) -> Prepared:
    """Return the statement of the first rows in an order, at most so many: by ids, or as a feed by `seq`."""
    if resource.of_broker is not None and access.brokers is not None:
        most = next(one for one in _SIZES if one >= most)
        if most * len(access.brokers) <= _MOST_LOOKED_UP:
            return first_of_brokers(resource, access, order, most)
    if order == "asc" and resource.seq is not None:
        return _by_seq(resource, access)
    return _by_id(resource, access, order, column)


@cache_of_walls
def _by_id(resource: Resource, access: Access, order: str, column: str | None) -> Prepared:
    own = resource.table.c
    statement = walled(resource.in_list(access), resource.table, access)
    statement = statement.where(*resource.in_lists, in_reach(own.id))
    if column is not None:
        kind = BigInteger() if isinstance(own[column].type, Integer) else own[column].type
        statement = statement.where(own[column] == asked("value", kind))
    statement = statement.order_by(own.id.asc() if order == "asc" else own.id.desc())
    return Prepared.of(statement.limit(asked("wanted", BigInteger())))


@cache_of_walls
def _by_seq(resource: Resource, access: Access) -> Prepared:
    seq = resource.seq
    if seq is None:
        raise LookupError(f"{resource.name} is no feed")
    statement = walled(resource.in_list(access), resource.table, access)
    statement = statement.where(*resource.in_lists, seq > asked("seq", BigInteger()))
    return Prepared.of(statement.order_by(seq.asc()).limit(asked("wanted", BigInteger())))
