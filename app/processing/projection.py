"""Brings the events of a batch into the records: finds the records, folds, and writes what changed.

What an event says is settled before, in `reading`; the transaction is the processor's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from app.crypto import Vault, WrongKeyError
from app.ids import derived_id
from app.processing import record_rows
from app.processing.aliases import load_aliases, take_back, unsaid_by, write_aliases
from app.processing.announced import Announced, forgotten_in
from app.processing.baselines import Baseline, load_baselines, merged, relink_baselines
from app.processing.identity import Names, bounded_key, keys_in
from app.processing.order import delivery_in, receipt_in
from app.processing.record_rows import LINKS, Database, Record, Scope, StoredEvent
from app.processing.records import Mark, changes_json, fold_events
from app.processing.telling import Event, Place, told_of

_SEALED_FOR = "document"


class Projection:
    """The records that one batch touches."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._names: dict[Scope, Names] = defaultdict(Names)
        self._records: dict[Place, Record] = {}
        self._sealed: dict[UUID, dict[tuple[str, str], str]] = defaultdict(dict)
        self._as_before: set[tuple[UUID, str]] = set()
        """The events of the batch, and the kinds of their records that are not told of them, for they were told so."""
        self._relinked: list[tuple[str, UUID, UUID]] = []
        self._rebased: dict[UUID, UUID] = {}

    def project(self, events: Sequence[Event]) -> None:
        """Fold the events into their records, write these, and leave links and marks on the events."""
        self._learn_names(events)
        self._load_records(events)
        self._join()
        self._tell(events)
        announced = Announced([event for event in events if (event.id, "inquiry") not in self._as_before])
        self._recall({event.id for event in events}, announced)
        announced.tell(self._database, self._records)
        remarked = self._fold()
        for event in events:
            event.mark = remarked.pop(event.id, event.mark)
        self._link_customers()
        write_aliases(self._database, self._names)
        record_rows.write_records(self._database, self._records.values())
        record_rows.delete_records(self._database, [record for record in self._records.values() if record.is_gone])
        record_rows.delete_documents(self._database, forgotten_in(events, self._records))
        self._write_marks_and_links(remarked)

    # --- who is who ----------------------------------------------------------------------------------------------

    def _learn_names(self, events: Sequence[Event]) -> None:
        mentions = [
            (receipt_in(event.key), (event.source_id, part["kind"]), keys)
            for event in events
            for part, keys in zip(event.parts, event.keys, strict=True)
            if part["kind"] in {"customer", "lead"}
        ]
        unsaid = [one for event in events if event.parts_before for one in unsaid_by(event)]
        wanted = [(scope, key) for _, scope, keys in mentions for key in keys]
        load_aliases(self._database, [*wanted, *((one[:2], one.key) for one in unsaid)], self._names)
        if unsaid:
            take_back(self._database, unsaid, {event.id for event in events}, self._names)
        for receipt, scope, keys in sorted(mentions):
            self._names[scope].learn(keys, receipt)

    def _root(self, source_id: UUID, kind: str, key: str) -> Place:
        scope = (source_id, kind)
        return scope, self._names[scope].root(key)

    def _load_records(self, events: Sequence[Event]) -> None:
        for event in events:
            event.places = [
                self._root(event.source_id, part["kind"], keys[0])
                for part, keys in zip(event.parts, event.keys, strict=True)
            ]
        wanted = {place for event in events for place in event.places}
        for scope, names in self._names.items():
            for key in names.redirected:
                wanted |= {(scope, key), (scope, names.root(key)), (scope, names.root_before(key))}
        record_rows.load_records(self._database, wanted, self._records)

    def _record(self, place: Place, delivery_id: UUID, *, may_be_known: bool = False) -> Record:
        """Return the record of an identity; a new one is named after the delivery that brought it.

        That name `may_be_known`, where the delivery brought a record before, as that of the one that it became.
        """
        record = self._records.get(place)
        if record is None:
            scope, identity = place
            record_id = derived_id(delivery_id, str(scope[0]), scope[1], identity)
            while may_be_known and record_rows.is_known(self._database, scope[1], record_id):
                record_id = derived_id(record_id)
            record = Record(record_id, scope, identity)
            self._records[place] = record
        return record

    def _join(self) -> None:
        """Join the records that turned out to be one: rename where the stronger key is new, else fold both anew.

        A key may turn out to be another's than the one that it was joined with, which is folded anew without it, then.
        """
        for scope, names in self._names.items():
            ways = [(key, names.root_before(key), names.root(key)) for key in sorted(names.redirected)]
            for key, before, root in ways:
                holder = self._records.get((scope, before))
                if holder is not None and before not in {key, root}:
                    holder.anew = True
            for key, _, root in ways:
                record = self._records.get((scope, key))
                if record is None or root == key:
                    continue
                survivor = self._records.get((scope, root))
                if survivor is None:
                    del self._records[scope, key]
                    record.identity, record.touched = root, True
                    self._records[scope, root] = record
                else:
                    record.merged_into, record.touched = survivor.id, True
                    record.anew = survivor.anew = True

    # --- what they are told --------------------------------------------------------------------------------------

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            for number, place in enumerate(event.places):
                kind = place[0][1]
                record = self._record(place, event.delivery_id, may_be_known=event.links_before is not None)
                if (link := LINKS.get(kind)) is not None:
                    event.links[link] = record.id
                    if event.said_before(number, record.id):
                        self._as_before.add((event.id, kind))
                        if link == "record_id":
                            event.mark = event.mark_before
                        continue  # but its documents are told again: they may have a new token
                    record.anew = record.anew or event.links_before is not None
                record.told.append(told_of(event, number, self._secrets(event.secrets.get(number), record)))
        self._unlink_revised(events)
        for record in self._records.values():
            record.told.sort(key=lambda told: told.key)
            record.anew = record.anew or (record.scope[1] in LINKS and not record.account.is_in_order(record.told))

    def _secrets(self, secrets: Mapping[str, str] | None, record: Record) -> Mapping[str, str] | None:
        """Return what only we may read, by column and encrypted; said again in the same batch it is the same."""
        if not secrets:
            return None
        known, sealed, found = record.account.state.values, self._sealed[record.id], {}
        for name, text in secrets.items():
            column = f"{name}_encrypted"
            if (column, text) not in sealed:
                sealed[column, text] = self._seal(text, known.get(column))
            found[column] = sealed[column, text]
        return found

    def _seal(self, text: str, known: str | None) -> str:
        """Return a secret encrypted; as it is stored where that says the same, so that no change is made of it."""
        if known is not None:
            with suppress(WrongKeyError):
                if self._vault.decrypt(bytes.fromhex(known.removeprefix("\\x")), _SEALED_FOR) == text:
                    return known
        return "\\x" + self._vault.encrypt(text, _SEALED_FOR).hex()

    def _unlink_revised(self, events: Sequence[Event]) -> None:
        """Have the records folded anew that a revised event told something, and no longer speaks of."""
        for event in events:
            for link, record_id in (event.links_before or {}).items():
                if event.parts_before and event.links.get(link) != record_id:
                    for record in record_rows.load_by_id(self._database, link, record_id):
                        self._records.setdefault((record.scope, record.identity), record).anew = True

    def _recall(self, in_batch: set[UUID], announced: Announced) -> None:
        """Read stored events and baselines of the records to be folded anew; each goes to the record that it is of."""
        recalled: set[UUID] = set()
        while waiting := [r for r in self._records.values() if r.anew and not r.is_new and r.id not in recalled]:
            for record in waiting:
                recalled.add(record.id)
                (source_id, kind), link = record.scope, LINKS[record.scope[1]]
                loaded = record_rows.load_events(self._database, link, [record.id])
                stored = [one for one in loaded if one.id not in in_batch or (one.id, kind) in self._as_before]
                keys = {event.id: keys_in(_part(event.parts, kind))[0] for event in stored}
                load_aliases(self._database, {(record.scope, key) for key in keys.values()}, self._names)
                places = {event.id: self._root(source_id, kind, keys[event.id]) for event in stored}
                record_rows.load_records(self._database, set(places.values()), self._records)
                for event in stored:
                    if kind == "inquiry" and event.id not in in_batch:
                        announced.hear(source_id, event)
                    target = self._record(places[event.id], event.delivery_id, may_be_known=True)
                    self._hand_over(event, record, target)
                for baseline in load_baselines(self._database, [record.id]):
                    self._hand_over_baseline(baseline, record)

    def _hand_over(self, event: StoredEvent, record: Record, target: Record) -> None:
        kind = target.scope[1]
        number = next(n for n, part in enumerate(event.parts) if part["kind"] == kind)
        target.stored[event.id] = told_of(event, number)
        target.marks_before[event.id] = event.mark
        target.anew = True
        if target.id != record.id:
            self._relinked.append((LINKS[kind], event.id, target.id))

    def _hand_over_baseline(self, baseline: Baseline, record: Record) -> None:
        load_aliases(self._database, {(record.scope, baseline.key)}, self._names)
        place = self._root(*record.scope, baseline.key)
        record_rows.load_records(self._database, {place}, self._records)
        target = self._record(place, delivery_in(baseline.account.head_key), may_be_known=True)
        target.anew = True
        if baseline.holds:
            target.baselines.append(baseline)
        if target.id != record.id:
            self._rebased[baseline.id] = target.id

    # --- what comes of it ----------------------------------------------------------------------------------------

    def _fold(self) -> dict[UUID, Mark]:
        """Fold what the records are told; return the marks that are new or other than before."""
        remarked: dict[UUID, Mark] = {}
        for record in self._records.values():
            if record.merged_into or record.is_gone or not (record.told or record.anew):
                continue
            record.touched = True
            if record.anew:
                told, base = [*record.stored.values(), *record.told], merged(record.baselines)
                record.account, marks = fold_events(told, base, record.marks_before)
            else:
                marks = {told.event_id: record.account.add(told) for told in record.told}
            if LINKS.get(record.scope[1]) == "record_id":
                remarked.update((i, mark) for i, mark in marks.items() if record.marks_before.get(i) != mark)
        return remarked

    def _link_customers(self) -> None:
        """Set the customer record of each inquiry of the batch, and of those whose customer was joined or parted."""
        inquiries = [r for r in self._records.values() if r.scope[1] == "inquiry" and r.touched]
        named = [
            (r, (r.scope[0], "customer"), bounded_key(key))
            for r in inquiries
            if (key := r.account.state.values.get("customer_key"))
        ]
        for record in inquiries:
            record.customer_record_id = None
        missing = {(scope, key) for _, scope, key in named if (scope, key) not in self._records}
        load_aliases(self._database, missing, self._names)
        record_rows.load_records(
            self._database, {(scope, self._names[scope].root(key)) for scope, key in missing}, self._records
        )
        for record, scope, key in named:
            customer = self._records.get((scope, self._names[scope].root(key)))
            record.customer_record_id = customer.id if customer else None

    def _write_marks_and_links(self, marks: Mapping[UUID, Mark]) -> None:
        """Write the marks and links of stored events that are other than before."""
        if marks:
            self._database.execute(
                "UPDATE events e SET changes = m.changes, duplicate_of = m.duplicate_of, stale = m.stale"
                " FROM unnest(%s::uuid[], %s::jsonb[], %s::uuid[], %s::bool[]) AS m (id, changes, duplicate_of, stale)"
                " WHERE e.id = m.id",
                (
                    list(marks),
                    [changes_json(mark) for mark in marks.values()],
                    [mark.duplicate_of for mark in marks.values()],
                    [mark.stale for mark in marks.values()],
                ),
            )
        for link in ("record_id", "customer_id"):
            moved = [(event_id, record_id) for name, event_id, record_id in self._relinked if name == link]
            if moved:
                record_rows.relink(self._database, link, moved)
        relink_baselines(self._database, self._rebased)
        record_rows.link_inquiries(self._database, self._records, self._names)
        record_rows.link_notifications(self._database, [r for r in self._records.values() if r.is_new])


def _part(parts: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    return next(part for part in parts if part["kind"] == kind)
