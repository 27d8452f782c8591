"""Keeps the value by which running processes see that sources, tokens or keys have changed.

Who changes them is `store`, `keys` and the processor (a recipe proven); who looks at it is `snapshot`.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

if TYPE_CHECKING:  # the command line starts without SQLAlchemy
    from sqlalchemy.ext.asyncio import AsyncConnection

ACCOUNTS_VERSION = "accounts-version"
"""The row of table `installation` that holds it; the value means nothing but sameness."""

VERSION_QUESTION = "SELECT value FROM installation WHERE key = 'accounts-version'"

_BUMP = """
INSERT INTO installation (key, value) VALUES (%s, %s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""


def bump_version(connection: psycopg.Connection[Any]) -> None:
    """Tell all running processes to read sources and keys again; part of the transaction that changed them."""
    connection.execute(_BUMP, (ACCOUNTS_VERSION, os.urandom(16)))


async def bump_version_async(connection: "AsyncConnection") -> None:
    """Do the same in a transaction of SQLAlchemy's."""
    from sqlalchemy import text  # noqa: PLC0415 - see above

    question = _BUMP.replace("%s, %s", ":key, :value")
    await connection.execute(text(question), {"key": ACCOUNTS_VERSION, "value": os.urandom(16)})


def mark_recipe_proven(
    connection: psycopg.Connection[Any], source_id: UUID, recipe: Mapping[str, Any] | None = None
) -> bool:
    """Note that an item has matched the recipe of a source, in the caller's transaction; tells whether that is new.

    With `recipe`, the one that was matched, nothing is noted where the source has another by now. From then on a wrong
    signature is refused with 401 instead of being kept with 202.
    """
    marked = connection.execute(
        "UPDATE sources SET recipe_proven_at = clock_timestamp()"
        " WHERE id = %s AND recipe = coalesce(%s, recipe) AND recipe_proven_at IS NULL",
        (source_id, None if recipe is None else Jsonb(dict(recipe))),
    )
    if marked.rowcount:
        bump_version(connection)
    return bool(marked.rowcount)
