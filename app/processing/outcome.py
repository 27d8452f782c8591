"""Says what came of a delivery, and writes it down.

What came of its items as events is `batch`'s business.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from app.ingest.contract import Reason, Verdict
from app.ingest.judged import unpack
from app.processing.arrays import INT8S, JSONS, TEXTS, UUIDS, arrays, unnested
from app.processing.reading import Delivery, Read, brokers_of
from app.processing.record_rows import Database


@dataclass(slots=True)
class Outcome:
    """A row of `outcomes`; `seq` is None until it has its place in the feed."""

    delivery_id: UUID
    source_id: UUID
    status: str
    verdict: str
    reason: str | None
    items: Sequence[Mapping[str, Any]]
    brokers: Sequence[str]
    seq: int | None


def outcome_of(read: Read, seq: int | None, earlier: Sequence[Mapping[str, Any]] = ()) -> Outcome:
    """Return what came of a delivery: `accepted`, `partial` or `quarantined`, with its first reason.

    `earlier` are the items of an earlier processing: of these, what is an event and cannot be read any more stays one.
    """
    delivery = read.delivery
    if (kept := delivery.kept) is not None:
        brokers = [kept.broker] if kept.broker else []
        return Outcome(delivery.id, delivery.source_id, "accepted", Verdict.CONFIRMED, None, (), brokers, seq)
    items = _with_kept(read, earlier)
    events = sum(item["status"] == "event" for item in items)
    whole = events == len(items) and read.reason is None
    status = "quarantined" if not events else "accepted" if whole else "partial"
    reasons = [item["reason"] for item in items if item["status"] != "event"]
    reason = read.reason or (reasons[0] if reasons else None)
    verdicts = [item.item.verdict for item in read.items]
    worst = max(verdicts, key=lambda verdict: verdict.rank) if verdicts else _verdict_at_receipt(delivery)
    return Outcome(delivery.id, delivery.source_id, status, worst, reason, items, brokers_of(read), seq)


def _with_kept(read: Read, earlier: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not earlier:
        return [item.as_json() for item in read.items]
    items: dict[int, Mapping[str, Any]] = {item.item.index: item.as_json() for item in read.items}
    for was in earlier:
        if was["status"] == "event" and items.get(was["index"], {}).get("status") != "event":
            items[was["index"]] = was
    return [items[index] for index in sorted(items)]


def failed_outcome(delivery: Delivery, seq: int | None, items: Sequence[Mapping[str, Any]]) -> Outcome:
    """Return the outcome of a delivery whose processing failed too often; `items` is what an earlier one gave."""
    status = "partial" if any(item["status"] == "event" for item in items) else "quarantined"
    verdict = _verdict_at_receipt(delivery)
    return Outcome(delivery.id, delivery.source_id, status, verdict, Reason.PROCESSING_FAILED, items, (), seq)


def _verdict_at_receipt(delivery: Delivery) -> str:
    return max((verdict for verdict, _ in unpack(delivery.judged)), key=lambda one: one.rank, default=Verdict.UNSIGNED)


FEED: Final = "callbox_feed"
"""The channel on which each batch is announced, without content."""

_COLUMNS: Final = ("delivery_id", "source_id", "seq", "status", "verdict", "reason", "items", "brokers")
_TYPES: Final = (UUIDS, UUIDS, INT8S, TEXTS, TEXTS, TEXTS, JSONS, JSONS)
_INSERT: Final = f"""
INSERT INTO outcomes (delivery_id, source_id, seq, status, verdict, reason, items, brokers, processed_at)
SELECT o.delivery_id, o.source_id, o.seq, o.status, o.verdict, o.reason, o.items,
    ARRAY(SELECT jsonb_array_elements_text(o.brokers)), clock_timestamp()
FROM {unnested(_COLUMNS, _TYPES)} AS o
"""  # noqa: S608 - the types are our own
_OVER: Final = """
ON CONFLICT (delivery_id, source_id) DO UPDATE SET status = EXCLUDED.status, verdict = EXCLUDED.verdict,
    reason = EXCLUDED.reason, items = EXCLUDED.items, brokers = EXCLUDED.brokers, processed_at = EXCLUDED.processed_at
"""
# One statement: each way to the server and back costs as much as a row.
_WRITE: Final = f"""
WITH done AS (DELETE FROM inbox WHERE delivery_id = ANY(%s::uuid[])), written AS ({{insert}})
SELECT pg_notify('{FEED}', '')
"""  # noqa: S608 - the name is our own
_STATEMENTS: Final = ((_WRITE.format(insert=_INSERT), False), (_WRITE.format(insert=_INSERT + _OVER), True))


_values: Final = attrgetter(*_COLUMNS)


def write_outcomes(database: Database, outcomes: Sequence[Outcome], known: Collection[UUID]) -> None:
    """Write outcomes, over earlier ones where the delivery is `known`, take them out of the inbox, and announce it."""
    for statement, are_known in _STATEMENTS:  # as events are, see `event_rows`
        if some := [_values(one) for one in outcomes if (one.delivery_id in known) is are_known]:
            written = arrays(_TYPES, some)
            database.execute(statement, (written[0], *written))
