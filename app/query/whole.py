"""Reads a page of a whole list, no filter, in the order of ids or of `seq`: the statements are the same each time.

What filters make of a list, and other orders, are the business of `lists`.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.query.fields import ANY_ID, IdRange
from app.query.filters import Question
from app.query.months import in_reach_of, newest_rows
from app.query.prepared import Prepared, asked
from app.query.resource import Resource, Row
from app.query.walls import cache_of_walls, in_reach, walled


async def whole_rows(
    connection: AsyncConnection, resource: Resource, question: Question, access: Access
) -> Sequence[Row]:
    """Return one row more than the page holds, if there are as many; the question has no filter and no `sort`."""
    wanted, after = question.limit + 1, None if question.position is None else question.position.after[0]
    if question.order == "asc" and resource.seq is not None:
        values = {"seq": -1 if after is None else after, "wanted": wanted}
        return await _by_seq(resource, access).rows(connection, {**in_reach_of(ANY_ID), **values})
    statement = _by_id(resource, access, question.order)

    async def look(ids: IdRange, number: int) -> Sequence[Row]:
        return await statement.rows(connection, {**in_reach_of(ids), "wanted": number})

    ids = ANY_ID if after is None else _beyond(UUID(str(after)), question.order)
    if question.order == "asc" or resource.seq is None:
        return await look(ids, wanted)
    return await newest_rows(look, ids, wanted)


def _beyond(last: UUID, order: str) -> IdRange:
    """Return the ids that come after the last one shown."""
    if order == "asc":
        return IdRange(UUID(int=min(last.int + 1, ANY_ID.high.int)), ANY_ID.high)
    return IdRange(ANY_ID.low, UUID(int=max(last.int - 1, ANY_ID.low.int)))


@cache_of_walls
def _by_id(resource: Resource, access: Access, order: str) -> Prepared:
    own_id = resource.table.c.id
    statement = walled(resource.in_list(access), resource.table, access)
    statement = statement.where(*resource.in_lists, in_reach(own_id))
    statement = statement.order_by(own_id.asc() if order == "asc" else own_id.desc())
    return Prepared.of(statement.limit(asked("wanted", BigInteger())))


@cache_of_walls
def _by_seq(resource: Resource, access: Access) -> Prepared:
    seq = resource.seq
    if seq is None:
        raise LookupError(f"{resource.name} is no feed")
    statement = walled(resource.in_list(access), resource.table, access)
    statement = statement.where(*resource.in_lists, seq > asked("seq", BigInteger()))
    return Prepared.of(statement.order_by(seq.asc()).limit(asked("wanted", BigInteger())))
