"""Sends requests at their times, whatever becomes of those before: an answer's time counts from when it was due.

This process has no core of its own, and so is late itself at times; how late is told, too: no answer waits for that.

`pace` says what is sent and what is made of the times.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

_HEAD_END = b"\r\n\r\n"
_ANSWERED_WITHIN_S = 60.0


@dataclass
class Answered:
    """How long the answers took, in seconds from when their requests were due, and how many were no 2xx.

    `late` is how long after that each request was sent, in the order of the answers.
    """

    seconds: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def from_sent(self) -> list[float]:
        """Return how long the answers took from when their requests were sent."""
        return [answered - late for answered, late in zip(self.seconds, self.late, strict=True)]


def share_ms(seconds: Sequence[float], share: float) -> float:
    """Return how long the fastest `share` of the answers took at most."""
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)


class _Connection(asyncio.Protocol):
    """A connection with one request at a time on it; back among the idle ones once that is answered."""

    def __init__(self, idle: list["_Connection"], answered: Answered) -> None:
        self._idle = idle
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._due = 0.0
        self._late = 0.0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this time of `time.perf_counter`: the loop knows whole ms only."""
        self._due, self._late, self._buffer = due, time.perf_counter() - due, b""
        if self._transport:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(_HEAD_END)
        if not found or len(body) < int((head.lower().partition(b"content-length:")[2].split() or [b"0"])[0]):
            return
        self._answered.seconds.append(time.perf_counter() - self._due)
        self._answered.late.append(self._late)
        self._answered.wrong += head.split(maxsplit=2)[1][:1] != b"2"
        self._idle.append(self)


def send(url: str, bodies: Sequence[tuple[str, bytes]], rate: float) -> Answered:
    """Send bodies (content type, bytes) as POSTs, `rate` a second.

    Raises:
        TimeoutError: a minute after the last one was due, not all are answered.
    """
    return uvloop.run(_send(url, [_request(url, *body) for body in bodies], rate))


async def _send(url: str, requests: Sequence[bytes], rate: float) -> Answered:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    idle: list[_Connection] = []
    answered = Answered()
    begin = time.perf_counter()
    for number, request in enumerate(requests):
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if not idle:
            _, made = await loop.create_connection(lambda: _Connection(idle, answered), host, port)
            made.send(request, due)
        else:
            idle.pop().send(request, due)
    async with asyncio.timeout(_ANSWERED_WITHIN_S):
        while len(answered.seconds) < len(requests):  # noqa: ASYNC110 - the answers come by themselves
            await asyncio.sleep(0.01)
    return answered


def _request(url: str, content_type: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + _HEAD_END + body
