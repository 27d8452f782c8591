"""Reads a stored delivery again: its items, their verdicts, and what each says.

What becomes of that is settled in `projection` and `processor`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any
from uuid import UUID

from app.ids import derived_id
from app.ingest.bodies import decoded_body
from app.ingest.contract import Findings, Item, Provider, Reason, Receipt, Source, Statement, Verdict
from app.ingest.judged import unpack
from app.ingest.sender_checks import Sender, find_refusal
from app.processing.identity import bounded_key
from app.processing.pulls import PULL, PUSH, Kept

ABOUT_WHO_SENT_IT = frozenset(
    {Reason.INVALID_SIGNATURE, Reason.SIGNATURE_MISSING, Reason.SIGNATURE_UNPROVEN, Reason.SENDER_REFUSED}
)
TYPE_CHARACTERS = 200
MOST_BYTES = 1 << 30
"""The bound when a stored body is decoded again; at receipt it was held to what CALLBOX_MAX_BODY_BYTES was then."""


@dataclass(slots=True)
class Delivery:
    """A delivery as it lies in the database, with what is needed to read it.

    `refused` is the sender of one that was refused for it at receipt; `kept` what a pulled one is that holds no item.
    """

    id: UUID
    source_id: UUID
    received_at: datetime
    judged: bytes
    content_type: str
    content_encoding: str
    body: bytes
    body_sha256: bytes
    token_id: UUID | None = None
    refused: Sender | None = None
    via: int = PUSH
    kept: Kept | None = None


@dataclass(slots=True)
class ReadItem:
    """One item after reading: an event to be (`statement`) or in quarantine (`reason`).

    `fits_today`: its signature fits today's recipe, whatever was judged of it earlier.
    """

    event_id: UUID
    item: Item
    statement: Statement | None
    fits_today: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the delivery's `items`."""
        accepted = self.statement is not None
        return {
            "index": self.item.index,
            "key": self.item.key,
            "subject": self.statement.subject if self.statement else self.item.subject,
            "verdict": self.item.verdict,
            "status": "event" if accepted else "quarantined",
            "reason": None if accepted else self.item.reason,
            "event_id": str(self.event_id) if accepted else None,
        }


@dataclass(slots=True)
class Read:
    """What reading a delivery gave: items, or the reason why there are none. `size` is the decompressed body's."""

    delivery: Delivery
    items: tuple[ReadItem, ...] = ()
    reason: Reason | None = None
    size: int = 0


def read_delivery(
    delivery: Delivery,
    source: Source,
    provider: Provider,
    zone: tzinfo,
    *,
    accepted_before: frozenset[int] = frozenset(),
) -> Read:
    """Read a delivery by today's reader and today's secrets.

    What was accepted, at receipt or by an earlier processing (`accepted_before`, item numbers), stays accepted whatever
    secrets were revoked since; a better verdict than before is taken over. A sender who was refused at receipt is
    checked again, one who was not is not.
    """
    if delivery.kept is not None:
        return Read(delivery)
    if delivery.refused is not None and not accepted_before and find_refusal(source, delivery.refused, delivery.body):
        return Read(delivery, reason=Reason.SENDER_REFUSED)
    body = decoded_body(delivery.body, delivery.content_encoding, MOST_BYTES)
    if body is None:
        return Read(delivery, reason=Reason.NOT_JSON)
    findings = provider.find(body, delivery.content_type, source, delivery.received_at)
    if findings.reason is not None:
        return Read(delivery, reason=findings.reason)
    fits_today = [item.verdict is Verdict.VERIFIED for item in findings.items]
    if delivery.via == PULL:
        findings = _from_the_platform(findings)
    receipt = Receipt(delivery.id, delivery.received_at, zone, delivery.body_sha256)
    items = _with_earlier_verdicts(findings, delivery.judged, accepted_before)
    return Read(
        delivery,
        tuple(
            ReadItem(
                derived_id(delivery.id, item.index),
                item,
                bounded(provider.read(item, source, receipt)) if item.reason is None else None,
                fits,
            )
            for item, fits in zip(items, fits_today, strict=True)
        ),
        size=len(body),
    )


def _with_earlier_verdicts(findings: Findings, judged: bytes, accepted_before: frozenset[int]) -> list[Item]:
    """Return the items with the better of both judgements: the one at receipt and today's."""
    at_receipt = unpack(judged)
    if len(at_receipt) != len(findings.items):  # the reader finds items otherwise than it did then
        at_receipt = []
    items = []
    for item in findings.items:
        verdict, was_quarantined = at_receipt[item.index] if at_receipt else (item.verdict, True)
        reason = item.reason
        if reason in ABOUT_WHO_SENT_IT and (not was_quarantined or item.index in accepted_before):
            reason = None
        if verdict is not item.verdict:
            verdict = min(item.verdict, verdict, key=_rank)
        is_as_judged = verdict is item.verdict and reason is item.reason
        items.append(item if is_as_judged else replace(item, verdict=verdict, reason=reason))
    return items


def _from_the_platform(findings: Findings) -> Findings:
    """Return the items of a pull: the platform itself was asked, so no signature can speak against them."""
    items = [
        replace(
            item,
            verdict=min(item.verdict, Verdict.CONFIRMED, key=_rank),
            reason=None if item.reason in ABOUT_WHO_SENT_IT else item.reason,
        )
        for item in findings.items
    ]
    return replace(findings, items=items)


def _rank(verdict: Verdict) -> int:
    return verdict.rank


def bounded(statement: Statement) -> Statement:
    """Cut what stands in indexes, so that no platform's text can be refused there."""
    named = statement.subject, statement.type, statement.broker
    subject, type_, broker = bounded_key(named[0]), named[1][:TYPE_CHARACTERS], _bounded_broker(named[2])
    if (subject, type_, broker) == named:
        return statement
    return replace(statement, subject=subject, type=type_, broker=broker)


def _bounded_broker(broker: str | None) -> str | None:
    return None if broker is None else bounded_key(broker)


def brokers_of(read: Read) -> list[str]:
    """Return the brokers that a delivery's items name; one item without a broker makes it nobody's."""
    named = {item.statement.broker if item.statement else _bounded_broker(item.item.broker) for item in read.items}
    return sorted(broker for broker in named if broker) if named and None not in named else []
