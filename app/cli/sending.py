"""Sends bodies to a callback URL at a given rate and counts the answers.

What is sent is invented by the platforms' simulators; what is asked and shown is `simulate`'s.
"""

import asyncio
import heapq
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx2

Body = tuple[str, bytes]
"""Content type and content."""

_REPEATABLE = 200
_FURTHEST = 20
_TIMEOUT_S = 30.0


def arrange(bodies: Iterator[Body], count: int, *, repeats: float, shuffle: float, seed: int) -> Iterator[Body]:
    """Yield `count` bodies, of which a share are repeats of earlier ones and a share come later than their turn.

    The same arguments give the same order.
    """
    dice = random.Random(f"{seed}:order")  # noqa: S311 - a story, not a secret
    return _out_of_order(_with_repeats(bodies, count, repeats, dice), shuffle, dice)


def _with_repeats(bodies: Iterator[Body], count: int, share: float, dice: random.Random) -> Iterator[Body]:
    recent: deque[Body] = deque(maxlen=_REPEATABLE)
    for _ in range(count):
        if recent and dice.random() < share:
            yield recent[dice.randrange(len(recent))]
        else:
            recent.append(next(bodies))
            yield recent[-1]


def _out_of_order(bodies: Iterator[Body], share: float, dice: random.Random) -> Iterator[Body]:
    held: list[tuple[int, int, Body]] = []
    for position, body in enumerate(bodies):
        while held and held[0][0] <= position:
            yield heapq.heappop(held)[2]
        if dice.random() < share:
            heapq.heappush(held, (position + dice.randint(2, _FURTHEST), position, body))
        else:
            yield body
    while held:
        yield heapq.heappop(held)[2]


@dataclass
class Tally:
    """What came of the sending, also of one that was interrupted."""

    sent: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def acknowledged(self) -> int:
        """Return how many were answered with success."""
        return sum(number for status, number in self.answers.items() if 200 <= status < 300)  # noqa: PLR2004 - HTTP

    def latency_ms(self, share: float) -> float | None:
        """Return the time within which that share of the answers came, in milliseconds."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


async def send_all(
    url: str, bodies: Iterator[Body], tally: Tally, *, rate: float, concurrency: int, answered: Callable[[int], None]
) -> None:
    """Post each body at its time, `rate` a second, whether or not earlier ones were answered, up to `concurrency`.

    `answered` is told of each answer or failure.
    """
    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    began = time.monotonic()
    try:
        # No proxy of the environment: it is our own service that is called.
        async with (
            httpx2.AsyncClient(limits=limits, timeout=_TIMEOUT_S, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            gate = asyncio.Semaphore(concurrency)
            for number, body in enumerate(bodies):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                await gate.acquire()
                tally.sent += 1
                group.create_task(_send(client, url, body, tally, gate)).add_done_callback(lambda _: answered(1))
    finally:
        tally.seconds = time.monotonic() - began


async def _send(client: httpx2.AsyncClient, url: str, body: Body, tally: Tally, gate: asyncio.Semaphore) -> None:
    content_type, content = body
    began = time.monotonic()
    try:
        answer = await client.post(url, content=content, headers={"Content-Type": content_type})
        tally.answers[answer.status_code] += 1
        tally.latencies.append(time.monotonic() - began)
    except httpx2.HTTPError as error:
        tally.failures[type(error).__name__] += 1
    finally:
        gate.release()
