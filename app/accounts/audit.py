"""Writes the audit log: who changed keys and sources, and who read what is personal.

What is worth an entry is decided by the rooms that do it; the log is served by the query room.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.types.json import Jsonb

if TYPE_CHECKING:  # the command line starts without SQLAlchemy
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

CLI: Final = "cli"
"""The actor of what is done on the command line; a caller over HTTP is `key:<id>`."""


def record(connection: psycopg.Connection[Any], actor: str, action: str, detail: Mapping[str, Any]) -> None:
    """Add an entry in the caller's transaction, so that it stands there exactly if the deed does.

    `action` is a noun and a verb (`source.add`); `detail` holds names and ids, never secrets or personal data.
    """
    connection.execute(
        "INSERT INTO audit (actor, action, detail) VALUES (%s, %s, %s)", (actor, action, Jsonb(dict(detail)))
    )


async def record_async(connection: "AsyncConnection", actor: str, action: str, detail: Mapping[str, Any]) -> None:
    """Add an entry in the caller's open transaction, to be committed before the answer leaves."""
    from sqlalchemy import insert  # noqa: PLC0415 - see above

    from app.storage.models import audit  # noqa: PLC0415 - see above

    await connection.execute(insert(audit).values(actor=actor, action=action, detail=dict(detail)))


async def record_committed(engine: "AsyncEngine", actor: str, action: str, detail: Mapping[str, Any]) -> None:
    """Add an entry and commit it; `engine` is the primary's, for a replica takes no writes."""
    async with engine.begin() as connection:
        await record_async(connection, actor, action, detail)
