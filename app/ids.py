"""Makes and takes apart the ids of Callbox: UUIDv7, whose first 48 bits are milliseconds since 1970.

Also joins the names that platforms identify things by. Which id or name belongs to which row is the business of the
rooms that write rows.
"""

import hashlib
import json
import threading
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from app.times import from_epoch_ms, to_epoch_ms

_BETWEEN = "\x1f"
_RANDOM_BITS = 62
_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_MIN = UUID(int=0)
_LAST_MS = to_epoch_ms(datetime.max.replace(tzinfo=UTC))
"""An id that nobody made here may name a later moment than there is."""


class IdSource:
    """One generator a process: its ids rise strictly, also when the clock steps back."""

    def __init__(self, not_behind: UUID = _MIN) -> None:
        self._last = not_behind
        self._lock = threading.Lock()

    def not_behind(self, other: UUID) -> None:
        """Continue above `other`, an id found in the database or the spool."""
        with self._lock:
            self._last = max(self._last, other)

    def next(self) -> UUID:
        """Return a new id above every earlier one."""
        with self._lock:
            fresh: UUID = uuid7()
            self._last = fresh if fresh > self._last else _successor(self._last)
            return self._last


def _successor(last: UUID) -> UUID:
    """Return the next UUIDv7 above `last`: the counter is the random part, carried into the milliseconds."""
    low = (last.int & ((1 << _RANDOM_BITS) - 1)) + 1
    millis = last.int >> 80
    high12 = (last.int >> 64) & 0xFFF
    if low >> _RANDOM_BITS:
        low, high12 = 0, high12 + 1
    if high12 > 0xFFF:  # noqa: PLR2004 - twelve bits
        high12, millis = 0, millis + 1
    return UUID(int=(millis << 80) | (high12 << 64) | _VERSION_AND_VARIANT | low)


def derived_id(parent: UUID, *names: str | int) -> UUID:
    """Return the UUIDv7 with the time of `parent` whose other bits come from SHA-256 of `parent` and `names`.

    The same arguments always give the same id, so recomputing never makes a new one.
    """
    digest = hashlib.sha256(parent.bytes + _BETWEEN.join(map(str, names)).encode()).digest()
    millis = parent.int >> 80
    bits = int.from_bytes(digest[:10], "big")
    rand = ((bits >> 62) & 0xFFF) << 64 | (bits & ((1 << _RANDOM_BITS) - 1))
    return UUID(int=(millis << 80) | _VERSION_AND_VARIANT | rand)


def joined(*names: str) -> str:
    """Return names as one text that no others of their number give.

    U+001F stands between them; where one before the last has it, it is JSON.
    """
    return json.dumps(names) if _BETWEEN in "".join(names[:-1]) else _BETWEEN.join(names)


def time_of(some_id: UUID) -> datetime:
    """Return the moment an id was made, in UTC with milliseconds."""
    return from_epoch_ms(min(some_id.int >> 80, _LAST_MS))


def first_id_at(moment: datetime) -> UUID:
    """Return the lowest id that could be made at `moment`; the bound for filters and partitions by time."""
    return UUID(int=max(0, min(to_epoch_ms(moment), (1 << 48) - 1)) << 80)
