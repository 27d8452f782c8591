"""Loads and writes records and the stored events of a record, many at a time.

What is done with them is settled in `projection`.
"""

from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, TypeAlias
from uuid import UUID

from psycopg import Connection, sql

from app.processing.arrays import TEXTS, UUIDS, arrays, columns
from app.processing.baselines import Baseline
from app.processing.identity import Names, bounded_key
from app.processing.record_columns import COLUMNS, LOAD, NOTE, NOTED, NOTED_TYPES, SAID, TYPES, WRITE, array_text
from app.processing.records import Account, Mark, Told, key_exceptions, to_columns, to_state
from app.processing.searched import words_of
from app.storage.models import RECORDS
from app.times import to_moment, to_text

Database: TypeAlias = Connection[tuple[Any, ...]]
Scope: TypeAlias = tuple[UUID, str]
"""A source and a kind of record: within it a key names one record."""

LINKS: Final = {"inquiry": "record_id", "lead": "record_id", "customer": "customer_id"}
"""For each kind whose events can be found again: the column of events that names the record."""


@dataclass(slots=True)
class Record:
    """A record on its way through a batch: what it is, what it is told, and what came of it."""

    id: UUID
    scope: Scope
    identity: str
    is_new: bool = True
    account: Account = field(default_factory=Account)
    told: list[Told] = field(default_factory=list)
    stored: dict[UUID, Told] = field(default_factory=dict)
    marks_before: dict[UUID, Mark] = field(default_factory=dict)
    baselines: list[Baseline] = field(default_factory=list)
    anew: bool = False
    merged_into: UUID | None = None
    customer_record_id: UUID | None = None
    touched: bool = False

    @property
    def is_gone(self) -> bool:
        """Tell whether nothing speaks of it any more: its events were read otherwise than before."""
        return self.anew and not (self.is_new or self.merged_into or self.told or self.stored or self.baselines)


def load_records(
    database: Database, wanted: Collection[tuple[Scope, str]], records: MutableMapping[tuple[Scope, str], Record]
) -> None:
    """Add the records that exist among `wanted` (scope, identity) to `records`; those already there stay."""
    missing: dict[str, list[tuple[UUID, str]]] = {kind: [] for kind in RECORDS}
    for place in wanted:
        if place not in records:
            (source_id, kind), identity = place
            missing[kind].append((source_id, identity))
    for kind, rows in missing.items():
        if not rows:
            continue
        for row in database.execute(LOAD[kind], arrays((UUIDS, TEXTS), rows), binary=True).fetchall():
            record = _to_record(kind, row)
            records[record.scope, record.identity] = record


def _to_record(kind: str, row: tuple[Any, ...]) -> Record:
    record_id, source_id, identity, head_receipt, *counted, customer_record_id, values = row
    said = {name: value for name, value in zip(SAID[kind], values, strict=True) if value is not None}
    if "token_expires_at" in said:
        said["token_expires_at"] = to_text(to_moment(said["token_expires_at"]))
    return Record(
        record_id,
        (source_id, kind),
        identity,
        is_new=False,
        account=Account(to_state(kind, said), said["head_key"], head_receipt, *counted),
        customer_record_id=customer_record_id,
    )


def write_records(database: Database, records: Iterable[Record]) -> None:
    """Write the touched records of each kind in one statement, those without a new value in another, shorter one."""
    whole: dict[str, list[list[Any]]] = {}
    noted: dict[str, list[list[Any]]] = {}
    for record in records:
        kind = record.scope[1]
        if record.touched and (record.is_new or record.anew or record.account.state.is_changed):
            whole.setdefault(kind, []).append(_to_row(record))
        elif record.touched:
            noted.setdefault(kind, []).append(list(map(_to_note(record).get, NOTED[kind])))
    for kind, rows in whole.items():
        database.execute(WRITE[kind], arrays(TYPES[kind], rows))
    for kind, rows in noted.items():
        database.execute(NOTE[kind], arrays(NOTED_TYPES[kind], rows))


def delete_records(database: Database, records: Iterable[Record]) -> None:
    """Delete records; notifications, which only refer to an inquiry, refer to none then."""
    gone: dict[str, list[UUID]] = {}
    for record in records:
        gone.setdefault(record.scope[1], []).append(record.id)
    for kind, ids in gone.items():
        database.execute(
            sql.SQL("DELETE FROM {} WHERE id = ANY(%s)").format(sql.Identifier(RECORDS[kind].name)), (ids,)
        )
        database.execute(
            "UPDATE events SET record_kind = NULL, record_id = NULL"
            " WHERE record_id = ANY(%s) AND jsonb_array_length(parts) = 0",
            (ids,),
        )


def delete_documents(database: Database, forgotten: Collection[tuple[UUID, str]]) -> None:
    """Delete documents (source, key) of which no file is kept, nor is just being fetched."""
    if forgotten:
        database.execute(
            "DELETE FROM documents d USING unnest(%s::uuid[], %s::text[]) AS w (source_id, identity)"
            " WHERE (d.source_id, d.identity) = (w.source_id, w.identity) AND d.state NOT IN ('archived', 'fetching')",
            arrays((UUIDS, TEXTS), forgotten),
        )


def _to_row(record: Record) -> list[Any]:
    """Return the values of `COLUMNS`."""
    kind = record.scope[1]
    row = to_columns(kind, record.account.state)
    row["words"] = words_of(kind, row)
    row |= _to_note(record)
    if kind == "customer":
        row["brokers"] = array_text(row["brokers"])
    return list(map(row.get, COLUMNS[kind]))


def _to_note(record: Record) -> dict[str, Any]:
    """Return the values of `NOTED`, by column."""
    account = record.account
    return {
        "id": record.id,
        "source_id": record.scope[0],
        "identity": record.identity,
        "head_key": account.head_key,
        "head_receipt": account.head_receipt,
        "last_change_id": account.last_change_id,
        "field_keys": key_exceptions(account.state, account.head_key),
        "first_received_at": account.first_received_at,
        "last_received_at": account.last_received_at,
        "changed_at": account.changed_at,
        "event_count": account.event_count,
        "merged_into": record.merged_into,
        "customer_record_id": record.customer_record_id,
    }


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it lies in the database, as far as folding needs it."""

    id: UUID
    delivery_id: UUID
    index: int
    key: str
    received_at: datetime
    parts: Sequence[Mapping[str, Any]]
    mark: Mark


def load_events(database: Database, link: str, record_ids: Sequence[UUID]) -> list[StoredEvent]:
    """Return the events that `link` (`record_id` or `customer_id`) ties to records and that say something, by id."""
    rows = database.execute(
        sql.SQL(
            "SELECT id, delivery_id, item_index, order_key, received_at, parts, changes, duplicate_of, stale"
            " FROM events WHERE {} = ANY(%s) AND jsonb_array_length(parts) > 0"
        ).format(sql.Identifier(link)),
        (list(record_ids),),
    )
    return [
        StoredEvent(i, delivery, index, key, at, parts, Mark(tuple(changes), twin, stale=stale))
        for i, delivery, index, key, at, parts, changes, twin, stale in sorted(rows, key=itemgetter(0))
    ]


def is_known(database: Database, kind: str, record_id: UUID) -> bool:
    """Tell whether there is a record of an id."""
    question = sql.SQL("SELECT FROM {} WHERE id = %s").format(sql.Identifier(RECORDS[kind].name))
    return bool(database.execute(question, (record_id,)).rowcount)


def load_by_id(database: Database, link: str, record_id: UUID) -> list[Record]:
    """Return the record of an id that events name by `link`; none or one."""
    kinds = ("inquiry", "lead") if link == "record_id" else ("customer",)
    found: dict[tuple[Scope, str], Record] = {}
    for kind in kinds:
        rows = database.execute(
            sql.SQL("SELECT source_id, identity FROM {} WHERE id = %s").format(sql.Identifier(RECORDS[kind].name)),
            (record_id,),
        )
        load_records(database, [((source, kind), identity) for source, identity in rows.fetchall()], found)
    return list(found.values())


def relink(database: Database, link: str, moved: Sequence[tuple[UUID, UUID]]) -> None:
    """Tie events (id, record id) to other records."""
    database.execute(
        sql.SQL(
            "UPDATE events e SET {link} = m.record_id FROM unnest(%s::uuid[], %s::uuid[]) AS m (id, record_id)"
            " WHERE e.id = m.id"
        ).format(link=sql.Identifier(link)),
        columns(moved),
    )


def link_inquiries(
    database: Database, records: Mapping[tuple[Scope, str], Record], names: Mapping[Scope, Names]
) -> None:
    """Tie inquiries to the customers that theirs turned out to be."""
    parted = [r.id for r in records.values() if r.scope[1] == "customer" and (r.merged_into or r.anew) and not r.is_new]
    if not parted:
        return
    rows = database.execute(
        "SELECT id, source_id, customer_key, customer_record_id FROM inquiries WHERE customer_record_id = ANY(%s)",
        (parted,),
    ).fetchall()
    moved = []
    for inquiry_id, source_id, key, present in rows:
        scope = (source_id, "customer")
        customer = records.get((scope, names[scope].root(bounded_key(key))))
        if customer is not None and customer.id != present:
            moved.append((inquiry_id, customer.id))
    if moved:
        database.execute(
            "UPDATE inquiries i SET customer_record_id = m.customer_id"
            " FROM unnest(%s::uuid[], %s::uuid[]) AS m (id, customer_id) WHERE i.id = m.id",
            columns(moved),
        )


def link_notifications(database: Database, records: Iterable[Record]) -> None:
    """Tie the notifications that came before their inquiry to the new inquiry."""
    new = [(r.scope[0], f"inquiry/{r.identity}", r.id) for r in records if r.scope[1] == "inquiry" and r.is_new]
    if new:
        database.execute(
            "UPDATE events e SET record_kind = 'inquiry', record_id = n.record_id"
            " FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS n (source_id, subject, record_id)"
            " WHERE (e.source_id, e.subject) = (n.source_id, n.subject) AND (e.record_id IS NULL) IS TRUE",
            arrays((UUIDS, TEXTS, UUIDS), new),
        )
