"""Tells whose fault an error is, and remembers what is therefore tried alone, or only after a rest.

No error says for certain that a delivery is to blame for a connection that broke: a server that ends looks the same.
So it is blamed only for what happened while it was tried alone, again, on a connection that had been well for longer
than such a try takes. A server that comes and goes meets that for the same delivery three times as good as never.
"""

import time
import traceback
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from app.storage.database import is_outdated

MOST_ATTEMPTS: Final = 3
FIRST_REST_S: Final = 5.0
_LONGEST_S: Final = 60.0
_LONGEST_AFTER_SLOW_S: Final = 300.0
_SLOWER: Final = 10
"""Rests last so many times what the try took: nine tenths of the time are the others'."""

_MOST_RESTING: Final = 50


class Fault(Enum):
    """Whose fault an error is."""

    EVERYONES = auto()
    """The database is away, full, read-only or being changed: nothing can be processed."""
    BROKEN = auto()
    """The connection broke, for whatever reason."""
    NOBODYS = auto()
    """Somebody holds a lock, a page is corrupt, memory is short: others may fare better."""
    DOUBTFUL = auto()
    """It took too long, or PostgreSQL failed in itself."""
    ITS_OWN = auto()
    """All else."""


_ENDED: Final = ("53", "58", "57P02", "57P03")
"""SQLSTATEs of a server that ends for reasons of its own: no room, a broken disk, a crash of another process."""
_NOBODYS: Final = ("40", "53200", "53400", "55", "58", "XX001", "XX002")
_EVERYONES: Final = ("25", "42", "53", "57P")
_DOUBTFUL: Final = ("57014", "XX")


def fault_of(error: Exception, *, is_closed: bool) -> Fault:
    """Tell whose fault an error is, after which the connection `is_closed` or not."""
    if not isinstance(error, psycopg.Error):
        return Fault.ITS_OWN
    state = error.sqlstate or ""
    if is_closed:
        return Fault.EVERYONES if state.startswith(_ENDED) else Fault.BROKEN
    if state.startswith(_NOBODYS):
        return Fault.NOBODYS
    if state.startswith(_EVERYONES) or is_outdated(error):
        return Fault.EVERYONES
    return Fault.DOUBTFUL if state.startswith(_DOUBTFUL) else Fault.ITS_OWN


def described(error: Exception) -> dict[str, str]:
    """Return what may be logged of an error: its kind and place, not its text, which may hold a person."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "at": f"{Path(frame.filename).name}:{frame.lineno}"}


class Doubts:
    """What is tried alone, and what rests: deliveries by their ids, other work by its name. Outlives connections."""

    def __init__(self) -> None:
        self._alone: set[UUID] = set()
        self._rests: dict[UUID | str, tuple[int, float]] = {}
        self._connected_at = time.monotonic()

    def connected(self) -> None:
        """Be told that there is a new connection: whatever rests goes on doing so until it has stood for a while."""
        self._connected_at = time.monotonic()

    @property
    def _has_stood(self) -> bool:
        """Tell whether the connection has been well for a while."""
        return time.monotonic() - self._connected_at >= FIRST_REST_S

    @property
    def is_full(self) -> bool:
        """Tell whether so much rests that the trouble must be everyone's."""
        return len(self._rests) >= _MOST_RESTING

    def settle(self, fault: Fault, ids: Sequence[UUID], attempts: int, seconds: float) -> bool:
        """Settle what is tried alone, or later, after a try failed; tell whether it counts as an attempt of theirs.

        `attempts` were made before; it took so many `seconds`.
        """
        is_given_up = attempts >= MOST_ATTEMPTS  # and not even that could be written
        counts = is_given_up or fault in (Fault.DOUBTFUL, Fault.ITS_OWN)
        if len(ids) > 1 or not (attempts or self.is_alone(ids[0])):
            self._alone.update(ids)
            return counts
        counts = counts or (fault is Fault.BROKEN and self._has_stood)
        if counts and attempts + 1 == MOST_ATTEMPTS:
            self.forget(ids)
        elif is_given_up or fault is not Fault.ITS_OWN:
            self.put_off(ids[0], seconds)
        return counts

    def is_alone(self, delivery_id: UUID) -> bool:
        """Tell whether a delivery is tried alone."""
        return delivery_id in self._alone or delivery_id in self._rests

    def put_off(self, one: UUID | str, seconds: float) -> None:
        """Have something rest, for longer each time, after a try that took so long."""
        tries, _ = self._rests.get(one, (0, 0.0))
        rest = max(min(FIRST_REST_S * 2**tries, _LONGEST_S), min(_SLOWER * seconds, _LONGEST_AFTER_SLOW_S))
        self._rests[one] = (tries + 1, time.monotonic() + rest)

    def is_resting(self, one: UUID | str) -> bool:
        """Tell whether something is not to be tried now."""
        found = self._rests.get(one)
        return found is not None and (not self._has_stood or time.monotonic() < found[1])

    def resting(self) -> list[UUID]:
        """Return the deliveries that are not to be tried now."""
        return [one for one in self._rests if isinstance(one, UUID) and self.is_resting(one)]

    def forget(self, ids: Iterable[UUID | str]) -> None:
        """Be told that nothing is wrong with these any more, or that they are given up."""
        for one in ids if self._rests or self._alone else ():
            self._rests.pop(one, None)
            if isinstance(one, UUID):
                self._alone.discard(one)

    def forget_alone(self) -> None:
        """Be told that nothing waits but what rests."""
        self._alone.clear()
