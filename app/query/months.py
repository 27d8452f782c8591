"""Reads the newest rows of tables that have a partition for each month, without asking each month.

A database plans a question for every partition that may hold an answer, which takes longer than answering it. So the
last weeks are asked first, and only if they do not fill the page, what was before; the answer is the same.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.ids import first_id_at, time_of
from app.query.fields import ANY_ID, IdRange
from app.query.resource import Resource, Row, rows_of
from app.query.walls import HIGHEST, LOWEST, Statement
from app.times import now

FIRST_LOOK: Final = timedelta(days=28)


def in_reach_of(ids: IdRange) -> Mapping[str, UUID]:
    """Return the parameters of a statement for the ids of deliveries that it can lead to."""
    return {LOWEST: ids.low, HIGHEST: ids.high}


async def newest_rows(
    connection: AsyncConnection, resource: Resource, ordered: Statement, ids: IdRange, wanted: int
) -> Sequence[Row]:
    """Return the first rows of a statement that is ordered by falling ids and limited to `wanted`."""
    own_id = resource.table.c.id
    newest = now() if ids.high == ANY_ID.high else time_of(ids.high)
    border = first_id_at(newest - FIRST_LOOK)
    if border <= ids.low:
        return rows_of(await connection.execute(ordered.where(own_id >= ids.low), in_reach_of(ids)))
    late = ids.within(IdRange(border, ANY_ID.high))
    rows = rows_of(await connection.execute(ordered.where(own_id >= border), in_reach_of(late)))
    if len(rows) == wanted:
        return rows
    early = ids.within(IdRange(ANY_ID.low, border))
    before = ordered.where(own_id < border).limit(wanted - len(rows))
    return [*rows, *rows_of(await connection.execute(before, in_reach_of(early)))]
