"""Reads a page for keys with a wall by broker where an index tells its ids: these first, and then only their rows.

Such a key sees one row in many, and to look at the wall in the rows themselves would read those of all brokers.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Column, Text, Uuid, any_, cast
from sqlalchemy.sql.visitors import iterate

from app.accounts.model import Access
from app.query.fields import IdRange
from app.query.filters import Question
from app.query.months import in_reach_of
from app.query.prepared import Prepared, asked
from app.query.reading import Reading
from app.query.resource import Resource, Row
from app.query.shapes import in_braces
from app.query.walls import cache_of_walls, in_reach, walled


def is_told_by_index(resource: Resource, question: Question, access: Access) -> bool:
    """Tell whether all that decides on a page stands in an index, in the order of ids."""
    if access.brokers is None or question.sort is not None or question.finds_few:
        return False
    if question.order == "asc" and resource.seq is not None:
        return False
    parts = (part for condition in question.conditions for part in iterate(condition))
    columns = [part for part in parts if isinstance(part, Column)]
    return bool(columns) and all(one.table is resource.table and one.name in resource.told for one in columns)


async def rows_by_id(reading: Reading, resource: Resource, ids: Sequence[UUID], access: Access) -> Sequence[Row]:
    """Return the rows of a page, in the order of its ids; those that are gone since are left out.

    Raises:
        TooSlow: the statement was cut off.
        DatabaseAway: the database is not there.
    """
    if not ids:
        return []
    values = {"ids": in_braces(ids), **in_reach_of(IdRange(min(ids), max(ids)))}
    async with reading.asking(once=resource.once) as connection:
        found = {row["id"]: row for row in await _by_ids(resource, access).rows(connection, values)}
    return [found[one] for one in map(str, ids) if one in found]


@cache_of_walls
def _by_ids(resource: Resource, access: Access) -> Prepared:
    own_id = resource.table.c.id
    statement = resource.in_list(access).where(
        own_id == any_(cast(asked("ids", Text()), ARRAY(Uuid()))), in_reach(own_id)
    )
    return Prepared.of(walled(statement, resource.table, access))
