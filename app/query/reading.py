"""Holds what this room needs from outside, and asks the database so that its troubles become problems.

Who opens and closes the engines is settled where the rooms meet, in `app.main`.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Protocol

import psycopg
from fastapi import Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.accounts.model import Accounts
from app.problems import Problem
from app.query.at_hand import AtHand
from app.query.common_words import CommonWords
from app.query.rate import Limiter
from app.storage.database import is_outdated
from app.storage.engine import in_transactions

_RETRY_AFTER = {"Retry-After": "2"}


class TooSlow(Problem):
    """The question took longer than 5 seconds. Narrow it down: fewer days, one source, a field with an index."""

    status = 503
    code = "too-slow"
    title = "Too slow"


class DatabaseAway(Problem):
    """The database cannot be asked at the moment. Callbacks are received all the same; ask again soon."""

    status = 503
    code = "database-away"
    title = "Database away"


class Book(Protocol):
    """What this room needs of the accounts: a snapshot, and one shared re-read."""

    @property
    def present(self) -> Accounts:
        """Return sources, tokens and keys as last read."""

    async def refresh(self) -> None:
        """Read them again now; raises AccountsUnavailableError if the database cannot be asked."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the endpoints stand on: set as `app.state.reading` while the application runs.

    `engine` may lead to a replica, and so may `planned`, whose connections plan a statement once for all values (None:
    `engine` serves); `primary` takes the audit's entries and replays. `cursor_key` makes the cursors, `zone` is where a
    date begins at midnight, `public_url` what links begin with (None: they begin with the path), `spooled` tells how
    many callbacks wait in the spool of this process. So many connections of each engine as `kept` says stay at hand
    between questions; where there are any, `close` must be called.
    """

    engine: AsyncEngine
    primary: AsyncEngine
    book: Book
    cursor_key: bytes
    zone: tzinfo = UTC
    public_url: str | None = None
    limiter: Limiter = field(default_factory=Limiter)
    common_words: CommonWords = field(default_factory=CommonWords)
    spooled: Callable[[], int] = field(default=lambda: 0)
    planned: AsyncEngine | None = None
    kept: int = 0
    _at_hand: dict[AsyncEngine, AtHand] = field(default_factory=dict)

    def asking(self, *, once: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection for questions; with `once` for such whose best plan is the same whatever their values.

        Raises:
            TooSlow: a statement was cut off.
            DatabaseAway: the database is not there.
        """
        return _connected(self._of(self.planned if once and self.planned else self.engine))

    def adding(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection to the primary on which each statement is committed by itself; raises as `asking` does."""
        return _connected(self._of(self.primary))

    def _of(self, engine: AsyncEngine) -> AtHand:
        found = self._at_hand.get(engine)
        if found is None:
            found = self._at_hand[engine] = AtHand(engine, self.kept)
        return found

    async def close(self) -> None:
        """Close the connections."""
        for engine in {self.engine, self.primary, self.planned or self.engine}:
            await self._of(engine).close()

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """Give a transaction on the primary that is committed at the end; raises as `asking` does."""
        with translated_errors():
            async with in_transactions(self.primary).begin() as connection:
                yield connection


@asynccontextmanager
async def _connected(at_hand: AtHand) -> AsyncGenerator[AsyncConnection]:
    """Give a connection; after a migration all are made anew, once the first statement is found to be outdated."""
    with translated_errors():
        try:
            async with at_hand.connected() as connection:
                yield connection
        except (psycopg.Error, DBAPIError) as error:
            if not is_outdated(_original(error)):
                raise
            await at_hand.close()
            raise DatabaseAway(headers=_RETRY_AFTER) from None


def _original(error: BaseException | None) -> BaseException | None:
    """Return the driver's error."""
    return error.orig if isinstance(error, DBAPIError) else error


class translated_errors:  # noqa: N801 - used as a context manager, which reads as a verb
    """Turn the driver's errors about time and reachability into problems; others pass."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """Translate what was raised inside."""
        if isinstance(error, PoolTimeoutError):
            raise DatabaseAway(headers=_RETRY_AFTER) from None
        original = _original(error)
        if isinstance(original, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
            raise TooSlow(headers=_RETRY_AFTER) from None
        if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError):
            raise DatabaseAway(headers=_RETRY_AFTER) from None


def reading_of(request: Request) -> Reading:
    """Return what the application was started with."""
    found = request.app.state.reading
    if not isinstance(found, Reading):
        raise TypeError("app.state.reading is not set")
    return found


def moment_of(request: Request) -> datetime:
    """Return the moment of the question, the same for all its parts."""
    moment = getattr(request.state, "asked_at", None)
    if not isinstance(moment, datetime):
        moment = request.state.asked_at = datetime.now(UTC)
    return moment
