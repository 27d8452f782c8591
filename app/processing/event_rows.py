"""Writes events: new ones, and those that today's reader reads otherwise than it did.

What an event says about records is brought there by `projection`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.ingest.contract import Statement, Verdict
from app.processing.projection import Event, changes_json
from app.processing.record_rows import Database


@dataclass(slots=True)
class EventRow:
    """An event as it is to be written, and as it stands if it was written before (`known`)."""

    id: UUID
    source_id: UUID
    delivery_id: UUID
    index: int
    key: str
    received_at: datetime
    statement: Statement
    verdict: Verdict
    warnings: Sequence[Mapping[str, str]]
    parts: Sequence[Mapping[str, Any]]
    known: Mapping[str, Any] | None
    token_id: UUID | None = None
    seq: int | None = None
    duplicate_of: UUID | None = None

    def __post_init__(self) -> None:
        if self.known:
            self.seq = self.known["seq"]

    @property
    def is_news(self) -> bool:
        """Tell whether it is new or read otherwise than before."""
        return self.known is None or bool(self.revised)

    @property
    def revised(self) -> list[str]:
        """Return what of an event that was written before is read otherwise now."""
        known = self.known
        return [] if known is None else [name for name, value in self._compared().items() if known[name] != value]

    @property
    def links_before(self) -> dict[str, UUID] | None:
        """Return the records that it was tied to; None for a new event."""
        if self.known is None:
            return None
        return {name: self.known[name] for name in ("record_id", "customer_id") if self.known[name] is not None}

    def _compared(self) -> dict[str, Any]:
        return {
            "type": self.statement.type,
            "subject": self.statement.subject,
            "order_key": self.key,
            "verdict": self.verdict,
            "warnings": self.warnings,
            "parts": self.parts,
            "data": self.statement.data,
        }


_KNOWN = (
    "id",
    "seq",
    "type",
    "subject",
    "order_key",
    "verdict",
    "warnings",
    "parts",
    "data",
    "record_id",
    "customer_id",
)


def load_known_events(database: Database, event_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return what is stored of those of the events that were written before."""
    rows = database.execute(
        "SELECT id, seq, type, subject, order_key, verdict, warnings, parts, data, record_id, customer_id"
        " FROM events WHERE id = ANY(%s)",
        (list(event_ids),),
    )
    return {row[0]: dict(zip(_KNOWN, row, strict=True)) for row in rows}


_WRITE = """
INSERT INTO events (id, source_id, seq, delivery_id, item_index, type, subject, order_key, record_kind, record_id,
    customer_key, customer_id, broker, received_at, occurred_at, occurred_on, verdict, repeat_key, duplicate_of, stale,
    changes, warnings, parts, data)
SELECT id, source_id, seq, delivery_id, item_index, type, subject, order_key, record_kind, record_id,
    customer_key, customer_id, broker, received_at, occurred_at, occurred_on, verdict, repeat_key, duplicate_of, stale,
    changes, warnings, parts, data
FROM jsonb_populate_recordset(NULL::events, %s::jsonb)
ON CONFLICT (id, source_id) DO UPDATE SET type = EXCLUDED.type, subject = EXCLUDED.subject,
    order_key = EXCLUDED.order_key, record_kind = EXCLUDED.record_kind, record_id = EXCLUDED.record_id,
    customer_key = EXCLUDED.customer_key, customer_id = EXCLUDED.customer_id, broker = EXCLUDED.broker,
    occurred_at = EXCLUDED.occurred_at, occurred_on = EXCLUDED.occurred_on, verdict = EXCLUDED.verdict,
    repeat_key = EXCLUDED.repeat_key, duplicate_of = EXCLUDED.duplicate_of, stale = EXCLUDED.stale,
    changes = EXCLUDED.changes, warnings = EXCLUDED.warnings, parts = EXCLUDED.parts, data = EXCLUDED.data,
    revised_at = clock_timestamp()
"""

_LINK = """
UPDATE events e SET record_kind = 'inquiry', record_id = i.id FROM inquiries i
WHERE e.id = ANY(%s) AND i.source_id = e.source_id AND 'inquiry/' || i.identity = e.subject
"""
"""Ties notifications, which only refer to an inquiry, to its record where there is one."""


def write_events(database: Database, rows: Sequence[EventRow], projected: Mapping[UUID, Event]) -> None:
    """Write events with the links and marks that projecting gave them, all in one statement."""
    if not rows:
        return
    database.execute(_WRITE, (orjson.dumps([_to_json(row, projected[row.id]) for row in rows]).decode(),))
    if notifications := [row.id for row in rows if not row.parts]:
        database.execute(_LINK, (notifications,))


def _to_json(row: EventRow, event: Event) -> dict[str, Any]:
    statement, mark = row.statement, event.mark
    subject_part = next((part for part in row.parts if part["kind"] in {"inquiry", "lead"}), None)
    customer_part = next((part for part in row.parts if part["kind"] == "customer"), None)
    return {
        "id": row.id,
        "source_id": row.source_id,
        "seq": row.seq,
        "delivery_id": row.delivery_id,
        "item_index": row.index,
        "type": statement.type,
        "subject": statement.subject,
        "order_key": row.key,
        "record_kind": subject_part["kind"] if subject_part else None,
        "record_id": event.links.get("record_id"),
        "customer_key": customer_part["keys"][0] if customer_part else None,
        "customer_id": event.links.get("customer_id"),
        "broker": statement.broker,
        "received_at": row.received_at,
        "occurred_at": statement.occurred_at,
        "occurred_on": statement.occurred_on,
        "verdict": row.verdict,
        "repeat_key": statement.repeat_key,
        "duplicate_of": row.duplicate_of or mark.duplicate_of,
        "stale": mark.stale,
        "changes": orjson.Fragment(changes_json(mark)),
        "warnings": row.warnings,
        "parts": row.parts,
        "data": statement.data,
    }
