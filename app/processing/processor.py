"""Takes deliveries out of the inbox, batch by batch, and sees to it that one bad delivery holds up no other.

What a batch does is told in `batch`; when this runs, and which of several processors is active, in `work`.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg.types.json import set_json_loads

from app.accounts.sealing import Sealer
from app.processing import batch, matching
from app.processing.arrays import UUIDS, array
from app.processing.batch import Circumstances
from app.processing.outcome import Outcome
from app.processing.record_rows import Database
from app.processing.retention import Retention
from app.processing.shapes import Shapes
from app.times import now

BATCH_DELIVERIES = 500
BATCH_BYTES = 16 << 20
MOST_ATTEMPTS = 3
FEED = "callbox_feed"
"""The channel on which each batch is announced, without content."""

_log = structlog.get_logger(__name__)


class DatabaseTroubleError(Exception):
    """The database could not, for no fault of the deliveries: it went away, is full, read-only or was in the way."""

    def __init__(self, ids: Sequence[UUID]) -> None:
        super().__init__("the database could not process a batch")
        self.ids = ids


_NOT_THE_DELIVERIES = ("08", "25", "40", "42", "53", "55", "58", "57P")
"""Classes of SQLSTATE: connection, read-only, rollback, other tables, resources, in use, system, operator."""


def _is_the_databases(error: Exception) -> bool:
    """Tell whether an error has nothing to do with the deliveries, so that no attempt of theirs may count."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:  # no answer of the server: the connection broke
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_NOT_THE_DELIVERIES)


def _described(error: Exception) -> dict[str, str]:
    """Return what may be logged of an error: its kind and place, not its text, which may hold a person."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "at": f"{Path(frame.filename).name}:{frame.lineno}"}


class Processor:
    """The processor of one connection, which it has for itself; `given` is asked anew for each batch.

    `keep_months` is after how many old months are dropped; None: never. `clock` is a seam for tests.
    """

    def __init__(
        self,
        database: Database,
        given: Callable[[], Circumstances],
        keep_months: int | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        set_json_loads(orjson.loads, database)
        self._database = database
        self._given = given
        self._shapes = Shapes(database)
        self.is_behind = False
        """Tells whether more was waiting than the last step took."""
        self._retention = Retention(database, keep_months, clock)

    def step(self) -> int:
        """Process the next batch; return how many deliveries left the inbox.

        Raises:
            DatabaseTroubleError: the database could not; what was begun is in the inbox as before.
        """
        waiting = self._next()
        if not waiting:
            return 0
        attempts, ids = waiting
        if attempts >= MOST_ATTEMPTS:
            return self._quarantine(ids[0])
        self._count(ids, 1)
        try:
            done = len(self._process(ids))
        except Exception as error:
            if _is_the_databases(error):
                raise DatabaseTroubleError(ids) from error
            _log.error("batch.failed", deliveries=len(ids), first=str(ids[0]), **_described(error))
            return 0
        self._watch(self._shapes.note)
        return done

    def match(self) -> None:
        """Tie events to calls of ours whose keys were learned after them, and give up calls that were interrupted.

        Raises:
            DatabaseTroubleError: the database could not.
        """
        try:
            with self._database.transaction():
                matching.match_waiting(self._database)
                matching.give_up_lost(self._database)
        except Exception as error:
            if _is_the_databases(error):
                raise DatabaseTroubleError([]) from error
            _log.error("matching.failed", **_described(error))

    def look_after(self, sealer: Sealer) -> None:
        """Seal the audit log, and write down how items look; what keeps from it is logged and holds up no delivery.

        Raises:
            DatabaseTroubleError: the database could not.
        """
        self._watch(sealer.seal)
        self._watch(self._shapes.write_if_due)

    def drop_old(self) -> bool:
        """Go on a little with dropping old months; tell whether there is more to do. Raises as `look_after`."""
        return self._watch(self._retention.step) is True

    def finish(self) -> None:
        """Write down what was only counted; raises as `look_after`."""
        self._watch(self._shapes.write)

    def _watch(self, work: Callable[[], object]) -> object:
        try:
            return work()
        except Exception as error:
            if _is_the_databases(error):
                raise DatabaseTroubleError([]) from error
            _log.error("watching.failed", **_described(error))
            return None

    def forgive(self, ids: Sequence[UUID]) -> None:
        """Take back the attempt that ended because of the database."""
        self._count(ids, -1)

    def _next(self) -> tuple[int, list[UUID]] | None:
        """Return what to process next, and how often it was tried: one that was tried before singly, else a batch."""
        rows = self._database.execute(
            "SELECT i.delivery_id, i.attempts, d.size FROM inbox i"
            " LEFT JOIN deliveries d ON d.id = i.delivery_id AND d.source_id = i.source_id"
            " ORDER BY i.delivery_id LIMIT %s",
            (BATCH_DELIVERIES,),
        ).fetchall()
        self.is_behind = len(rows) > 1
        ids: list[UUID] = []
        size = 0
        for delivery_id, attempts, bytes_ in rows:
            if attempts:
                if not ids:
                    return attempts, [delivery_id]
                break
            size += bytes_ or 0
            if ids and size > BATCH_BYTES:
                break
            ids.append(delivery_id)
        self.is_behind = len(ids) < len(rows) or len(rows) == BATCH_DELIVERIES
        return (0, ids) if ids else None

    def _count(self, ids: Sequence[UUID], by: int) -> None:
        """Count the attempt in a transaction of its own: it must outlive a processor that the batch ends.

        It need not outlive the server, so nobody waits for the disk.
        """
        self._database.execute(
            "UPDATE inbox SET attempts = greatest(0, attempts + %s) WHERE delivery_id = ANY(%s::uuid[])"
            " AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'",
            (by, array(UUIDS, ids)),
        )

    def _process(self, ids: Sequence[UUID]) -> list[Outcome]:
        begun = time.perf_counter()
        self._retention.touch(ids)
        with self._database.transaction():
            outcomes = batch.process(self._database, ids, replace(self._given(), sighted=self._shapes.offer))
            self._database.execute(f"NOTIFY {FEED}")
        _log.debug("batch.processed", deliveries=len(outcomes), seconds=round(time.perf_counter() - begun, 4))
        return outcomes

    def _quarantine(self, delivery_id: UUID) -> int:
        with self._database.transaction():
            outcome = batch.give_up(self._database, delivery_id)
            if outcome is None:  # retention dropped the delivery while it waited
                self._database.execute("DELETE FROM inbox WHERE delivery_id = %s", (delivery_id,))
            self._database.execute(f"NOTIFY {FEED}")
        _log.error("delivery.quarantined", delivery=str(delivery_id), reason="processing-failed")
        return 1
