"""Writes events: new ones, and those that today's reader reads otherwise than it did.

What an event says about records is brought there by `projection`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.ingest.contract import Statement, Verdict
from app.processing.arrays import (
    BOOLS,
    DAYS,
    INT4S,
    INT8S,
    JSONS,
    MOMENTS,
    TEXT_JSONS,
    TEXTS,
    UUIDS,
    Type,
    array,
    arrays,
    unnested,
)
from app.processing.record_rows import Database
from app.processing.records import UNTOLD, Mark
from app.processing.telling import Event


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

    @property
    def mark_before(self) -> Mark:
        """Return what was judged of it before."""
        known = self.known
        return Mark(tuple(known["changes"]), known["duplicate_of"], stale=known["stale"]) if known else UNTOLD

    def _compared(self) -> dict[str, Any]:
        return {
            "type": self.statement.type,
            "subject": self.statement.subject,
            "order_key": self.key,
            "broker": self.statement.broker,
            "occurred_at": self.statement.occurred_at,
            "occurred_on": self.statement.occurred_on,
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
    "broker",
    "occurred_at",
    "occurred_on",
    "verdict",
    "warnings",
    "parts",
    "data",
    "record_id",
    "customer_id",
    "changes",
    "duplicate_of",
    "stale",
)


def load_known_events(database: Database, event_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return what is stored of those of the events that were written before."""
    if not event_ids:
        return {}
    rows = database.execute(
        f"SELECT {', '.join(_KNOWN)} FROM events WHERE id = ANY(%s::uuid[])",  # noqa: S608 - the names are our own
        (array(UUIDS, event_ids),),
    )
    return {row[0]: dict(zip(_KNOWN, row, strict=True)) for row in rows}


_COLUMNS: Final[Mapping[str, Type]] = {
    "id": UUIDS,
    "source_id": UUIDS,
    "seq": INT8S,
    "delivery_id": UUIDS,
    "item_index": INT4S,
    "type": TEXTS,
    "subject": TEXTS,
    "order_key": TEXTS,
    "record_kind": TEXTS,
    "record_id": UUIDS,
    "customer_key": TEXTS,
    "customer_id": UUIDS,
    "broker": TEXTS,
    "received_at": MOMENTS,
    "occurred_at": MOMENTS,
    "occurred_on": DAYS,
    "verdict": TEXTS,
    "repeat_key": TEXTS,
    "duplicate_of": UUIDS,
    "stale": BOOLS,
    "changes": JSONS,
    "warnings": JSONS,
    "parts": JSONS,
    "data": TEXT_JSONS,
}
_SETTLED: Final = frozenset({"id", "source_id", "seq", "delivery_id", "item_index", "received_at"})
_WRITE: Final = f"""
INSERT INTO events ({", ".join(_COLUMNS)}) SELECT * FROM {unnested(_COLUMNS, _COLUMNS.values())} AS w
"""  # noqa: S608 - the names are our own
_REVISE: Final = f"""{_WRITE}
ON CONFLICT (id, source_id) DO UPDATE SET
    {", ".join(f"{name} = EXCLUDED.{name}" for name in _COLUMNS if name not in _SETTLED)},
    revised_at = clock_timestamp()
"""

_REFERS_TO: Final = "inquiry/"
_REFERRED_TO: Final = """
SELECT i.source_id, i.identity, i.id FROM inquiries i JOIN unnest(%s::uuid[], %s::text[]) AS w (source_id, identity)
ON (i.source_id, i.identity) = (w.source_id, w.identity)
"""


def write_events(database: Database, rows: Sequence[EventRow], projected: Mapping[UUID, Event]) -> None:
    """Write events with the links and marks that projecting gave them, the new ones in one statement."""
    _link_notifications(database, rows, projected)
    types = tuple(_COLUMNS.values())
    # What is not known is not there, for one processor writes; to be ready for a conflict would cost a twentieth more.
    for statement, are_known in ((_WRITE, False), (_REVISE, True)):
        if some := [_to_row(row, projected[row.id]) for row in rows if (row.known is not None) is are_known]:
            database.execute(statement, arrays(types, some))


def _link_notifications(database: Database, rows: Iterable[EventRow], projected: Mapping[UUID, Event]) -> None:
    """Tie notifications, which only refer to an inquiry, to its record where there is one, before they are written."""
    referring: dict[tuple[UUID, str], list[Event]] = defaultdict(list)
    for row in rows:
        subject = row.statement.subject
        if not row.parts and subject.startswith(_REFERS_TO):
            referring[row.source_id, subject.removeprefix(_REFERS_TO)].append(projected[row.id])
    if referring:
        for source_id, identity, record_id in database.execute(_REFERRED_TO, arrays((UUIDS, TEXTS), referring)):
            for event in referring[source_id, identity]:
                event.links["record_id"] = record_id


def _to_row(row: EventRow, event: Event) -> tuple[Any, ...]:
    """Return the values of `_COLUMNS`."""
    statement, mark = row.statement, event.mark
    subject_part = next((part for part in row.parts if part["kind"] in {"inquiry", "lead"}), None)
    customer_part = next((part for part in row.parts if part["kind"] == "customer"), None)
    return (
        row.id,
        row.source_id,
        row.seq,
        row.delivery_id,
        row.index,
        statement.type,
        statement.subject,
        row.key,
        subject_part["kind"] if subject_part else "inquiry" if "record_id" in event.links else None,
        event.links.get("record_id"),
        customer_part["keys"][0] if customer_part else None,
        event.links.get("customer_id"),
        statement.broker,
        row.received_at,
        statement.occurred_at,
        statement.occurred_on,
        row.verdict,
        statement.repeat_key,
        row.duplicate_of or mark.duplicate_of,
        mark.stale,
        mark.changes,
        row.warnings,
        row.parts,
        statement.data,
    )
