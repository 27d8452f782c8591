"""Reads the newest rows of tables that have a partition for each month, without asking each month.

A database plans a question for every partition that may hold an answer, which takes longer than answering it. So the
last weeks are asked first, and only if they do not fill the page, what was before; the answer is the same.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.ids import first_id_at, time_of
from app.query.fields import ANY_ID, IdRange
from app.query.prepared import rows_of_shape
from app.query.resource import Resource, Row
from app.query.walls import HIGHEST, LOWEST, Statement
from app.times import now

Look = Callable[[IdRange, int], Awaitable[Sequence[Row]]]

FIRST_LOOK: Final = timedelta(days=28)


def in_reach_of(ids: IdRange) -> Mapping[str, UUID]:
    """Return the parameters of a statement for the ids of deliveries that it can lead to."""
    return {LOWEST: ids.low, HIGHEST: ids.high}


def looking(connection: AsyncConnection, resource: Resource, ordered: Statement) -> Look:
    """Return how the first rows of a statement with ids in a range are had."""
    own_id = resource.table.c.id

    async def look(ids: IdRange, wanted: int) -> Sequence[Row]:
        within = [own_id >= ids.low] if ids.low != ANY_ID.low else []
        within += [own_id <= ids.high] if ids.high != ANY_ID.high else []
        return await rows_of_shape(connection, ordered.where(*within).limit(wanted), in_reach_of(ids))

    return look


async def newest_rows(look: Look, ids: IdRange, wanted: int) -> Sequence[Row]:
    """Return the first `wanted` rows with ids in a range, by falling ids; `look` gives those of a narrower one."""
    newest = now() if ids.high == ANY_ID.high else time_of(ids.high)
    border = first_id_at(newest - FIRST_LOOK)
    if border <= ids.low:
        return await look(ids, wanted)
    rows = await look(ids.within(IdRange(border, ANY_ID.high)), wanted)
    if len(rows) == wanted:
        return rows
    return [*rows, *await look(ids.within(IdRange(ANY_ID.low, UUID(int=border.int - 1))), wanted - len(rows))]
