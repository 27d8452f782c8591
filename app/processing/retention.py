"""Drops the months that are older than is to be kept; what they said of records stays as baselines.

It is the active processor's, between batches and over its connection: nobody else writes events, so what was folded
into baselines is what is dropped. A month that one of its deliveries is processed in again meanwhile is begun anew.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog

from app.ids import IdSource, first_id_at, time_of
from app.processing.baselines import Baseline, load_baselines, merged, write_baselines
from app.processing.identity import bounded_key
from app.processing.record_rows import LINKS, Database, StoredEvent
from app.processing.records import UNTOLD, Account, Told
from app.processing.telling import told_of
from app.storage.database import MIGRATION_LOCK
from app.storage.partitions import (
    close_tables,
    drop_month,
    ensure_partitions,
    month_before,
    months_around,
    present_months,
)
from app.times import now

EVERY: Final = timedelta(hours=1)
AGAIN: Final = timedelta(minutes=1)
LOCK_TIMEOUT_MS: Final = 100
"""How long who receives may be kept waiting behind us, for a lock that somebody else does not let go."""
PAGE: Final = 200

_OPEN: Final = "SELECT id, begins_at, ends_at, folded_until, folded_at FROM closed_months WHERE dropped_at IS NULL"
_BEGIN: Final = "INSERT INTO closed_months (id, begins_at, ends_at, folded_until) VALUES (%s, %s, %s, %s)"
_FOLDED: Final = "UPDATE closed_months SET folded_until = %s, folded_at = %s WHERE id = %s"
_ABANDON: Final = "DELETE FROM closed_months WHERE id = %s AND dropped_at IS NULL"
_DROPPED: Final = """
UPDATE closed_months SET dropped_at = clock_timestamp()
WHERE id = %s AND folded_at IS NOT NULL AND dropped_at IS NULL
"""
_WAITING: Final = "SELECT EXISTS (SELECT FROM inbox WHERE delivery_id >= %s AND delivery_id < %s)"
_LEFT_LYING: Final = "SELECT id FROM deliveries_default WHERE id >= %s AND id < %s ORDER BY id LIMIT 1"
_STORED_LAST: Final = "SELECT max(stored_at) FROM deliveries_default WHERE id >= %s AND id < %s"
_EVENTS: Final = """
SELECT id, source_id, delivery_id, item_index, order_key, received_at, parts, jsonb_array_length(changes) > 0, broker,
    submission_id, record_id, customer_id
FROM events WHERE id > %s AND id < %s ORDER BY id LIMIT %s
"""
_PRIVILEGES: Final = (
    "this role may not drop partitions: have `callbox migrate` run as the role that owns the tables, see"
    " docs/database.md"
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Month:
    """A month that is about to be dropped, and how far its events are in the baselines."""

    id: UUID
    begins_at: datetime
    ends_at: datetime
    folded_until: UUID
    folded_at: datetime | None

    @property
    def ids(self) -> tuple[UUID, UUID]:
        """Return the lowest id of the month and that of the next."""
        return first_id_at(self.begins_at), first_id_at(self.ends_at)


@dataclass(frozen=True, slots=True)
class _Said:
    """What an event of the month told a record."""

    source_id: UUID
    kind: str
    key: str
    broker: str | None
    record_id: UUID
    told: Told
    changed: bool
    submission_id: UUID | None


class Retention:
    """Drops month after month, oldest first, a small step at a time; with `keep_months` None it drops nothing."""

    def __init__(self, database: Database, keep_months: int | None, clock: Callable[[], datetime] = now) -> None:
        self._database = database
        self._keep_months = keep_months
        self._clock = clock
        self._month: Month | None = None
        self._is_loaded = False
        self._rest_until = 0.0
        self._trouble: str | None = None
        self._ids = IdSource()

    def step(self) -> bool:
        """Do the next little; tell whether there is more to do at once."""
        if self._keep_months is None or time.monotonic() < self._rest_until:
            return False
        try:
            self._go_on(month_before(self._clock(), self._keep_months))
        except psycopg.Error as error:
            if self._database.closed:
                raise
            self._note(_reason(error))
        return time.monotonic() >= self._rest_until

    def touch(self, ids: Sequence[UUID]) -> None:
        """Be told, before it is done, which deliveries are processed: a month that is changed is begun anew."""
        month = self._load()
        if month is not None:
            low, high = month.ids
            if any(low <= one < high for one in ids):
                self._abandon(month)

    def _load(self) -> Month | None:
        """Return the month that is being closed, by whichever processor it was begun."""
        if not self._is_loaded:
            row = self._database.execute(_OPEN).fetchone()
            self._month = None if row is None else Month(*row)
            self._is_loaded = True
        return self._month

    def _go_on(self, bound: datetime) -> None:
        month = self._load()
        if month is not None and month.begins_at >= bound:  # more is to be kept than was when it was begun
            self._abandon(month)
        elif month is None:
            self._month = self._begin(bound)
            if self._month is None:
                self._rest(EVERY)
        elif month.folded_at is None:
            self._month = fold_page(self._database, month)
        elif drop_folded(self._database, month):
            self._is_loaded = False
            self._trouble = None
        else:
            self._is_loaded = False
            self._note("somebody else is at the tables, or deliveries of the month wait in the inbox")

    def _begin(self, bound: datetime) -> Month | None:
        """Return the oldest month that can be closed."""
        with suppress(psycopg.errors.InsufficientPrivilege):  # the owner's `callbox migrate` does it
            place_left_lying(self._database, bound)
        for begins_at in present_months(self._database):
            ((_, ends_at),) = months_around(begins_at, 0)
            low, high = first_id_at(begins_at), first_id_at(ends_at)
            if begins_at >= bound or self._database.execute(_WAITING, (low, high)).fetchone() == (True,):
                continue
            month = Month(self._ids.next(), begins_at, ends_at, UUID(int=max(0, low.int - 1)), None)
            self._database.execute(_BEGIN, (month.id, begins_at, ends_at, month.folded_until))
            return month
        return None

    def _abandon(self, month: Month) -> None:
        """Forget what was folded of a month that is not dropped."""
        with self._database.transaction():
            if self._database.execute(_ABANDON, (month.id,)).rowcount:
                self._database.execute("DELETE FROM baselines WHERE month_id = %s", (month.id,))
        self._month = None

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            _log.warning("month.not_dropped", reason=trouble)
        self._trouble = trouble
        self._rest(EVERY if trouble == _PRIVILEGES else AGAIN)

    def _rest(self, pause: timedelta) -> None:
        self._rest_until = time.monotonic() + pause.total_seconds()


def drop_waiting(database: Database, keep_months: int, moment: datetime) -> bool:
    """Do what the processor's role may not: drop the month that is folded; tell whether it was done."""
    bound = month_before(moment, keep_months)
    try:
        place_left_lying(database, bound)
        row = database.execute(_OPEN).fetchone()
        month = None if row is None else Month(*row)
        if month is None or month.folded_at is None or month.begins_at >= bound:
            return False
        return drop_folded(database, month)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable) as error:
        _log.warning("month.not_dropped", reason=_reason(error))
        return False


def place_left_lying(database: Database, bound: datetime) -> None:
    """Make the months of what lies in the default partition and was both received and stored before the bound.

    So what came when its month was dropped already is kept as long as if it had been received then.
    """
    low, end = UUID(int=0), first_id_at(bound)
    while (row := database.execute(_LEFT_LYING, (low, end)).fetchone()) is not None:
        ((start, next_month),) = months_around(month_before(time_of(row[0]), 0), 0)
        first, low = first_id_at(start), first_id_at(next_month)
        stored = database.execute(_STORED_LAST, (first, low)).fetchone()
        if stored is not None and stored[0] < bound:
            with database.transaction():
                if _at_the_tables(database):
                    ensure_partitions(database, start, 0)


def drop_folded(database: Database, month: Month) -> bool:
    """Drop a month whose events are in the baselines, and have these hold, all at once; tell whether it was done."""
    dropped = False
    with database.transaction():
        if _at_the_tables(database):
            close_tables(database)
            if database.execute(_WAITING, month.ids).fetchone() == (True,):
                raise psycopg.Rollback
            drop_month(database, month.begins_at)
            database.execute("DELETE FROM gaps WHERE id >= %s AND id < %s", month.ids)
            if database.execute(_DROPPED, (month.id,)).rowcount != 1:
                raise psycopg.Rollback
            dropped = True
    if dropped:
        _log.info("month.dropped", month=f"{month.begins_at:%Y-%m}")
    return dropped


def _at_the_tables(database: Database) -> bool:
    """Have this transaction be the only one that changes tables, and wait for nobody; tell whether it is."""
    database.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
    return database.execute("SELECT pg_try_advisory_xact_lock(%s)", (MIGRATION_LOCK,)).fetchone() == (True,)


def fold_page(database: Database, month: Month) -> Month:
    """Bring the next events of a month into its baselines; return how far it is then."""
    with database.transaction():
        rows = database.execute(_EVENTS, (month.folded_until, month.ids[1], PAGE)).fetchall()
        _fold(database, month, [said for row in rows for said in _said(row)])
        until = rows[-1][0] if rows else month.folded_until
        folded_at = None if len(rows) == PAGE else now()
        database.execute(_FOLDED, (until, folded_at, month.id))
    return replace(month, folded_until=until, folded_at=folded_at)


def _said(row: Sequence[Any]) -> list[_Said]:
    """Return what an event told those of its records that may be folded anew."""
    event_id, source_id, delivery_id, index, key, at, parts, changed, broker, asked, *links = row
    linked = dict(zip(("record_id", "customer_id"), links, strict=True))
    event = StoredEvent(event_id, delivery_id, index, key, at, parts, UNTOLD)
    said = []
    for number, part in enumerate(parts):
        record_id = linked.get(LINKS.get(part["kind"], ""))
        if record_id is not None:
            own = bounded_key(part["keys"][0])
            said.append(_Said(source_id, part["kind"], own, broker, record_id, told_of(event, number), changed, asked))
    return said


def _fold(database: Database, month: Month, said: Sequence[_Said]) -> None:
    known = load_baselines(database, list({one.record_id for one in said}))
    mine = {(one.source_id, one.kind, one.key, one.broker): one for one in known if one.month_id == month.id}
    customers: dict[UUID, Account] = {}
    changed_ones: dict[UUID, Baseline] = {}
    ids = IdSource()
    for one in said:
        changed = one.changed
        if one.kind == "customer":  # the changes that stand with an event are its subject's
            if one.record_id not in customers:
                whole = merged(other for other in known if other.record_id == one.record_id)
                customers[one.record_id] = whole or Account()
            changed = bool(customers[one.record_id].add(one.told).changes)
        place = (one.source_id, one.kind, one.key, one.broker)
        if place not in mine:
            mine[place] = Baseline(
                ids.next(), one.source_id, month.id, one.kind, one.key, one.broker, one.record_id, Account()
            )
        mine[place].take_in(one.told, changed=changed)
        mine[place].submission_id = one.submission_id or mine[place].submission_id
        changed_ones[mine[place].id] = mine[place]
    write_baselines(database, changed_ones.values())


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return _PRIVILEGES
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "somebody held a lock for too long"
    return type(error).__name__
