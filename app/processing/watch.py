"""Remembers what must be noticed the first time only: brokers of a source, and notifications that came before.

What is said of it, a warning or `duplicate_of`, is written by `batch`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from app.accounts.model import Source
from app.crypto import sha256
from app.ingest.contract import Statement
from app.processing.arrays import TEXTS, UUIDS, arrays
from app.processing.event_rows import EventRow
from app.processing.identity import bounded_key
from app.processing.record_rows import Database

Named: TypeAlias = Iterable[tuple[UUID, UUID, int, Statement]]
"""Items: source, delivery, item number, what it says."""

NewBrokers: TypeAlias = Callable[[Database, Named, Mapping[UUID, Source]], set[tuple[UUID, int]]]
"""Tells which items were the first to name a broker: `note_brokers`, or without noting it `find_new_brokers`."""

_Naming: TypeAlias = dict[tuple[UUID, str], dict[UUID, int]]
"""Which deliveries name a broker (source, key), and in which item first."""


_TYPES: Final = (UUIDS, TEXTS, UUIDS)
_SEEN: Final = """
WITH named AS (SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS n (source_id, key, event_id)),
noted AS (INSERT INTO seen (source_id, key, event_id) SELECT * FROM named
    ON CONFLICT (source_id, key) DO UPDATE SET event_id = EXCLUDED.event_id WHERE EXCLUDED.event_id < seen.event_id)
SELECT source_id, key, s.event_id FROM named JOIN seen s USING (source_id, key)
"""
"""Remembers the first event of each key; gives what was remembered before."""


def note_brokers(database: Database, named: Named, sources: Mapping[UUID, Source]) -> set[tuple[UUID, int]]:
    """Remember the brokers that items name.

    Return (delivery, item number) of those items that were the first to name one. A broker token that stands in the
    source's credentials is known from the start.
    """
    naming = _naming(named, sources)
    rows = _load_first(database, naming)
    if new := [row[:3] for row in rows if row[3]]:
        database.execute(
            "INSERT INTO brokers (source_id, key, delivery_id)"
            " SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[])",
            arrays(_TYPES, new),
        )
    return _noted(naming, rows)


def find_new_brokers(database: Database, named: Named, sources: Mapping[UUID, Source]) -> set[tuple[UUID, int]]:
    """Return what `note_brokers` would, and remember nothing."""
    naming = _naming(named, sources)
    return _noted(naming, _load_first(database, naming))


def _load_first(database: Database, naming: _Naming) -> list[tuple[Any, ...]]:
    """Return source and key of each broker, the first delivery that named it, and whether that was not known yet."""
    if not naming:
        return []
    return database.execute(
        "SELECT source_id, key, coalesce(b.delivery_id, n.delivery_id), b.delivery_id IS NULL"
        " FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS n (source_id, key, delivery_id)"
        " LEFT JOIN brokers b USING (source_id, key)",
        arrays(_TYPES, [(*place, next(iter(deliveries))) for place, deliveries in naming.items()]),
    ).fetchall()


def _noted(naming: _Naming, rows: Iterable[Sequence[Any]]) -> set[tuple[UUID, int]]:
    """Return of the items those whose delivery is the one that is noted as the first."""
    found = ((delivery_id, naming[source_id, key].get(delivery_id)) for source_id, key, delivery_id, *_ in rows)
    return {(delivery_id, index) for delivery_id, index in found if index is not None}


def _naming(named: Named, sources: Mapping[UUID, Source]) -> _Naming:
    naming: _Naming = {}
    for source_id, delivery_id, index, statement in named:
        keys = [f"id:{bounded_key(statement.broker)}"] if statement.broker else []
        digest = statement.broker_token_digest
        if digest is not None and digest not in _own_tokens(sources[source_id]):
            keys.append(f"token:{digest.hex()}")
        for key in keys:
            naming.setdefault((source_id, key), {}).setdefault(delivery_id, index)
    return naming


def _own_tokens(source: Source) -> set[bytes]:
    return {sha256(token) for token in source.credentials.get("b_token", ())}


def note_repeats(database: Database, rows: Sequence[EventRow]) -> None:
    """Mark the notifications that came before: a repeat is `duplicate_of` the one received first."""
    first: dict[tuple[UUID, str], UUID] = {}
    for row in rows:
        if row.statement.repeat_key:
            key = (row.source_id, row.statement.repeat_key)
            first[key] = min(row.id, first.get(key, row.id))
    if not first:
        return
    places = [(*key, event_id) for key, event_id in first.items()]
    for source_id, key, before in database.execute(_SEEN, arrays(_TYPES, places)).fetchall():
        event_id = first[source_id, key]
        if event_id < before:  # what refers to `before` came after it
            database.execute(
                "UPDATE events SET duplicate_of = %s WHERE source_id = %s AND id >= %s"
                " AND (duplicate_of = %s OR id = %s)",
                (event_id, source_id, before, before, before),
            )
        first[source_id, key] = min(event_id, before)
    for row in rows:
        if row.statement.repeat_key:
            original = first[row.source_id, row.statement.repeat_key]
            row.duplicate_of = None if original == row.id else original
