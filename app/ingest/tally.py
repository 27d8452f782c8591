"""Counts what was kept and committed, for all of a tenth of a second together: to count each alone costs far more.

What is measured is `app.metrics`' business.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from app import metrics
from app.ingest.answers import Answer

TOLD_EVERY_S: Final = 0.1


class Kept(NamedTuple):
    """A delivery that was kept so many seconds after its last byte came."""

    provider: str
    answer: Answer
    seconds: float


class Committed(NamedTuple):
    """A commit of so many rows."""

    rows: int
    seconds: float


Noted = TypeVar("Noted")


class Tally(Generic[Noted]):
    """What happened since the measures were last told: at once where that is a while ago, else a moment later."""

    def __init__(self, tell: Callable[[Sequence[Noted]], None]) -> None:
        self._told = tell
        self._noted: list[Noted] = []
        self._told_at = -TOLD_EVERY_S

    def note(self, one: Noted) -> None:
        """Have something counted."""
        if not self._noted:
            loop = asyncio.get_running_loop()
            self._told_at = max(loop.time(), self._told_at + TOLD_EVERY_S)
            loop.call_at(self._told_at, self.tell)
        self._noted.append(one)

    def tell(self) -> None:
        """Tell the measures all that they were not told yet."""
        noted, self._noted = self._noted, []
        if noted:
            self._told(noted)


def tell_kept(kept: Sequence[Kept]) -> None:
    """Count deliveries."""
    metrics.ACKNOWLEDGEMENT_SECONDS.observe_all([one.seconds for one in kept])
    kinds = Counter((one.provider, one.answer.verdict, one.answer.status, one.answer.reason) for one in kept)
    for (provider, verdict, status, reason), number in kinds.items():
        metrics.DELIVERIES.labels(provider, verdict, str(status)).inc(number)
        if reason is not None:
            metrics.QUARANTINED.labels(provider, reason).inc(number)


def tell_committed(commits: Sequence[Committed]) -> None:
    """Count commits."""
    metrics.COMMIT_SECONDS.observe_all([one.seconds for one in commits])
    metrics.BATCH_ROWS.observe_all([one.rows for one in commits])
