"""Bounds the bytes that all requests in flight hold together.

What is answered where there is no room is the receiver's business.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from app import metrics

REQUEST_COST = 8 * 1024
"""What a request holds in memory beside its body, roughly."""


class FullError(Exception):
    """There is no room left."""


class Room:
    """Counts the bytes of the requests in flight against their bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Open the share of one request; what it took is given back at the end."""
        share = Share(self)
        try:
            share.take(REQUEST_COST)
            yield share
        finally:
            self._held -= share.held
            metrics.IN_FLIGHT_BYTES.set(self._held)

    def take(self, size: int) -> None:
        """Take room; raise FullError where there is none."""
        if self._held + size > self._limit:
            raise FullError
        self._held += size


class Share:
    """What one request holds of the room."""

    __slots__ = ("_room", "held")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.held = 0

    def take(self, size: int) -> None:
        """Take more room; raise FullError where there is none."""
        self._room.take(size)
        self.held += size
