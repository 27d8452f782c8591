"""Says what an event tells the records it speaks of: flat values, and their place in the order of news.

What a record makes of that is settled in `records`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from app.processing.identity import bounded_key, keys_in
from app.processing.order import receipt_in
from app.processing.record_rows import LINKS, Scope, StoredEvent
from app.processing.records import ENTRY, UNTOLD, Mark, Told, flatten

Place: TypeAlias = tuple[Scope, str]
"""Where a record is: its scope, and the key by which it is kept."""

_INDEXED = frozenset({"broker_external_id", "external_id", "lead_id", "party_id", "hash"})

_BY_CUSTOMER = f"customer_said{ENTRY}"

_EITHER = {"coverage_cents": "coverage_text", "coverage_text": "coverage_cents"}
"""Two columns for one field of the platform: what sets the one empties the other."""


@dataclass(slots=True)
class Event:
    """An event of the batch, new or read otherwise than before, on its way to its records."""

    id: UUID
    source_id: UUID
    delivery_id: UUID
    index: int
    key: str
    received_at: datetime
    parts: Sequence[Mapping[str, Any]]
    secrets: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    links_before: Mapping[str, UUID] | None = None
    parts_before: Sequence[Mapping[str, Any]] = ()
    key_before: str = ""
    mark_before: Mark = UNTOLD
    links: dict[str, UUID] = field(default_factory=dict)
    keys: Sequence[Sequence[str]] = field(init=False)
    """The keys of each part."""
    places: Sequence[Place] = ()
    """The record of each part."""
    mark: Mark = UNTOLD

    def __post_init__(self) -> None:
        self.keys = [keys_in(part) for part in self.parts]

    def said_before(self, number: int, record_id: UUID) -> bool:
        """Tell whether what part `number` tells its record was told before, so that the record has it already."""
        kind = self.parts[number]["kind"]
        if (self.links_before or {}).get(LINKS[kind]) != record_id:
            return False
        if kind == "customer":
            return self.parts[number] in self.parts_before
        return self.key == self.key_before and self.parts == self.parts_before


def told_of(event: Event | StoredEvent, number: int, sealed: Mapping[str, str] | None = None) -> Told:
    """Return what part `number` of an event tells its record, with what only we may read.

    An inquiry is also told its customer, so that its history shows what was said about the customer with it.
    """
    part, key, receipt = event.parts[number], event.key, receipt_in(event.key)
    kind = part["kind"]
    said = flatten(kind, part["fields"])
    for name in _INDEXED & said.keys():
        said[name] = bounded_key(said[name])
    if kind == "customer":
        if broker := said.pop("broker_external_id", None):
            said[f"broker_names{ENTRY}{broker}"] = True
        key = receipt  # the order of inquiries says nothing about their customer: the receipt alone decides
    elif kind == "inquiry":
        for other in event.parts:
            if other["kind"] == "customer":
                told = flatten("customer", other["fields"])
                told.pop("broker_external_id", None)
                said |= {_BY_CUSTOMER + name: value for name, value in told.items()}
                break
    for name in _EITHER.keys() & said.keys():
        said[_EITHER[name]] = None
    if sealed:
        said.update(sealed)
    return Told(event.id, key, receipt, event.received_at, said)


def documents_in(parts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield the documents that an event speaks of: the inquiry's key, their own, their path in the inquiry."""
    inquiry = next((keys_in(part)[0] for part in parts if part["kind"] == "inquiry"), "")
    for part in parts:
        if part["kind"] == "document":
            yield inquiry, keys_in(part)[0], f"documents{ENTRY}{part['fields']['hash']}"
