"""Takes deliveries out of the inbox, batch by batch, and sees to it that one bad delivery holds up no other.

What a batch does is told in `batch`; when this runs, and which of several processors is active, in `work`.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from app.processing.batch import Circumstances, Stored
from app.processing.outcome import Outcome
from app.processing.reading import Read
from app.processing.record_rows import Database
from app.processing.retention import Retention
from app.processing.shapes import Shapes
from app.storage.database import is_outdated
from app.times import now

BATCH_DELIVERIES = 250
BATCH_BYTES = 8 << 20
MOST_READ_BYTES = 16 << 20
"""Of what was read: what comes compressed is a thousand times its size, and more than PostgreSQL takes at once."""

PART_BYTES = 2048
"""What each event and each record that is told is counted for beside the body."""

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
    return is_outdated(error) or error.sqlstate.startswith(_NOT_THE_DELIVERIES)


def _described(error: Exception) -> dict[str, str]:
    """Return what may be logged of an error: its kind and place, not its text, which may hold a person."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "at": f"{Path(frame.filename).name}:{frame.lineno}"}


@dataclass(slots=True)
class _Batch:
    """Deliveries that are processed together, with what they are read by; `reads` grows one by one.

    It is full where more was read than is to be held at once; what was not read by then has another turn.
    """

    ids: Sequence[UUID]
    stored: Sequence[Stored]
    given: Circumstances
    reads: list[Read] = field(default_factory=list)
    held: int = 0
    is_readable: bool = True

    def read_next(self) -> bool:
        """Read one more; tell whether there was one, and room for it."""
        if len(self.reads) == len(self.stored) or self.held >= MOST_READ_BYTES:
            return False
        read = batch.read_stored(self.stored[len(self.reads)], self.given)
        self.reads.append(read)
        self.held += read.size + PART_BYTES * sum(1 + len(one.statement.parts) for one in read.items if one.statement)
        return True

    @property
    def unread(self) -> list[UUID]:
        """Return the deliveries that were not read."""
        return [one.delivery.id for one in self.stored[len(self.reads) :]]


class Processor:
    """The processor of one connection, which it has for itself; `given` is asked anew for each batch.

    Where more waits than a batch, the next one is begun with it, and read by whoever calls `read_ahead` meanwhile.

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
        self._retention = Retention(database, keep_months, clock)
        self._is_more_waiting = False
        self._ahead: _Batch | None = None

    @property
    def is_behind(self) -> bool:
        """Tell whether more was waiting than the last step took."""
        return self._ahead is not None or self._is_more_waiting

    def step(self) -> int:
        """Process the next batch; return how many deliveries left the inbox.

        Raises:
            DatabaseTroubleError: the database could not; what was begun is in the inbox as before.
        """
        ready, self._ahead = self._ahead, None
        ids: Sequence[UUID]
        if ready is None:
            waiting = self._next()
            if not waiting:
                return 0
            attempts, ids = waiting
            if attempts >= MOST_ATTEMPTS:
                return self._quarantine(ids[0])
            self._count(ids, 1)
        else:
            ids = ready.ids
        try:
            ready = ready or self._load(ids)
            if self._is_more_waiting and len(ids) > 1:  # what was tried before is tried alone
                self._ahead = self._begin_next(ids)
            done = len(self._process(ready))
        except Exception as error:  # noqa: BLE001 - one bad delivery holds up no other; that of the database is raised
            self._raise_if_the_databases(error, ids)
            _log.error("batch.failed", deliveries=len(ids), first=str(ids[0]), **_described(error))
            return 0
        self._watch(self._shapes.note)
        return done

    def read_ahead(self) -> bool:
        """Read a little of the next batch; tell whether there was anything to read. Asks the database nothing."""
        ahead = self._ahead
        if ahead is None or not ahead.is_readable:
            return False
        try:
            return ahead.read_next()
        except Exception:  # noqa: BLE001 - it is met again, and told, when it is their turn
            ahead.is_readable = False
            return False

    def match(self) -> None:
        """Tie events to calls of ours whose keys were learned after them, and give up calls that were interrupted.

        Raises:
            DatabaseTroubleError: the database could not.
        """
        try:
            with self._database.transaction():
                matching.match_waiting(self._database)
                matching.give_up_lost(self._database)
        except Exception as error:  # noqa: BLE001 - that of the database is raised, any other is told and holds up no delivery
            self._raise_if_the_databases(error)
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
        """Write down what was only counted, and leave what was begun to the next processor; raises as `look_after`."""
        if self._ahead is not None:
            self.forgive(self._ahead.ids)
            self._ahead = None
        self._watch(self._shapes.write)

    def _watch(self, work: Callable[[], object]) -> object:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - that of the database is raised, any other is told and holds up no delivery
            self._raise_if_the_databases(error)
            _log.error("watching.failed", **_described(error))
            return None

    def _raise_if_the_databases(self, error: Exception, ids: Sequence[UUID] = ()) -> None:
        """Raise DatabaseTroubleError where an error is no fault of the deliveries; it names all that was begun."""
        if _is_the_databases(error):
            begun = [*ids, *(self._ahead.ids if self._ahead else ())]
            self._ahead = None
            raise DatabaseTroubleError(begun) from error

    def forgive(self, ids: Sequence[UUID]) -> None:
        """Take back an attempt that ended because of the database, or was none."""
        self._count(ids, -1)

    def _next(self, begun: Sequence[UUID] = ()) -> tuple[int, list[UUID]] | None:
        """Return what to process next, and how often it was tried: one that was tried before singly, else a batch.

        What was `begun` is in the inbox too, and is passed over.
        """
        rows = self._database.execute(
            "SELECT i.delivery_id, i.attempts, d.size FROM inbox i"
            " LEFT JOIN deliveries d ON d.id = i.delivery_id AND d.source_id = i.source_id"
            " WHERE i.delivery_id <> ALL(%s::uuid[]) ORDER BY i.delivery_id LIMIT %s",
            (array(UUIDS, begun), BATCH_DELIVERIES),
        ).fetchall()
        self._is_more_waiting = len(rows) > 1
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
        self._is_more_waiting = len(ids) < len(rows) or len(rows) == BATCH_DELIVERIES
        return (0, ids) if ids else None

    def _begin_next(self, begun: Sequence[UUID]) -> _Batch | None:
        """Return the batch after the one that is begun; None where what comes next is processed singly."""
        waiting = self._next(begun)
        if not waiting or waiting[0]:
            return None
        self._count(waiting[1], 1)
        return self._load(waiting[1])

    def _load(self, ids: Sequence[UUID]) -> _Batch:
        given = replace(self._given(), sighted=self._shapes.offer)
        return _Batch(ids, batch.load_stored(self._database, ids), given)

    def _count(self, ids: Sequence[UUID], by: int) -> None:
        """Count the attempt in a transaction of its own: it must outlive a processor that the batch ends.

        It need not outlive the server, so nobody waits for the disk.
        """
        self._database.execute(
            "UPDATE inbox SET attempts = greatest(0, attempts + %s) WHERE delivery_id = ANY(%s::uuid[])"
            " AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'",
            (by, array(UUIDS, ids)),
        )

    def _process(self, ready: _Batch) -> list[Outcome]:
        begun = time.perf_counter()
        while ready.read_next():
            pass
        if unread := ready.unread:
            self.forgive(unread)
            self._is_more_waiting = True
        self._retention.touch(ready.ids)
        with self._database.transaction():
            outcomes = batch.process(self._database, ready.stored[: len(ready.reads)], ready.reads, ready.given)
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
