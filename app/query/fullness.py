"""Bounds what a page holds in bytes: what is large of a row is left out at first, and read while there is room.

Which columns may be large is told beside each list.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from sqlalchemy import Uuid
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.query.prepared import Prepared, asked
from app.query.resource import Resource, Row
from app.query.shapes import LEFT_OUT, written_whole
from app.query.walls import cache_of_walls, walled

MOST_BYTES: Final = 8 << 20
"""A page ends with the row by which it holds so much of what may be large."""

Asking = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
Read = Callable[[Row], Awaitable[Row | None]]


async def held_rows(
    asking: Asking, resource: Resource, found: Sequence[Row], access: Access
) -> tuple[Sequence[Row], Row | None]:
    """Return the first rows of a list that a page holds, see `held`; `asking` gives a connection where one is needed.

    Raises:
        TooSlow: a statement was cut off.
        DatabaseAway: the database is not there.
    """

    async def read(row: Row) -> Row | None:
        async with asking() as connection:
            rows = await _large_of_one(resource, access).rows(connection, {"wanted": row["id"]})
        return {**row, **rows[0]} if rows else None

    return await held(found, [*(one.name for one in resource.large_for(access)), *resource.long], read)


async def held(found: Sequence[Row], names: Sequence[str], read: Read) -> tuple[Sequence[Row], Row | None]:
    """Return the first rows that a page holds, and the last of them where it is full before all are in.

    `names` are the columns that may be large. What was left out of a row is had by `read`; None: it is gone since.
    """
    if not names:
        return found, None
    rows: list[Row] = []
    size = 0
    for number, row in enumerate(found, 1):
        told, whole = [row[name] for name in names], row
        if LEFT_OUT in told:
            found_whole = await read(row)
            if found_whole is None:
                continue
            whole, told = found_whole, [found_whole[name] for name in names]
        rows.append(whole)
        size += sum(map(len, filter(None, told)))
        if size >= MOST_BYTES and number < len(found):
            return rows, row
    return rows, None


@cache_of_walls
def _large_of_one(resource: Resource, access: Access) -> Prepared:
    """Return the statement of what is large in one row."""
    columns = resource.columns(access)
    large = [written_whole(one) for one in resource.large_for(access)]
    long = [columns.selected_columns[name] for name in resource.long]
    statement = columns.with_only_columns(*large, *long, maintain_column_froms=True)
    return Prepared.of(walled(statement.where(resource.table.c.id == asked("wanted", Uuid())), resource.table, access))
