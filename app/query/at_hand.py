"""Keeps open connections at hand: to have one of SQLAlchemy's pool takes as long as to ask a question by the driver.

What is asked, and what its troubles are told as, is the business of `reading`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.storage.engine import check_is_open


class AtHand:
    """Connections of an engine, of which `most` are kept between questions; those that trouble came of are not.

    They count as handed out: whoever asks the engine itself has what they leave of its bound.
    """

    def __init__(self, engine: AsyncEngine, most: int) -> None:
        self._engine = engine
        self._most = most
        self._free: list[AsyncConnection] = []
        self._waiting = 0

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[AsyncConnection]:
        """Give a connection."""
        free, connection = self._free, await self._take()
        try:
            yield connection
            if connection.in_transaction():  # SQLAlchemy believes so; each statement commits by itself
                await connection.rollback()
        except BaseException:
            await asyncio.shield(connection.close())
            raise
        if free is self._free and len(free) < self._most and not self._waiting:
            free.append(connection)
        else:
            await asyncio.shield(connection.close())

    async def close(self) -> None:
        """Close all connections; those in use once they are not."""
        free, self._free = self._free, []
        for connection in free:
            await connection.close()
        await self._engine.dispose()

    async def _take(self) -> AsyncConnection:
        while self._free:
            connection = self._free.pop()
            if _is_open(connection):
                return connection
            await connection.invalidate()
            await connection.close()
        self._waiting += 1  # what comes back meanwhile goes to the engine, which has a queue of those that wait
        try:
            return await self._engine.connect()
        finally:
            self._waiting -= 1


def _is_open(connection: AsyncConnection) -> bool:
    """Tell whether the server has not ended a connection since it was used."""
    own = connection.sync_connection
    if own is None or own.invalidated:
        return False
    try:
        check_is_open(own.connection, None, None)
    except DisconnectionError:
        return False
    return True
