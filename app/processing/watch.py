"""Remembers what must be noticed the first time only: brokers of a source, and notifications that came before.

What is said of it, a warning or `duplicate_of`, is written by `batch`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from app.accounts.model import Source
from app.crypto import sha256
from app.ingest.contract import Statement
from app.processing.event_rows import EventRow
from app.processing.identity import bounded_key
from app.processing.record_rows import Database

Named: TypeAlias = Iterable[tuple[UUID, UUID, int, Statement]]
"""Items: source, delivery, item number, what it says."""

NewBrokers: TypeAlias = Callable[[Database, Named, Mapping[UUID, Source]], set[tuple[UUID, int]]]
"""Tells which items were the first to name a broker: `note_brokers`, or without noting it `find_new_brokers`."""

_Naming: TypeAlias = dict[tuple[UUID, str], dict[UUID, int]]
"""Which deliveries name a broker (source, key), and in which item first."""


def note_brokers(database: Database, named: Named, sources: Mapping[UUID, Source]) -> set[tuple[UUID, int]]:
    """Remember the brokers that items name.

    Return (delivery, item number) of those items that were the first to name one. A broker token that stands in the
    source's credentials is known from the start.
    """
    naming = _naming(named, sources)
    if not naming:
        return set()
    rows = database.execute(
        "WITH named AS (SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS n (source_id, key, delivery_id)),"
        " added AS (INSERT INTO brokers (source_id, key, delivery_id) SELECT * FROM named"
        " ON CONFLICT DO NOTHING RETURNING source_id, key, delivery_id)"
        " SELECT source_id, key, delivery_id FROM added UNION"
        " SELECT b.source_id, b.key, b.delivery_id FROM brokers b JOIN named USING (source_id, key)",
        _as_columns(naming),
    )
    return _noted(naming, rows)


def find_new_brokers(database: Database, named: Named, sources: Mapping[UUID, Source]) -> set[tuple[UUID, int]]:
    """Return what `note_brokers` would, and remember nothing."""
    naming = _naming(named, sources)
    if not naming:
        return set()
    rows = database.execute(
        "SELECT source_id, key, coalesce(b.delivery_id, n.delivery_id)"
        " FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS n (source_id, key, delivery_id)"
        " LEFT JOIN brokers b USING (source_id, key)",
        _as_columns(naming),
    )
    return _noted(naming, rows)


def _noted(naming: _Naming, rows: Iterable[Sequence[Any]]) -> set[tuple[UUID, int]]:
    """Return of the items those whose delivery is the one that is noted as the first."""
    found = ((delivery_id, naming[source_id, key].get(delivery_id)) for source_id, key, delivery_id in rows)
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


def _as_columns(naming: _Naming) -> tuple[list[UUID], list[str], list[UUID]]:
    """Return source, key and the first delivery that names it."""
    return (
        [source_id for source_id, _ in naming],
        [key for _, key in naming],
        [next(iter(deliveries)) for deliveries in naming.values()],
    )


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
    arguments = [source_id for source_id, _ in first], [key for _, key in first]
    seen = {
        (source_id, key): event_id
        for source_id, key, event_id in database.execute(
            "SELECT s.source_id, s.key, s.event_id FROM seen s"
            " JOIN unnest(%s::uuid[], %s::text[]) AS n (source_id, key) USING (source_id, key)",
            arguments,
        )
    }
    for key, event_id in first.items():
        if key in seen and event_id < seen[key]:
            database.execute(
                "UPDATE events SET duplicate_of = %s WHERE source_id = %s AND id <> %s"
                " AND (duplicate_of = %s OR id = %s)",
                (event_id, key[0], event_id, seen[key], seen[key]),
            )
        first[key] = min(event_id, seen.get(key, event_id))
    for row in rows:
        if row.statement.repeat_key:
            original = first[row.source_id, row.statement.repeat_key]
            row.duplicate_of = None if original == row.id else original
    database.execute(
        "INSERT INTO seen (source_id, key, event_id) SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[])"
        " ON CONFLICT (source_id, key) DO UPDATE SET event_id = EXCLUDED.event_id",
        (*arguments, list(first.values())),
    )
