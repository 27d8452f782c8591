"""Bounds how often a key asks, in each process, and tells it so in the headers of every answer.

Who a key is, is found out in `access`. Callbacks know no such bound.
"""

import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import Problem

WINDOW_S: Final = 60
MOST: Final = 30_000
"""Questions of a key within the window: far above what a dashboard asks, below what a runaway loop does."""

_POLICY: Final = f'"key";q={MOST};w={WINDOW_S}'
_STATE: Final = "rate"
_MOST_KEYS: Final = 10_000


class TooManyRequests(Problem):
    """The key has asked too often in the last minute. Wait for as many seconds as `Retry-After` says."""

    status = 429
    code = "too-many-requests"
    title = "Too many requests"


@dataclass(slots=True)
class Limiter:
    """A bucket for each key, that fills up evenly and is full after one window."""

    most: int = MOST
    _left: dict[UUID, tuple[float, float]] = field(default_factory=dict)

    def take(self, key_id: UUID, moment: float) -> float:
        """Take one question of a key at `moment` (of a clock that only rises); return how many are left, below 0 none.

        A refused question costs nothing.
        """
        left, before = self._left.get(key_id, (float(self.most), moment))
        left = min(self.most, left + (moment - before) * self.most / WINDOW_S) - 1
        if len(self._left) >= _MOST_KEYS and key_id not in self._left:
            self._left.clear()  # more keys than there can be: rather all full than no bound of memory
        self._left[key_id] = (left if left >= 0 else left + 1, moment)
        return left


def check_rate(request: Request, limiter: Limiter, key_id: UUID) -> None:
    """Count a question of a key.

    Raises:
        TooManyRequests: it was one too many.
    """
    left = limiter.take(key_id, time.monotonic())
    until_full = max(0, round((limiter.most - max(left, 0)) * WINDOW_S / limiter.most))
    setattr(request.state, _STATE, f'"key";r={max(0, int(left))};t={until_full}')
    if left < 0:
        raise TooManyRequests(headers={"Retry-After": str(max(1, round(-left * WINDOW_S / limiter.most)))})


class RateHeadersMiddleware:
    """Put `RateLimit` and `RateLimit-Policy` into the answer to whoever was counted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_with_rate(message: Message) -> None:
            if message["type"] == "http.response.start" and _STATE in state:
                headers = MutableHeaders(scope=message)
                headers["RateLimit"] = state[_STATE]
                headers["RateLimit-Policy"] = _POLICY
            await send(message)

        await self._app(scope, receive, send_with_rate)
