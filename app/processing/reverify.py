"""Has what is in quarantine for who sent it judged again, after a secret, a recipe or a check has changed.

Judging is the platforms' business and that of `sender_checks`, releasing the processor's; how deliveries get to it
stands in `second_looks`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from app.ingest.contract import Reason, Verdict
from app.processing.reading import ABOUT_WHO_SENT_IT
from app.processing.record_rows import Database
from app.processing.second_looks import Feeder

PAGE = 100

_Items: TypeAlias = Sequence[Mapping[str, Any]]

# An accepted item is judged better again too, if it is asked for: mode `observe` accepts what fits nothing.
_WAITING = """
SELECT o.delivery_id, o.items FROM outcomes o
WHERE o.source_id = %(source)s AND o.delivery_id > %(last)s AND o.delivery_id <= %(newest)s AND (
    o.status = ANY('{{quarantined,partial}}')
    AND (o.reason = %(refused)s
        OR EXISTS (SELECT FROM jsonb_array_elements(o.items) i WHERE i->>'reason' = ANY(%(reasons)s)))
    {or_accepted}
)
ORDER BY o.delivery_id LIMIT %(most)s
"""
_OR_ACCEPTED = """OR o.items @> '[{"verdict": "invalid", "status": "event"}]'"""


@dataclass(slots=True)
class Reverified:
    """What judging again gave; `remaining` are items by reason, of refused senders deliveries."""

    deliveries: int = 0
    released: int = 0
    raised: int = 0
    remaining: Counter[str] = field(default_factory=Counter)

    def note(self, before: _Items, after: _Items, reason: str | None = None) -> None:
        """Count what became of the items of one delivery, whose reason is its own now."""
        self.deliveries += 1
        if reason == Reason.SENDER_REFUSED:
            self.remaining[reason] += 1
        earlier = {item["index"]: item for item in before}
        for item in after:
            was = earlier.get(item["index"])
            if item["status"] != "event":
                if item["reason"] in ABOUT_WHO_SENT_IT or _was_waiting(was):
                    self.remaining[item["reason"]] += 1
            elif was is None or was["status"] != "event":
                self.released += 1
            elif was["verdict"] == Verdict.INVALID != item["verdict"]:
                self.raised += 1

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "deliveries": self.deliveries,
            "released": self.released,
            "raised": self.raised,
            "quarantined": dict(sorted(self.remaining.items())),
        }


def _was_waiting(item: Mapping[str, Any] | None) -> bool:
    return item is not None and item["status"] != "event" and item["reason"] in ABOUT_WHO_SENT_IT


def count_waiting(database: Database, source_id: UUID, *, accepted: bool = False) -> int:
    """Return how many deliveries `reverify` would judge again."""
    return sum(len(page) for page in _pages(database, source_id, accepted=accepted))


def reverify(database: Database, source_id: UUID, feeder: Feeder, *, accepted: bool = False) -> Reverified:
    """Have the deliveries of a source judged again that are in quarantine for their signature or their sender.

    With `accepted` also those that mode `observe` accepted although their signature fitted nothing. Their ids, and the
    ids of all that comes of them, stay what they are.

    Raises:
        SecondLookError: no processor is at work, or nothing moves.
    """
    feeder.settle()
    result = Reverified()
    for page in _pages(database, source_id, accepted=accepted):
        feeder.feed(list(page))
        rows = database.execute(
            "SELECT delivery_id, items, reason FROM outcomes WHERE delivery_id = ANY(%s) AND source_id = %s",
            (list(page), source_id),
        )
        for delivery_id, items, reason in rows.fetchall():
            result.note(page[delivery_id], items, reason)
    return result


def _pages(database: Database, source_id: UUID, *, accepted: bool) -> Iterator[dict[UUID, _Items]]:
    """Yield the deliveries to judge again with their items, each once; those that come meanwhile are not among them."""
    statement = _WAITING.format(or_accepted=_OR_ACCEPTED if accepted else "")
    # By the ids that there are, not by the clock: they lie ahead of it where it was set back since.
    row = database.execute("SELECT delivery_id FROM outcomes ORDER BY delivery_id DESC LIMIT 1").fetchone()
    last = UUID(int=0)
    values = {"source": source_id, "newest": row[0] if row else last, "refused": Reason.SENDER_REFUSED, "most": PAGE}
    values["reasons"] = sorted(ABOUT_WHO_SENT_IT)
    while rows := database.execute(statement, {**values, "last": last}).fetchall():
        yield dict(rows)
        last = rows[-1][0]
