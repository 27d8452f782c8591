"""Answers details: one row by Callbox's id, within the key's wall.

What it looks like is told by its resource.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.problems import NotFound
from app.query.answers import tagged_answer
from app.query.filters import Slips
from app.query.kept import dropped_month
from app.query.personal import PERSONAL
from app.query.prepared import Prepared, asked
from app.query.reading import reading_of
from app.query.resource import Resource, Row, neighbours_of
from app.query.trail import noting
from app.query.walls import cache_of_walls, walled

_LONGEST_CHAIN = 8


async def answer_detail(
    request: Request, resource: Resource, text: str, access: Access, known: Sequence[str] = ()
) -> Response:
    """Return one row; `known` are the parameters that there are besides.

    Raises:
        NotFound: there is none of this id that the key may see.
    """
    check_parameters(request, known)
    reading = reading_of(request)
    async with reading.asking(once=resource.once) as connection:
        row = await get_row(connection, resource, parse_id(resource, text), access)
    is_noted = resource.audited or PERSONAL[resource.kind]  # a list may leave out what the details show: headers
    async with noting(reading, access, resource.name, [row["id"]]) if is_noted else nullcontext():
        neighbours = await neighbours_of(reading, resource, [row], access)
        return tagged_answer(request, resource.shape(row, access, neighbours), access)


def check_parameters(request: Request, known: Sequence[str] = ()) -> None:
    """Raise Invalid where a query parameter is none of the `known`."""
    slips = Slips()
    for name in dict.fromkeys(name for name, _ in request.query_params.multi_items()):
        if name not in known:
            there_are = f"there are: {', '.join(known)}" if known else "there are none"
            slips.add(name.encode("utf-8", "replace").decode(), "unknown-parameter", f"is not known here; {there_are}")
    slips.check()


def no_such(resource: Resource) -> NotFound:
    """Return the problem that there is no such row, for this key at least."""
    return NotFound(f"There is no such {resource.kind}. Paths take Callbox's `id`. {resource.hint}".strip())


def parse_id(resource: Resource, text: str) -> UUID:
    """Return the id in a path; what is none cannot be there."""
    try:
        return UUID(text)
    except ValueError:
        raise no_such(resource) from None


async def get_row(connection: AsyncConnection, resource: Resource, row_id: UUID, access: Access) -> Row:
    """Return a row; a record that was merged is answered by the one it turned out to be.

    Raises:
        NotFound: there is none of this id that the key may see.
    """
    wanted: Any = row_id
    for _ in range(_LONGEST_CHAIN):
        row = next(iter(await _by_id(resource, access).rows(connection, {"wanted": wanted})), None)
        if row is None:
            break
        wanted = row["merged_into"] if resource.merged_into is not None else None
        if wanted is None:
            return row
    raise await absent(connection, resource, row_id)


@cache_of_walls
def _by_id(resource: Resource, access: Access) -> Prepared:
    own_id = resource.table.c.id
    statement = (resource.details or resource.columns)(access).where(own_id == asked("wanted", own_id.type))
    return Prepared.of(walled(statement, resource.table, access))


async def absent(connection: AsyncConnection, resource: Resource, row_id: UUID) -> NotFound:
    """Return the problem that there is no such row, or that there is none any more."""
    if resource.seq is not None and (month := await dropped_month(connection, row_id)) is not None:
        return NotFound(f"There is no such {resource.kind}: what was received in {month} is no longer kept.")
    return no_such(resource)
