"""Has the active processor take stored deliveries up again, a few at a time, so that live ones are not kept waiting.

Which deliveries is settled in `selection`, `reverify` and `rebuild`; processing them is `processor`'s business alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from app.processing.processor import BATCH_DELIVERIES
from app.processing.record_rows import Database
from app.processing.work import ACTIVE_LOCK, STANDBY_S

MOST_AT_ONCE = 100
MOST_BYTES_AT_ONCE = 4 << 20
PATIENCE = timedelta(seconds=60)

_TAKEOVER_S = 10 * STANDBY_S
_RESTART_S = 3 * _TAKEOVER_S
_LOOK_S = 0.02
_ASK_ACTIVE_S = 1.0
_SHORTEST_WAY_S = 0.1

_IS_ACTIVE = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = %s
)
"""

_PUT_BACK = """
INSERT INTO inbox (delivery_id, source_id)
SELECT id, source_id FROM deliveries WHERE id = ANY(%s) ORDER BY id
ON CONFLICT DO NOTHING
"""

Told = Callable[[int], None]
"""Is told how many more deliveries are done."""


class SecondLookError(Exception):
    """What was begun could not be finished; the text says why and what to do."""


def is_processor_active(database: Database) -> bool:
    """Tell whether a processor is at work on this database."""
    row = database.execute(_IS_ACTIVE, (ACTIVE_LOCK,)).fetchone()
    return bool(row and row[0])


def put_back(database: Database, ids: Sequence[UUID]) -> None:
    """Put deliveries into the inbox again, all at once; those that wait there already stay as they are."""
    database.execute(_PUT_BACK, (list(ids),))


class Feeder:
    """Feeds stored deliveries to the processor and waits until it has processed them.

    The inbox is taken in the order of ids, so that old deliveries come before live ones. So only a few are put there at
    a time, and after each few the live ones have their turn. `patience` is how long nothing at all may move.
    """

    def __init__(self, database: Database, *, patience: timedelta = PATIENCE, told: Told = lambda _: None) -> None:
        self._database = database
        self._patience = patience.total_seconds()
        self._told = told

    def settle(self) -> None:
        """Wait until what the processor has in hand now, perhaps by an earlier reading of the sources, is done.

        Raises:
            SecondLookError: no processor is at work, or nothing moves.
        """
        rows = self._database.execute(
            "SELECT delivery_id FROM inbox ORDER BY delivery_id LIMIT %s", (BATCH_DELIVERIES,)
        )
        self.wait([row[0] for row in rows])

    def feed(self, ids: Sequence[UUID]) -> None:
        """Have deliveries processed again.

        Raises:
            SecondLookError: no processor is at work, or nothing moves; what was put into the inbox stays there.
        """
        self._see_processor()
        for portion in portions(self._database, ids):
            begun = time.monotonic()
            put_back(self._database, portion)
            self.wait(portion)
            self._told(len(portion))
            self.give_way(time.monotonic() - begun)

    def wait(self, ids: Sequence[UUID]) -> None:
        """Wait until deliveries have left the inbox.

        Raises:
            SecondLookError: no processor is at work, or nothing moves.
        """
        seen: object = None
        moved_at = asked_at = time.monotonic()
        while (waiting := self._still_waiting(ids))[0]:
            now = time.monotonic()
            if waiting != seen:
                seen, moved_at = waiting, now
            elif now - moved_at > self._patience:
                raise SecondLookError(
                    f"the processor has done nothing for {self._patience:.0f} s; {waiting[0]} deliveries wait in the"
                    " inbox and are processed as soon as it goes on"
                )
            if now - asked_at > _ASK_ACTIVE_S:
                self._see_processor(waiting[0])
                asked_at = time.monotonic()
            time.sleep(_LOOK_S)

    def give_way(self, seconds: float) -> None:
        """Let what came meanwhile be processed first, for as long as the last few took at most."""
        end = time.monotonic() + max(seconds, _SHORTEST_WAY_S)
        while time.monotonic() < end and self._database.execute("SELECT 1 FROM inbox LIMIT 1").fetchone():
            time.sleep(_LOOK_S)

    def _see_processor(self, waiting: int = 0) -> None:
        """Raise SecondLookError if no processor is active, nor becomes so in the time in which one is started anew."""
        end = time.monotonic() + min(_RESTART_S if waiting else _TAKEOVER_S, self._patience)
        while not is_processor_active(self._database):
            if time.monotonic() > end:
                left = (
                    f"; {waiting} deliveries wait in the inbox and are processed as soon as one is" if waiting else ""
                )
                raise SecondLookError(f"no processor is running: start `callbox serve` or `callbox work`{left}")
            time.sleep(_LOOK_S)

    def _still_waiting(self, ids: Sequence[UUID]) -> tuple[int, UUID | None]:
        """Return how many of the deliveries are in the inbox, and what is first in it: that moves while others wait."""
        row = self._database.execute(
            "SELECT (SELECT count(*) FROM inbox WHERE delivery_id = ANY(%s)),"
            " (SELECT delivery_id FROM inbox ORDER BY delivery_id LIMIT 1)",
            (list(ids),),
        ).fetchone()
        return (row[0], row[1]) if row else (0, None)


def portions(database: Database, ids: Sequence[UUID]) -> Iterator[list[UUID]]:
    """Yield those of the deliveries that exist, lowest id first, a few at a time, bounded in number and bytes."""
    for start in range(0, len(ids), 10 * MOST_AT_ONCE):
        portion: list[UUID] = []
        size = 0
        rows = database.execute(
            "SELECT id, size FROM deliveries WHERE id = ANY(%s) ORDER BY id",
            (list(ids[start : start + 10 * MOST_AT_ONCE]),),
        )
        for delivery_id, bytes_ in rows.fetchall():
            if portion and (len(portion) == MOST_AT_ONCE or size + bytes_ > MOST_BYTES_AT_ONCE):
                yield portion
                portion, size = [], 0
            portion.append(delivery_id)
            size += bytes_
        if portion:
            yield portion
