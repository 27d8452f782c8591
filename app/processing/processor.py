"""Takes deliveries out of the inbox, batch by batch, and sees to it that one bad delivery holds up no other.

What a batch does is told in `batch`; when this runs, and which of several processors is active, in `work`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NoReturn
from uuid import UUID

import orjson
import structlog
from psycopg.types.json import set_json_loads

from app.accounts.sealing import Sealer
from app.processing import batch, matching
from app.processing.arrays import UUIDS, array
from app.processing.batch import Circumstances, Stored
from app.processing.faults import MOST_ATTEMPTS, Doubts, Fault, described, fault_of
from app.processing.outcome import Outcome
from app.processing.reading import Read
from app.processing.record_rows import Database
from app.processing.retention import Retention
from app.processing.shapes import Shapes
from app.times import now

BATCH_DELIVERIES = 250
BATCH_BYTES = 8 << 20
MOST_READ_BYTES = 16 << 20
"""Of what was read: what comes compressed is a thousand times its size, and more than PostgreSQL takes at once."""

PART_BYTES = 2048
"""What each event and each record that is told is counted for beside the body."""

_log = structlog.get_logger(__name__)


class DatabaseTroubleError(Exception):
    """The database could not, or the connection broke; `ids` are the deliveries of which this counts as no attempt."""

    def __init__(self, ids: Sequence[UUID]) -> None:
        super().__init__("the database could not process a batch")
        self.ids = ids


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

    `keep_months` is after how many old months are dropped; None: never. `clock` is a seam for tests. `doubts` are those
    of the processor before, over another connection.
    """

    def __init__(
        self,
        database: Database,
        given: Callable[[], Circumstances],
        keep_months: int | None = None,
        clock: Callable[[], datetime] = now,
        doubts: Doubts | None = None,
    ) -> None:
        set_json_loads(orjson.loads, database)
        self._database = database
        self._given = given
        self._shapes = Shapes(database)
        self._retention = Retention(database, keep_months, clock)
        self._is_more_waiting = False
        self._begun: Sequence[UUID] = ()
        self._begun_ahead: Sequence[UUID] = ()
        self._ahead: _Batch | None = None
        self._doubts = doubts or Doubts()
        self._doubts.connected()

    @property
    def is_behind(self) -> bool:
        """Tell whether more was waiting than the last step took."""
        return self._ahead is not None or self._is_more_waiting

    def step(self) -> int:
        """Process the next batch; return how many deliveries left the inbox.

        Raises:
            DatabaseTroubleError: the database could not; what was begun is in the inbox as before.
        """
        begun_at = time.monotonic()
        ready, self._ahead = self._ahead, None
        self._begun, self._begun_ahead = self._begun_ahead, ()
        attempts = 0
        try:
            if ready is None:
                attempts, self._begun = self._next()
                if attempts >= MOST_ATTEMPTS:
                    return self._quarantine(self._begun[0])
                if not self._begun:
                    return 0
                self._count(self._begun, 1, is_lasting=bool(attempts or self._doubts.is_alone(self._begun[0])))
                ready = self._load(self._begun)
            if self._is_more_waiting and len(ready.ids) > 1:  # what was tried before is tried alone
                self._begin_next()
            done = len(self._process(ready))
        except Exception as error:  # noqa: BLE001 - one bad delivery holds up no other; that of the database is raised
            self._settle(error, attempts, time.monotonic() - begun_at)
            return 0
        self._doubts.forget(ready.ids)
        self._aside("shapes", self._shapes.note)
        return done

    def _settle(self, error: Exception, attempts: int, seconds: float) -> None:
        """Go on after a try that failed, before which so many were made; raises as `step`."""
        fault = fault_of(error, is_closed=self._database.closed)
        if self._ahead is None:  # it was perhaps these that could not be loaded
            self._begun, self._begun_ahead = [*self._begun, *self._begun_ahead], ()
        begun = self._begun
        if not begun or fault is Fault.EVERYONES or (fault is Fault.NOBODYS and self._doubts.is_full):
            self._raise_trouble(error, begun)
        counts = self._doubts.settle(fault, begun, attempts, seconds)
        tell = _log.error if counts else _log.warning
        tell("batch.failed", deliveries=len(begun), first=str(begun[0]), **described(error))
        if fault is Fault.BROKEN:
            self._raise_trouble(error, () if counts else begun)
        if not counts:
            self.forgive(begun)

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

        What goes wrong with it, or with what follows, is logged, and it rests for a while: no delivery waits for it.

        Raises:
            DatabaseTroubleError: the database could not.
        """

        def matched() -> None:
            with self._database.transaction():
                matching.match_waiting(self._database)
                matching.give_up_lost(self._database)

        self._aside("matching", matched)

    def look_after(self, sealer: Sealer) -> None:
        """Seal the audit log, and write down how items look; raises as `match`."""
        self._aside("sealing", sealer.seal)
        self._aside("shapes", self._shapes.write_if_due)

    def drop_old(self) -> bool:
        """Go on a little with dropping old months; tell whether there is more to do. Raises as `match`."""
        return self._aside("retention", self._retention.step) is True

    def finish(self) -> None:
        """Write down what was only counted, and leave what was begun to the next processor; raises as `match`."""
        if self._ahead is not None:
            self.forgive(self._begun_ahead)
            self._ahead, self._begun_ahead = None, ()
        self._aside("shapes", self._shapes.write)

    def _aside(self, name: str, work: Callable[[], object]) -> object:
        if self._doubts.is_resting(name):
            return None
        begun_at = time.monotonic()
        try:
            done = work()
        except Exception as error:  # noqa: BLE001 - that of the database is raised, any other is told and holds up no delivery
            self._doubts.put_off(name, time.monotonic() - begun_at)
            if fault_of(error, is_closed=self._database.closed) in (Fault.EVERYONES, Fault.BROKEN):
                self._raise_trouble(error, ())
            _log.error(f"{name}.failed", **described(error))
            return None
        self._doubts.forget([name])
        return done

    def _raise_trouble(self, error: Exception, begun: Sequence[UUID]) -> NoReturn:
        """Raise DatabaseTroubleError; it names what was begun, and what was begun ahead of its turn."""
        uncounted, self._ahead, self._begun_ahead = [*begun, *self._begun_ahead], None, ()
        raise DatabaseTroubleError(uncounted) from error

    def forgive(self, ids: Sequence[UUID]) -> None:
        """Take back an attempt that ended because of the database, or was none."""
        self._count(ids, -1)

    def _next(self) -> tuple[int, list[UUID]]:
        """Return what to process next, and how often it was tried: one that was tried before singly, else a batch.

        What was begun is in the inbox too, and is passed over, as is what rests.
        """
        passed = [*self._begun, *self._doubts.resting()]
        rows = self._database.execute(
            # Were the bound a parameter, this would be planned as if a tenth of all were asked for.
            "SELECT i.delivery_id, i.attempts, d.size FROM inbox i"  # noqa: S608 - the number is our own
            " LEFT JOIN deliveries d ON d.id = i.delivery_id AND d.source_id = i.source_id"
            f" WHERE i.delivery_id <> ALL(%s::uuid[]) ORDER BY i.delivery_id LIMIT {BATCH_DELIVERIES}",
            (array(UUIDS, passed),),
        ).fetchall()
        if not rows and not self._begun:
            self._doubts.forget_alone()
        self._is_more_waiting = len(rows) > 1
        ids: list[UUID] = []
        size = 0
        for delivery_id, attempts, bytes_ in rows:
            if attempts or self._doubts.is_alone(delivery_id):
                if not ids:
                    return attempts, [delivery_id]
                break
            size += bytes_ or 0
            if ids and size > BATCH_BYTES:
                break
            ids.append(delivery_id)
        self._is_more_waiting = len(ids) < len(rows) or len(rows) == BATCH_DELIVERIES
        return 0, ids

    def _begin_next(self) -> None:
        """Begin the batch after the one that is begun, unless what comes next is processed singly."""
        attempts, ids = self._next()
        if ids and not attempts and not self._doubts.is_alone(ids[0]):
            self._begun_ahead = ids
            self._count(ids, 1)
            self._ahead = self._load(ids)

    def _load(self, ids: Sequence[UUID]) -> _Batch:
        given = replace(self._given(), sighted=self._shapes.offer)
        return _Batch(ids, batch.load_stored(self._database, ids), given)

    def _count(self, ids: Sequence[UUID], by: int, *, is_lasting: bool = False) -> None:
        """Count the attempt in a transaction of its own: it must outlive a processor that the batch ends.

        Where it must outlive a server that ends by it, too, it is `is_lasting`; else nobody waits for the disk.
        """
        self._database.execute(
            "UPDATE inbox SET attempts = greatest(0, attempts + %s) WHERE delivery_id = ANY(%s::uuid[])"
            " AND (SELECT set_config('synchronous_commit', %s, true)) <> ''",
            (by, array(UUIDS, ids), "on" if is_lasting else "off"),
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
        _log.debug("batch.processed", deliveries=len(outcomes), seconds=round(time.perf_counter() - begun, 4))
        return outcomes

    def _quarantine(self, delivery_id: UUID) -> int:
        with self._database.transaction():
            if batch.give_up(self._database, delivery_id) is None:  # retention dropped the delivery while it waited
                self._database.execute("DELETE FROM inbox WHERE delivery_id = %s", (delivery_id,))
        _log.error("delivery.quarantined", delivery=str(delivery_id), reason="processing-failed")
        return 1
