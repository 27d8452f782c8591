"""Writes the audit log: who changed keys and sources, and who read what is personal.

What is worth an entry is decided by the rooms that do it; the log is sealed in `sealing` and answered by the room
`administration`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
import psycopg

from app.ids import IdSource

if TYPE_CHECKING:  # the command line starts without SQLAlchemy
    from sqlalchemy.ext.asyncio import AsyncConnection

CLI: Final = "cli"
"""The actor of what is done on the command line; a caller over HTTP is `key:<id>`."""

# What is to be sealed stands in a table of its own: however late a transaction commits, its entries are found there.
_ADD: Final = """
WITH added AS (INSERT INTO audit (id, actor, action, detail) VALUES (%s, %s, %s, %s::jsonb) RETURNING id)
INSERT INTO audit_unsealed (audit_id) SELECT id FROM added
"""

_ids = IdSource()


def record(connection: psycopg.Connection[Any], actor: str, action: str, detail: Mapping[str, Any]) -> None:
    """Add an entry in the caller's transaction, so that it stands there exactly if the deed does.

    `action` is a noun and a verb (`source.add`); `detail` holds names and ids, never secrets or personal data.
    """
    connection.execute(_ADD, _values(actor, action, detail))


async def record_async(connection: "AsyncConnection", actor: str, action: str, detail: Mapping[str, Any]) -> None:
    """Add an entry in the caller's open transaction, to be committed before the answer leaves."""
    await connection.exec_driver_sql(_ADD, _values(actor, action, detail))


async def record_reading(
    connection: psycopg.AsyncConnection[Any], actor: str, action: str, detail: Mapping[str, Any]
) -> None:
    """Add an entry on a connection that commits each statement by itself: it is durable on return."""
    await connection.execute(_ADD, _values(actor, action, detail))


def _values(actor: str, action: str, detail: Mapping[str, Any]) -> tuple[Any, ...]:
    return _ids.next(), actor, action, orjson.dumps(dict(detail), default=list).decode()
