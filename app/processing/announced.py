"""Puts documents right after events that are read otherwise now: documents have no events of their own, inquiries have.

What a document is told by the events of the batch is `projection`'s.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from uuid import UUID

from app.processing.identity import keys_in
from app.processing.order import receipt_in
from app.processing.record_rows import Database, Record, StoredEvent, load_records
from app.processing.records import State, Told
from app.processing.telling import Event, Place, documents_in, told_of


class Announced:
    """The documents that revised events of a batch speak of, or spoke of, and what stored events say of them."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._inquiries: dict[Place, Place] = {}
        for event in events:
            if event.links_before is not None:
                for inquiry, key, _ in (*documents_in(event.parts_before), *documents_in(event.parts)):
                    own = (event.source_id, "document"), key
                    self._inquiries[own] = (event.source_id, "inquiry"), inquiry
        self._said: dict[Place, list[Told]] = {place: [] for place in self._inquiries}

    def hear(self, source_id: UUID, event: StoredEvent) -> None:
        """Take note of what an event of an inquiry says, of whatever of its documents."""
        for number, part in enumerate(event.parts if self._said else ()):
            if part["kind"] == "document":
                said = self._said.get(((source_id, "document"), keys_in(part)[0]))
                if said is not None:
                    said.append(told_of(event, number))

    def tell(self, database: Database, records: MutableMapping[Place, Record]) -> None:
        """Have the documents folded anew, but for those of which dropped events spoke: what, nobody knows."""
        load_records(database, self._inquiries, records)
        for place, inquiry in self._inquiries.items():
            record, holder = records.get(place), records.get(inquiry)
            if record is not None and holder is not None and not holder.baselines:
                record.told += [_with_secrets(told, record.account.state) for told in self._said[place]]
                record.anew = bool(record.told)


def _with_secrets(told: Told, state: State) -> Told:
    """Return what an event said with the secrets that a document has from it: these stand in no event."""
    secrets = {
        path: value
        for path, value in state.values.items()
        if path.endswith("_encrypted") and receipt_in(state.keys[path]) == told.receipt
    }
    return replace(told, said={**told.said, **secrets}) if secrets else told


def forgotten_in(events: Sequence[Event], records: Mapping[Place, Record]) -> set[tuple[UUID, str]]:
    """Return the documents (source, key) that revised events spoke of and that their inquiry has no more."""
    forgotten = set()
    for event in events:
        for identity, key, path in documents_in(event.parts_before):
            inquiry = records.get(((event.source_id, "inquiry"), identity))
            if inquiry is not None and (inquiry.is_gone or path not in inquiry.account.state.values):
                forgotten.add((event.source_id, key))
    return forgotten
