"""Brings what is due into the queue, gives up on processes that died, and clears away what is long done.

It may run in any number of processes at once: a job stands in the queue only once for whatever it is about.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import procrastinate
import psycopg
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from app.jobs.bench import Bench, Database
from app.jobs.kind import Kind

_TICK_S: Final = 1.0
_TIDY_EVERY: Final = timedelta(minutes=1)
_SILENT_S: Final = 30.0
_KEPT: Final = timedelta(days=1)
_DEAD_KEPT: Final = timedelta(days=30)

_KNOWN: Final = """
SELECT queueing_lock, id, status = 'failed' AS is_dead,
    (SELECT max(at) FROM procrastinate_events e WHERE e.job_id = j.id) AS moved_at
FROM procrastinate_jobs j WHERE queueing_lock = ANY(%s) AND status IN ('todo', 'doing', 'failed')
"""

_PRUNE: Final = """
DELETE FROM procrastinate_jobs j WHERE status IN ('succeeded', 'failed', 'cancelled', 'aborted')
    AND (SELECT max(at) FROM procrastinate_events e WHERE e.job_id = j.id)
        < now() - CASE status WHEN 'failed' THEN %s ELSE %s END
"""

# No wait is longer than an hour: what is to wait for days was put off by a clock that had run ahead.
_PUT_OFF: Final = "UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo' AND scheduled_at > %s"
_LONGEST_WAIT: Final = timedelta(days=1)
# By such a heartbeat a process that died would live on for as long.
_AHEAD: Final = "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE last_heartbeat > %s"

_PRUNE_ERRORS: Final = """
DELETE FROM job_errors e WHERE at < now() - interval '1 day'
    AND NOT EXISTS (SELECT FROM procrastinate_jobs j WHERE j.id = e.job_id)
"""

_TOO_SLOW: Final = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)
"""Errors of a question, not of the database."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A job that stands in the queue, waiting, under way or dead."""

    id: int
    is_dead: bool
    moved_at: datetime


class Sweeper:
    """The sweeps of one process."""

    def __init__(self, queue: procrastinate.App, kinds: Sequence[Kind], bench: Bench) -> None:
        self._queue = queue
        self._kinds = kinds
        self._bench = bench

    async def run(self) -> None:
        """Sweep for ever, each kind as often as it says."""
        due_at = dict.fromkeys((kind.name for kind in self._kinds), self._bench.clock())
        tidy_at = self._bench.clock()
        while True:
            moment = self._bench.clock()
            if not moment < tidy_at <= moment + _TIDY_EVERY:
                await self._try("tidy", self.tidy())
                tidy_at = moment + _TIDY_EVERY
            for kind in self._kinds:
                if not moment < due_at[kind.name] <= moment + kind.every:  # the clock may have run ahead
                    due_at[kind.name] = moment + kind.every
                    await self._try(kind.name, self.sweep(kind))
            await asyncio.sleep(_TICK_S)

    async def _try(self, name: str, work: Awaitable[object]) -> None:
        try:
            await work
        except Exception as error:  # one kind's trouble is not the others'; that of the database is everyone's
            cause = error.__cause__ if isinstance(error, ConnectorException) else error
            if isinstance(cause, psycopg.OperationalError | None) and not isinstance(cause, _TOO_SLOW):
                raise
            _log.error("sweep.failed", kind=name, error=type(error).__name__)

    async def sweep(self, kind: Kind) -> int:
        """Bring what is due of a kind into the queue; return how many jobs were added or taken up again."""
        about = await self._bench.ask(kind.due, self._bench.clock())
        if not about:
            return 0
        known = await self._bench.ask(_known, [_lock(kind, one) for one in about])
        brought = 0
        for one in about:
            present = known.get(_lock(kind, one))
            if present is None:
                brought += await self._add(kind, one)
            # The clock may have run ahead when it died.
            elif present.is_dead and not timedelta(0) <= self._bench.clock() - present.moved_at < kind.rest:
                brought += await self._take_up(present.id)
        return brought

    async def _add(self, kind: Kind, about: UUID) -> int:
        lock = _lock(kind, about)
        try:
            await self._queue.configure_task(kind.name, queueing_lock=lock, lock=lock).defer_async(id=str(about))
        except AlreadyEnqueued:  # another process was quicker
            return 0
        return 1

    async def _take_up(self, job_id: int) -> int:
        try:
            await self._queue.job_manager.retry_job_by_id_async(job_id, retry_at=self._bench.clock())
        except ConnectorException as error:
            if not isinstance(error.__cause__, psycopg.errors.RaiseException):
                raise
            return 0  # another process was quicker
        return 1

    async def tidy(self) -> None:
        """Take up what a process that died was at, and clear away what is long done."""
        for job in await self._queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=_SILENT_S):
            if job.id is not None and await self._take_up(job.id):
                _log.warning("job.taken_up", kind=job.task_name, job=job.id)
        await self._bench.ask(_mend_and_prune, self._bench.clock())


def _lock(kind: Kind, about: UUID) -> str:
    return f"{kind.name}:{about}"


def _known(database: Database, locks: Sequence[str]) -> dict[str, Known]:
    rows = database.execute(_KNOWN, (list(locks),)).fetchall()
    return {lock: Known(job_id, is_dead, moved_at) for lock, job_id, is_dead, moved_at in rows}


def _mend_and_prune(database: Database, moment: datetime) -> None:
    database.execute(_PUT_OFF, (moment + _LONGEST_WAIT,))
    database.execute(_AHEAD, (moment + _LONGEST_WAIT,))
    database.execute(_PRUNE, (_DEAD_KEPT, _KEPT))
    database.execute(_PRUNE_ERRORS)
