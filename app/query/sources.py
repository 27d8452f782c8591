"""Shows sources: which accounts at the providers there are, and how they fare. Their secrets are never asked for."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access, Mode
from app.accounts.writing import NAME
from app.problems import NotFound
from app.query.answers import tagged_answer
from app.query.details import check_parameters
from app.query.fields import Field, Kind, of_column
from app.query.personal import hide
from app.query.reading import reading_of
from app.query.resource import Resource, Row, find_row_of
from app.query.schemas.receipts import Source, SourcePage
from app.query.shapes import in_order, path
from app.query.source_health import Health, health_of
from app.query.walls import Statement, walled
from app.storage.models import sources


def _columns(_: Access) -> Statement:
    own = sources.c
    return select(own.id, own.name, own.provider, own.mode, own.disabled_at, own.recipe_proven_at, own.created_at)


async def _neighbours(connection: AsyncConnection, rows: Sequence[Row], access: Access) -> Mapping[UUID, Health]:
    return await health_of(connection, (row["id"] for row in rows), access)


def _shape(row: Row, access: Access, neighbours: Mapping[UUID, Health]) -> dict[str, Any]:
    health = neighbours[row["id"]]
    shown = {
        "id": row["id"],
        "name": row["name"],
        "provider": row["provider"],
        "mode": row["mode"],
        "enabled": row["disabled_at"] is None,
        "recipe_proven": row["recipe_proven_at"] is not None,
        "created_at": row["created_at"],
        "last_received_at": health.last_received_at,
        "received_24h": health.received,
        "quarantined_24h": health.quarantined,
        "verified_share_24h": health.verified_share,
        "quiet_since": health.quiet_since,
        "tokens": list(health.tokens),
        "links": {
            "self": f"/v1/sources/{row['name']}",
            "deliveries": path("/v1/deliveries", [("source", row["name"])]),
            "events": path("/v1/events", [("source", row["name"])]),
        },
    }
    return in_order(Source, hide("source", shown, access))


FIELDS: Mapping[str, Field] = {
    "id": of_column(sources, "id", Kind.ID),
    "name": of_column(sources, "name", Kind.WORD, plain_prefix=True),
    "provider": of_column(sources, "provider", Kind.WORD),
    "mode": of_column(sources, "mode", Kind.WORD, words={mode.value: mode.value for mode in Mode}),
    "enabled": Field(column=sources.c.disabled_at.is_(None), kind=Kind.BOOLEAN, nullable=False),
    "recipe_proven": Field(column=sources.c.recipe_proven_at.is_not(None), kind=Kind.BOOLEAN, nullable=False),
    "created_at": of_column(sources, "created_at", Kind.INSTANT),
}

SOURCES = Resource(
    name="sources",
    kind="source",
    table=sources,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    schema=Source,
    page=SourcePage,
    neighbours=_neighbours,
    audited=False,
)


async def answer_source(request: Request, name: str, access: Access) -> Response:
    """Return one source by its name.

    Raises:
        NotFound: there is none of this name that the key may see.
    """
    check_parameters(request)
    if not NAME.fullmatch(name):  # no text that the database would refuse either
        raise NotFound("There is no such source.")
    statement = walled(_columns(access).where(sources.c.name == name), sources, access)
    async with reading_of(request).asking() as connection:
        row = find_row_of(await connection.execute(statement))
        if row is None:
            raise NotFound("There is no such source.")
        neighbours = await _neighbours(connection, [row], access)
    return tagged_answer(request, _shape(row, access, neighbours), access)
