"""Writes the rows of all waiting requests in one statement that is its own commit.

What a row says is the receiver's business; what becomes of it the processor's.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, NamedTuple

import psycopg
import structlog

from app.ingest.committer import PREPARE, Committer
from app.ingest.rows import NotKeptError, Packed, Row, packed
from app.ingest.tally import Committed, Tally, tell_committed

CONNECT_TIMEOUT_S = 2
MOST_ROWS = 512
MOST_BYTES = 8 << 20
PATIENCE = timedelta(seconds=1)
APART_S = 0.0015
"""How far apart two commits begin while more rows may come: for one of a few rows most of the work is the commit."""

ENOUGH_ROWS = 16
"""So many are worth a commit at any time."""

_EXPIRY_S = 0.1
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
_CANCEL_S = 0.2
# A time-out that the server or the role has as its default would end the wait for a standby, and call that a success.
_OPTIONS = "-c timezone=UTC -c statement_timeout=0"
_CONNECT_WITHIN_S = 10.0  # a URL may name several servers, which are tried one after the other

_log = structlog.get_logger(__name__)


class DatabaseAwayError(NotKeptError):
    """The row could not be committed in time. It may yet have been: the same request again does no harm."""


class _Waiting(NamedTuple):
    """A row, its columns in binary form, and who waits for its commit until when."""

    columns: Packed
    size: int
    done: asyncio.Future[None]
    until: float


class Writer:
    """The group commit of one process: one connection, one statement at a time, for all rows that wait meanwhile.

    `patience` bounds how long a row waits in all, with whatever connections are lost and made anew. `may_more_come`
    tells whether somebody could send another row while those that are here wait: else they wait for nothing.
    """

    def __init__(
        self, url: str, *, patience: timedelta = PATIENCE, may_more_come: Callable[[], bool] = lambda: False
    ) -> None:
        self._url = url
        self._patience = patience.total_seconds()
        self._may_more_come = may_more_come
        self._queue: deque[_Waiting] = deque()
        self._under_way: list[_Waiting] = []
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._next_at = 0.0
        self._committer: Committer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._tally = Tally(tell_committed)
        self._closing = False
        self.is_away = False
        """Whether the last attempt to commit or connect failed."""

    def start(self) -> None:
        """Begin to write; the connection is made in the background."""
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._expire())]

    async def close(self) -> None:
        """Write what waits, within the patience of each row, then close the connection."""
        self._closing = True
        self._some.set()
        if self._tasks:
            run, expire = self._tasks
            await asyncio.wait({run}, timeout=self._patience + CONNECT_TIMEOUT_S)
            run.cancel()  # it connects, and nobody waits for that any more
            await asyncio.wait({run})
            expire.cancel()
        self._tally.tell()
        await self._disconnect()

    async def write(self, row: Row) -> None:
        """Return once the row is committed.

        Raises:
            DatabaseAwayError: it was not, or it is not known whether it was, within the patience.
        """
        if self._closing:
            raise DatabaseAwayError
        columns = packed(row)
        done = asyncio.get_running_loop().create_future()
        size = len(row.body) + len(row.headers)
        self._queue.append(_Waiting(columns, size, done, time.monotonic() + self._patience))
        self._some.set()
        if not self._may_be_joined():
            self._enough.set()
        await done

    async def _run(self) -> None:
        """Commit batch after batch, until closed and nothing waits."""
        pause = _FIRST_PAUSE_S
        while not (self._closing and not self._queue):
            if self._committer is not None:
                await self._gather()
            batch = self._under_way = self._take()
            try:
                await self._commit(batch)
            except Exception as error:  # noqa: BLE001 - a task loop: whatever it was, the rows are tried again, then spooled
                await self._disconnect()
                self._put_back(batch, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                pause = _FIRST_PAUSE_S
                self._note_found()
            self._under_way = []

    async def _gather(self) -> None:
        """Wait for rows; soon after the commit before, let others join them.

        Whoever sends one after the other, over however many connections, is never waited for: all of them wait then. Of
        those who send when they have something, some have an idle connection; there this saves a tenth of the work.
        """
        while not self._queue and not self._closing:
            self._some.clear()
            await self._some.wait()
        rest = self._next_at - time.monotonic()
        if rest > 0 and self._may_be_joined():
            self._enough.clear()
            timer = asyncio.get_running_loop().call_later(rest, self._enough.set)
            await self._enough.wait()
            timer.cancel()

    def _may_be_joined(self) -> bool:
        return len(self._queue) < ENOUGH_ROWS and self._may_more_come()

    def _take(self) -> list[_Waiting]:
        """Take the rows of the next statement from the queue, bounded in number and bytes."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < MOST_ROWS and (not batch or size + self._queue[0].size <= MOST_BYTES):
            waiting = self._queue.popleft()
            if not waiting.done.done():
                batch.append(waiting)
                size += waiting.size
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Commit a batch and release who waits for it; connect first where there is no connection."""
        if self._committer is None:
            await within(_CONNECT_WITHIN_S, self._connect())
        committer = self._committer
        if committer is None or not batch:
            return
        self._next_at = time.monotonic() + APART_S
        began = time.perf_counter()
        await committer.commit([waiting.columns for waiting in batch])
        self._tally.note(Committed(len(batch), time.perf_counter() - began))
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _put_back(self, batch: Iterable[_Waiting], error: Exception) -> None:
        """Let rows whose commit failed, or is not known, wait for the next attempt: the same ids double nothing."""
        if not self.is_away:
            _log.warning("database.lost", kind=type(error).__name__)
        self.is_away = True
        self._queue.extendleft(reversed([waiting for waiting in batch if not waiting.done.done()]))

    async def _expire(self) -> None:
        """Release the rows whose patience is over, and the connection where nobody waits for its outcome any more."""
        while True:
            await asyncio.sleep(_EXPIRY_S)
            now = time.monotonic()
            if self._committer is not None and self._under_way and self._under_way[-1].until <= now:
                self._committer.give_up()
            for waiting in chain(self._under_way, self._queue):  # by age; put back in front, they stay so
                if waiting.until > now:
                    break
                if not waiting.done.done():
                    waiting.done.set_exception(DatabaseAwayError())

    async def _connect(self) -> None:
        self._committer = await open_committer(self._url)

    def _note_found(self) -> None:
        if self.is_away:
            _log.info("database.found")
        self.is_away = False

    async def _disconnect(self) -> None:
        committer, self._committer = self._committer, None
        if committer is not None:
            await committer.close()


async def open_committer(url: str) -> Committer:
    """Return a connection that commits rows."""
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, options=_OPTIONS
    )
    try:
        # An acknowledgement means durable, whatever the server or the role has as its default.
        await connection.execute("SET synchronous_commit = on")
        await connection.execute(PREPARE)
    except BaseException:
        await connection.close()
        raise
    return Committer(connection)


async def within(seconds: float, work: Coroutine[Any, Any, object]) -> None:
    """Do what asks the database; raise TimeoutError when it hangs, without waiting for a server that does not speak."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=max(seconds, 0))
        if task.done():
            task.result()
            return
        raise TimeoutError
    finally:
        # psycopg answers a first cancellation by asking the server to cancel, and waits; to a second it gives in.
        for _ in range(2):
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_CANCEL_S)
        if task.done() and not task.cancelled():
            task.exception()  # fetched, so that asyncio does not complain
