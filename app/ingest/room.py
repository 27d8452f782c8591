"""Bounds the bytes that all requests in flight hold together.

What is answered where there is no room is the receiver's business.
"""

import time
from typing import Self

from app import metrics

REQUEST_COST = 8 * 1024
"""What a request holds in memory beside its body, roughly."""

SHOWN_EVERY_S = 0.5


class FullError(Exception):
    """There is no room left."""


class Room:
    """Counts the bytes of the requests in flight against their bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._shown = 0
        self._shown_at = 0.0

    def share(self) -> "Share":
        """Return the share of one request, to be entered; what it took is given back at the end.

        Raises, when entered:
            FullError: there is no room for another request.
        """
        return Share(self)

    def take(self, size: int) -> None:
        """Take room; raise FullError where there is none."""
        if self._held + size > self._limit:
            raise FullError
        self._held += size
        self._show()

    def give_back(self, size: int) -> None:
        """Give room back."""
        self._held -= size
        self._show()

    def _show(self) -> None:
        """Show what is held: at once when that is nothing, else now and then, for it costs as much as the counting."""
        if self._held == self._shown:
            return
        now = time.monotonic()
        if not self._held or now - self._shown_at >= SHOWN_EVERY_S:
            self._shown, self._shown_at = self._held, now
            metrics.IN_FLIGHT_BYTES.set(self._held)


class Share:
    """What one request holds of the room."""

    __slots__ = ("_room", "held")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.held = 0

    def __enter__(self) -> Self:
        self.take(REQUEST_COST)
        return self

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self.held)

    def take(self, size: int) -> None:
        """Take more room; raise FullError where there is none."""
        self._room.take(size)
        self.held += size
