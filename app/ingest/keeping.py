"""Makes deliveries durable: in the database, or in the spool while the database cannot take them.

One statement for many rows is `writer`'s business, the file on disk `spool`'s.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import structlog

from app import metrics
from app.ingest.committer import Committer
from app.ingest.rows import NotKeptError, Packed, Row, packed
from app.ingest.spool import Spool, SpoolError
from app.ingest.spool_file import MOST_ROWS, Held
from app.ingest.spool_states import SpoolStates
from app.ingest.writer import DatabaseAwayError, Writer, open_committer, within

DRAIN_S = 10.0
"""How long one piece of the spool may take on its way to the database."""
_LOOK_S = 0.5
_ADOPT_S = 5.0
_BREATH_S = 0.01  # between two pieces of the spool, so that live traffic goes first

_MOST_BREAKS = 3
"""How often a connection may break at a row that is sent alone before the row is to blame: servers end at times."""

_TAKES_NOTHING = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
_KNOWN = "SELECT uuid_send(id) FROM sources WHERE uuid_send(id) = ANY(%s::bytea[])"
_NOT_THE_ROWS = ("25", "40", "42", "53", "55", "57", "58")
"""Classes of SQLSTATE that say nothing of what was sent: see `app.processing.faults`."""

_log = structlog.get_logger(__name__)


class Keeper:
    """Keeps the rows of one process. Whatever `write` returned for is durable, and reaches the database exactly once.

    While the database is away rows go straight to the spool. What is in the spool goes on to the database by the same
    statement and the same ids, so that a commit of unknown outcome doubles nothing; its first success ends the detour.
    """

    def __init__(self, url: str, writer: Writer, spool: Spool) -> None:
        self._url = url
        self._writer = writer
        self._spool = spool
        self._states = SpoolStates()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._waiting: deque[tuple[Packed, asyncio.Future[None]]] = deque()
        self._some = asyncio.Event()
        self._committer: Committer | None = None
        self._refused: Held | None = None
        self._breaks = 0  # of connections, since the last piece went through, at a row that was sent alone
        self._most = MOST_ROWS
        self._tasks: list[asyncio.Task[None]] = []
        self.is_away = False
        """Whether rows take the detour over the spool."""
        self.spool_fails = False
        """Whether the spool could not take the last rows."""

    @property
    def spooled(self) -> int:
        """Return how many rows wait in the spool."""
        return self._spool.count

    async def start(self) -> None:
        """Open the spool and begin to write; neither the database nor the spool has to be there."""
        try:
            await self._on_disk(self._spool.open)
        except SpoolError as error:
            self.spool_fails = True
            _log.error("spool.unusable", reason=str(error))
        self._show()
        self._writer.start()
        self._tasks = [asyncio.create_task(self._spool_rows()), asyncio.create_task(self._drain())]

    async def close(self) -> None:
        """Let what is under way end, then let go of database and spool; what is in the spool stays there."""
        await self._writer.close()
        await asyncio.gather(*(done for _, done in self._waiting), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._hang_up()
        await self._on_disk(self._spool.close)
        self._disk.shutdown()

    async def last_id(self) -> UUID | None:
        """Return the highest delivery id in the spool."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, self._spool.last_id)

    async def write(self, row: Row) -> None:
        """Return once the row is durable.

        Raises:
            NotKeptError: neither the database nor the spool could take it.
        """
        if not self.is_away:
            try:
                await self._writer.write(row)
            except DatabaseAwayError:
                self._turn(away=True)
            else:
                return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((packed(row), done))
        self._some.set()
        await done

    # --- into the spool ----------------------------------------------------------------------------------------

    async def _spool_rows(self) -> None:
        """Put all rows that wait into the spool, in one commit each time."""
        while True:
            self._some.clear()
            if not self._waiting:
                await self._some.wait()
            batch = list(self._waiting)
            error: Exception | None = None
            try:
                await self._on_disk(self._spool.put, [row for row, _ in batch])
            except Exception as refused:  # noqa: BLE001 - a task loop: whatever it was, who waits must be told 503
                error = refused
            self._note_spool(error)
            for _, done in batch:
                self._waiting.popleft()
                if not done.done():
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(NotKeptError())

    def _note_spool(self, error: Exception | None) -> None:
        if error is not None and not self.spool_fails:
            _log.error("spool.refused", reason=str(error) if isinstance(error, SpoolError) else type(error).__name__)
        if error is None and self.spool_fails:
            _log.info("spool.recovered")
        self.spool_fails = error is not None
        self._show()

    async def _check_spool(self) -> None:
        """Find out whether a spool that could not take the last rows would take some now."""
        with contextlib.suppress(SpoolError):
            await self._on_disk(self._spool.check)
            self._note_spool(None)

    # --- out of the spool --------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Bring what is in the spool to the database, and find out when that is back."""
        adopted_at = time.monotonic()
        while True:
            try:
                moved = await self._drain_once()
            except Exception as error:  # noqa: BLE001 - a task loop: tried again; doctor and attention tell what waits
                _log.debug("spool.waiting", kind=type(error).__name__)
                await self._hang_up()
                moved = False
            if moved:
                await asyncio.sleep(_BREATH_S)
                continue
            await asyncio.sleep(_LOOK_S)
            if self.spool_fails:
                await self._check_spool()
            if time.monotonic() - adopted_at > _ADOPT_S:
                adopted_at = time.monotonic()
                with contextlib.suppress(OSError, sqlite3.Error):
                    await self._on_disk(self._spool.adopt)

    async def _drain_once(self) -> bool:
        """Move one piece; tell whether there was one. Without one, only see whether the database is back."""
        if self._refused is not None:
            await within(DRAIN_S, self._ask())  # while it is away, nobody knows whether the rows are to blame
            await self._narrow_down(self._refused)
        held = await asyncio.get_running_loop().run_in_executor(self._disk, self._spool.oldest, self._most)
        if held is None:
            if self.is_away:
                await within(DRAIN_S, self._ask())
                self._turn(away=False)
            return False
        if held.file.is_taken_over:
            held, is_ours = await self._of_one_kind(held)
            if not is_ours:
                await self._leave(held)
                return True
        await within(DRAIN_S, self._write(held))
        self._most = min(MOST_ROWS, 4 * self._most)
        await self._on_disk(self._spool.remove, held)
        self._show()
        if self.is_away:
            self._turn(away=False)
        if not self._spool.count:
            _log.info("spool.emptied")
            await self._hang_up()
        return True

    async def _write(self, held: Held) -> None:
        committer = await self._connected()
        try:
            await committer.commit(held.rows)
        except Exception as error:  # raised again: psycopg's, or what a value raises that damage has made another
            state = getattr(error, "sqlstate", None) or ""
            self._refused = None if state.startswith(_NOT_THE_ROWS) else held
            if len(held.rows) == 1 and self._refused:
                self._breaks = _MOST_BREAKS if state else self._breaks + 1
            raise
        self._breaks = 0
        await self._states.note(committer.connection, held)

    async def _narrow_down(self, held: Held) -> None:
        """Try fewer of the rows that the database did not take; one that it does not take alone is left out for now.

        Else a single row that it refuses, or ends a connection at, would keep all others here for ever.
        """
        self._refused = None
        self._turn(away=False)
        self._most = max(1, len(held.rows) // 4)
        if len(held.rows) == 1 and self._breaks >= _MOST_BREAKS:
            self._breaks = 0
            own = held.rows[0][0]
            delivery_id = own.hex() if isinstance(own, bytes) else None
            _log.error("spool.row_refused", file=held.file.path.name, delivery_id=delivery_id)
            await self._on_disk(self._spool.leave_out, held)

    async def _of_one_kind(self, held: Held) -> tuple[Held, bool]:
        """Return the first rows, as far as all or none of their sources are in this database, and whether they are."""
        found: set[object] = set()
        await within(DRAIN_S, self._find_sources(held, found))
        ours = [row[1] in found for row in held.rows]
        count = next((place for place, is_ours in enumerate(ours) if is_ours is not ours[0]), len(ours))
        return held.first(count), ours[0]

    async def _leave(self, held: Held) -> None:
        """Leave rows to the installation whose sources they are of."""
        if not held.file.left_out:
            _log.error("spool.not_ours", file=held.file.path.name, deliveries=held.file.count)
        await self._on_disk(self._spool.leave_out, held)
        self._show()
        if not self._spool.count:
            await self._hang_up()

    async def _find_sources(self, held: Held, found: set[object]) -> None:
        connection = (await self._connected()).connection
        named = {row[1] for row in held.rows if isinstance(row[1], bytes)}
        rows = await connection.execute(_KNOWN, ([*named],))
        found.update(row[0] for row in await rows.fetchall())

    async def _ask(self) -> None:
        """Raise where the database would not take rows: it is away, a standby, or read-only."""
        connection = (await self._connected()).connection
        answer = await (await connection.execute(_TAKES_NOTHING)).fetchone()
        if answer != (False,):
            raise psycopg.errors.ReadOnlySqlTransaction
        await self._hang_up()

    async def _connected(self) -> Committer:
        if self._committer is None:
            self._committer = await open_committer(self._url)
        return self._committer

    async def _hang_up(self) -> None:
        committer, self._committer = self._committer, None
        if committer is not None:
            await committer.close()

    # --- both --------------------------------------------------------------------------------------------------

    def _turn(self, *, away: bool) -> None:
        """Take the detour or leave it, and say so once."""
        if away != self.is_away:
            self.is_away = away
            if away:
                _log.warning("spool.entered")
            else:
                _log.info("spool.left", waiting=self._spool.count)
        self._show()

    def _show(self) -> None:
        metrics.SPOOL_ROWS.set(self._spool.count)
        metrics.SPOOL_BYTES.set(self._spool.size)

    async def _on_disk(self, work: Callable[..., None], *arguments: object) -> None:
        """Do what blocks in the spool's own thread."""
        await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)
