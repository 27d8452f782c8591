"""Counts what was kept, for all that one turn of the loop answers together: to count each alone costs far more.

What is measured is `app.metrics`' business.
"""

import asyncio
from collections import Counter

from app import metrics
from app.ingest.answers import Answer


class Tally:
    """What was kept since the measures were last told, which is in the loop's next turn."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, Answer, float]] = []

    def note(self, provider: str, answer: Answer, seconds: float) -> None:
        """Count a delivery that was kept `seconds` after its last byte came."""
        if not self._kept:
            asyncio.get_running_loop().call_soon(self._tell)
        self._kept.append((provider, answer, seconds))

    def _tell(self) -> None:
        kept, self._kept = self._kept, []
        metrics.ACKNOWLEDGEMENT_SECONDS.observe_all([seconds for _, _, seconds in kept])
        kinds = Counter((provider, answer.verdict, answer.status, answer.reason) for provider, answer, _ in kept)
        for (provider, verdict, status, reason), number in kinds.items():
            metrics.DELIVERIES.labels(provider, verdict, str(status)).inc(number)
            if reason is not None:
                metrics.QUARANTINED.labels(provider, reason).inc(number)
