"""What senders sent and were told, held against what is stored: the end of every drill."""

import http.client
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from tests.server.test_supervisor import until

ROUNDS = int(os.environ.get("DRILL_ROUNDS", "2"))
"""How often the killing drills kill: 20 in `make drills`."""
LONG = "DRILL_ROUNDS" in os.environ
"""Whether the drills run in their long form."""
ONLY_LONG = "long: make drills"

SENDERS = 8 if LONG else 4
PAUSE_S = 0.0 if LONG else 0.02
"""What a sender waits between two callbacks: the suite has other tests beside the drills."""
HANGING_S = 30.0 if LONG else 90.0
"""How long a sender waits for an answer before it counts as left hanging."""


@dataclass
class Ledger:
    """What senders sent and what they were told."""

    sent: int = 0
    acknowledged: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    cut_off: int = 0
    left_hanging: int = 0
    without_retry_after: int = 0
    """How many were refused for the time being and not told when to come again."""
    times: list[tuple[float, float]] = field(default_factory=list)
    """When each answer came (monotonic), and after how many seconds."""

    def check(self, stored: Iterable[str], drill: str) -> None:
        """Assert that each acknowledged delivery is stored exactly once and nobody was left hanging; say the count."""
        held = Counter(stored)
        lost = [one for one in self.acknowledged if one not in held]
        doubled = [one for one, times in held.items() if times > 1]
        told = Counter(self.acknowledged)
        line = (
            f"{drill}: sent {self.sent}, acknowledged {len(self.acknowledged)}, stored {held.total()},"
            f" lost {len(lost)}, doubled {len(doubled)}, refused {dict(self.refused)},"
            f" cut off {self.cut_off}, left hanging {self.left_hanging}"
        )
        print(f"\n{line}; {self.speed()}", flush=True)  # noqa: T201 - the ledger is what a drill is for
        assert self.acknowledged, line
        assert not lost, line
        assert not doubled, line
        assert max(told.values()) == 1, line
        assert not self.left_hanging, line
        assert not self.without_retry_after, line
        assert self.sent == len(self.acknowledged) + sum(self.refused.values()) + self.cut_off, line

    def speed(self) -> str:
        """Return how long answers took, in words."""
        return f"answered in {self.quantile(0.5):.3f} s (median), {self.quantile(1):.3f} s (longest)"

    def quantile(self, part: float, since: float = 0.0) -> float:
        """Return the seconds within which that part of the answers came, of those that came `since` then."""
        sorted_ = sorted(seconds for at, seconds in self.times if at >= since)
        return sorted_[min(int(len(sorted_) * part), len(sorted_) - 1)] if sorted_ else 0.0

    def longest_silence(self, since: float, to: float) -> float:
        """Return the longest time without any answer between two moments."""
        moments = [since, *sorted(at for at, _ in self.times if since <= at <= to), to]
        return max(after - before for before, after in pairwise(moments))


class Load:
    """Senders that post one callback after the other until told to stop.

    `pause` is what each waits between two, in seconds; `padding` makes its bodies larger by so many bytes.
    """

    def __init__(
        self, port: int, path: str, *, senders: int = SENDERS, pause: float = PAUSE_S, padding: int = 0
    ) -> None:
        self.ledger = Ledger()
        self._port = port
        self._path = path
        self._pause = pause
        self._padding = "x" * padding
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._senders = [threading.Thread(target=self._send_all, args=(number,)) for number in range(senders)]

    def __enter__(self) -> Self:
        until(self._is_known, "the callback URL to be known")
        for sender in self._senders:
            sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for sender in self._senders:
            sender.join(2 * HANGING_S)
            assert not sender.is_alive(), "a sender was left hanging"

    def _is_known(self) -> bool:
        """Try the callback URL with a probe, which brings nothing."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=HANGING_S)) as connection:
            connection.request("GET", self._path)
            return connection.getresponse().status == 204

    def _send_all(self, sender: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            lead = {"id": f"lead-{sender}-{number}", "prospect": {"first_name": "Marieke"}, "remark": self._padding}
            with self._lock:
                self.ledger.sent += 1
            if not self._send(json.dumps(lead)):
                time.sleep(0.02)
            time.sleep(self._pause)

    def _send(self, body: str) -> bool:
        """Send one; tell whether there was an answer."""
        began = time.monotonic()
        ledger = self.ledger
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=HANGING_S)) as connection:
                connection.request("POST", self._path, body)
                answer = connection.getresponse()
                content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                ledger.cut_off += 1
                ledger.left_hanging += isinstance(error, TimeoutError)
            return False
        with self._lock:
            ledger.times.append((time.monotonic(), time.monotonic() - began))
            if answer.status == 200:
                ledger.acknowledged.append(json.loads(content)["id"])
            else:
                ledger.refused[answer.status] += 1
                ledger.without_retry_after += answer.status == 503 and not answer.headers.get("Retry-After")
        return answer.status == 200

    def wait_for_more(self, count: int = 30) -> None:
        """Wait until so many more were acknowledged."""
        before = len(self.ledger.acknowledged)
        until(lambda: len(self.ledger.acknowledged) >= before + count, f"{count} more acknowledgements")

    def wait_for_refusals(self, count: int = 10) -> None:
        """Wait until so many more were refused for the time being."""
        before = self.ledger.refused[503]
        until(lambda: self.ledger.refused[503] >= before + count, f"{count} more refusals")
