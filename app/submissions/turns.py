"""Has the calls about one thing made one after another, whichever process makes them.

Without it a try that is made again would undo what a newer call has said. What a call is about is told by its kind.
"""

import asyncio
import struct
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, LiteralString, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy.ext.asyncio import AsyncEngine

from app.crypto import sha256
from app.query.reading import translated_errors
from app.storage.database import CONNECT_TIMEOUT_S
from app.submissions.problems import CallUnderWay

WAIT_S = 30.0
_LOOK_S = 0.1
_RETRY_AFTER = {"Retry-After": "10"}

# Locks of two numbers are none of those that have one, which the other rooms take.
_TAKE = "SELECT pg_try_advisory_lock(%s, %s)"
_GIVE = "SELECT pg_advisory_unlock(%s, %s)"
_OPTIONS = (
    "-c statement_timeout=5s -c idle_session_timeout=0"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=2"
)
"""So that the server lets go of the locks of a machine that is gone without a word soon, and of no others."""

_Lock: TypeAlias = tuple[int, int]
_Connection: TypeAlias = psycopg.AsyncConnection[tuple[bool]]


class Turns:
    """The turns of one process, held by locks of PostgreSQL, which end with it.

    All are on one connection, which is open while any is wanted and none of the pool's: however many calls wait, they
    take nothing from questions. A turn is lost with that connection; then two calls may be made at once.
    """

    def __init__(self, primary: AsyncEngine) -> None:
        """Take an engine of the primary for its address."""
        url, query = primary.url, dict[str, Any](primary.url.query)  # as `engine_url` made it
        self._conninfo = make_conninfo(user=url.username, password=url.password, dbname=url.database, **query)
        self._here: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._asking = asyncio.Lock()
        self._connection: _Connection | None = None
        self._users = 0

    @asynccontextmanager
    async def taken(self, source_id: UUID, about: str) -> AsyncGenerator[None]:
        """Wait for the turn of a call of a source about something, and hold it.

        Raises:
            CallUnderWay: it did not come within half a minute.
            DatabaseAway, TooSlow: the database cannot be asked.
        """
        latest = time.monotonic() + WAIT_S
        name = f"{source_id}/{about}"
        here = self._here.setdefault(name, asyncio.Lock())
        had_to_wait = here.locked()
        try:
            async with asyncio.timeout(WAIT_S):
                await here.acquire()
        except TimeoutError:
            raise CallUnderWay(headers=_RETRY_AFTER) from None
        try:
            if had_to_wait:  # whoever waits in another process has waited longer, perhaps
                await asyncio.sleep(2 * _LOOK_S)
            async with self._taken_everywhere(struct.unpack(">ii", sha256(name)[:8]), latest):
                yield
        finally:
            here.release()

    @asynccontextmanager
    async def _taken_everywhere(self, lock: _Lock, latest: float) -> AsyncGenerator[None]:
        """Hold the turn against other processes, of which each asks for one but once at a time."""
        self._users += 1
        is_ours = False
        try:
            while not (is_ours := await self._take(lock)):
                if time.monotonic() > latest:
                    raise CallUnderWay(headers=_RETRY_AFTER)
                await asyncio.sleep(_LOOK_S)
            yield
        finally:
            self._users -= 1
            await asyncio.shield(self._give(lock if is_ours else None))

    async def _take(self, lock: _Lock) -> bool:
        with translated_errors():
            async with self._asking:
                if self._connection is None:
                    self._connection = await psycopg.AsyncConnection.connect(
                        self._conninfo, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, options=_OPTIONS
                    )
                return await self._ask(self._connection, _TAKE, lock)

    async def _give(self, lock: _Lock | None) -> None:
        async with self._asking:
            if self._connection is None:
                return
            if not self._users:
                await self._close(self._connection)
            elif lock is not None:
                with suppress(psycopg.Error):
                    await self._ask(self._connection, _GIVE, lock)

    async def _ask(self, connection: _Connection, question: LiteralString, lock: _Lock) -> bool:
        """Ask the server; where that is cut off nobody knows what it did, and it shall forget all."""
        try:
            return await (await connection.execute(question, lock)).fetchone() == (True,)
        except BaseException:
            await self._close(connection)
            raise

    async def _close(self, connection: _Connection) -> None:
        self._connection = None
        await connection.close()
