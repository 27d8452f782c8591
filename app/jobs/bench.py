"""Is what every job is given: the database, the sources, the clients of the platforms, the clock.

What is done with it is the jobs'.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg_pool import ConnectionPool

from app.accounts.model import Source
from app.accounts.snapshot import read_accounts
from app.config import Settings
from app.crypto import Vault
from app.submissions.clients import Clients
from app.times import now

Database: TypeAlias = Connection[tuple[Any, ...]]

Given = ParamSpec("Given")
Found = TypeVar("Found")


class Turns:
    """Lets one pull at a time go to a source, and the next not before a pause."""

    def __init__(self, pause_seconds: float = 0.5) -> None:
        self._pause = pause_seconds
        self._locks: dict[UUID, asyncio.Lock] = {}

    @asynccontextmanager
    async def take(self, source_id: UUID) -> AsyncGenerator[None]:
        """Wait for the turn of a source and hold it."""
        async with self._locks.setdefault(source_id, asyncio.Lock()):
            try:
                yield
            finally:
                await asyncio.sleep(self._pause)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a job is done. One event loop; the database is asked in threads, over a few connections.

    `clients` make calls, `followers` follow the links of notifications. `turns` keeps a platform from being asked too
    much at once. `clock` is a seam for tests.
    """

    pool: ConnectionPool[Database]
    vault: Vault
    settings: Settings
    clients: Clients = field(default_factory=Clients)
    clock: Callable[[], datetime] = now
    turns: Turns = field(default_factory=Turns)

    followers: Clients = field(default_factory=Clients)

    async def aclose(self) -> None:
        """Close the connections to the platforms."""
        await self.clients.aclose()
        await self.followers.aclose()

    @property
    def zone(self) -> tzinfo:
        """Return the zone of platform times without one."""
        return self.settings.zone

    async def ask(
        self, question: Callable[Concatenate[Database, Given], Found], *args: Given.args, **more: Given.kwargs
    ) -> Found:
        """Return what a function that is given a connection finds; it runs in a thread and commits by itself."""

        def asked() -> Found:
            with self.pool.connection() as connection:
                return question(connection, *args, **more)

        return await asyncio.to_thread(asked)

    async def sources(self) -> dict[UUID, Source]:
        """Return the sources that are not disabled, as they are now."""
        return await self.ask(self._read_sources)

    def _read_sources(self, database: Database) -> dict[UUID, Source]:
        enabled = {row[0] for row in database.execute("SELECT id FROM sources WHERE disabled_at IS NULL")}
        known = read_accounts(database, self.vault).sources
        return {source_id: source for source_id, source in known.items() if source_id in enabled}
