"""Stores callbacks that a team already has as deliveries, by the same statement as the receiver's.

Where they are read from is the command line's business; what becomes of them, the processor's.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg

from app.ids import IdSource, first_id_at, time_of
from app.ingest.answers import answer_for
from app.ingest.contract import METHODS, VIAS, Findings, Provider, Reason, Source
from app.ingest.rows import STATEMENT, Array, ArrayDumper, Row, arrays, packed

MOST_AT_ONCE = 100
MOST_BYTES_AT_ONCE = 4 << 20
SEEN_PREFIX = "import:"

_VIA = VIAS.index("import")
_METHOD = METHODS.index("POST")
_NOT_ANSWERED = 0
_RANDOM_BITS = 40  # of the 74 that an id has besides its time; the others hold the number

Database = psycopg.Connection[tuple[Any, ...]]

# Marked in the transaction that stores the deliveries: either both are there afterwards or neither.
_MARK_SEEN = """
INSERT INTO seen (source_id, key, event_id) SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) ORDER BY 2
ON CONFLICT DO NOTHING RETURNING event_id
"""


@dataclass(frozen=True, slots=True)
class Brought:
    """A body to import; `received_at` is when it first came, where that is known."""

    body: bytes
    content_type: str = "application/json"
    received_at: datetime | None = None


@dataclass(slots=True)
class Imported:
    """How many bodies were read, and how many of them were new and are stored now."""

    read: int = 0
    stored: int = 0

    @property
    def known(self) -> int:
        """Return how many had been imported before."""
        return self.read - self.stored


class Importer:
    """Imports bodies into one source; a body that was imported into it before is left out, whatever it was called."""

    def __init__(self, database: Database, source: Source, providers: Mapping[str, Provider]) -> None:
        database.adapters.register_dumper(Array, ArrayDumper)
        database.execute("SET synchronous_commit = on")
        self._database = database
        self._source = source
        self._provider = providers[source.provider]
        self._ids = IdSource()
        self._number = 0

    def import_all(self, bodies: Iterable[Brought], stored: Callable[[Sequence[UUID]], None]) -> Imported:
        """Store bodies in the order given, a few at a time; `stored` is given the ids of each few."""
        result = Imported()
        for portion in _portions(bodies):
            ids = self._store(portion)
            result.read += len(portion)
            result.stored += len(ids)
            stored(ids)
        return result

    def _store(self, portion: Sequence[Brought]) -> list[UUID]:
        """Store those that are new and return their ids."""
        rows: dict[bytes, Row] = {}
        for brought in portion:
            row = self._row(brought)
            rows.setdefault(row.body_sha256, row)
        with self._database.transaction():
            new = {
                row[0]
                for row in self._database.execute(
                    _MARK_SEEN,
                    (
                        [self._source.id] * len(rows),
                        [f"{SEEN_PREFIX}{digest.hex()}" for digest in rows],
                        [row.id for row in rows.values()],
                    ),
                )
            }
            fresh = [row for row in rows.values() if row.id in new]
            if fresh:
                self._database.execute(STATEMENT, arrays(packed(row) for row in fresh))
        return [row.id for row in fresh]

    def _row(self, brought: Brought) -> Row:
        """Return the delivery: judged as the receiver would judge it now."""
        body, digest = brought.body, hashlib.sha256(brought.body).digest()
        self._number += 1
        delivery_id = id_at(brought.received_at, self._number) if brought.received_at else self._ids.next()
        received_at = time_of(delivery_id)
        found = find_tolerantly(self._provider, brought.body, brought.content_type, self._source, received_at)
        answer = answer_for(found, self._source)
        return Row(
            id=delivery_id,
            source_id=self._source.id,
            token_id=None,
            received_at=received_at,
            via=_VIA,
            method=_METHOD,
            answered=_NOT_ANSWERED,
            verdict=answer.verdict.rank,
            size=len(body),
            judged=answer.judged,
            body_sha256=digest,
            remote_addr=b"",
            query=b"",
            headers=orjson.dumps([("content-type", brought.content_type)]),
            body=body,
        )


def find_tolerantly(provider: Provider, body: bytes, content_type: str, source: Source, at: datetime) -> Findings:
    """Find the items of a body that did not come by push; what breaks the reader is `unknown-shape`, as at receipt."""
    try:
        return provider.find(body, content_type, source, at)
    except Exception:  # noqa: BLE001 - a fault of the reader must not lose a body: it is kept, and its reason says so
        return Findings(reason=Reason.UNKNOWN_SHAPE)


def id_at(moment: datetime, number: int) -> UUID:
    """Return a new UUIDv7 as if made at a moment; of the same moment the one with the higher number comes later."""
    low = number << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    high12, low62 = low >> 62 & 0xFFF, low & ((1 << 62) - 1)
    return UUID(int=first_id_at(moment).int | 0x7 << 76 | high12 << 64 | 0b10 << 62 | low62)


def _portions(bodies: Iterable[Brought]) -> Iterator[list[Brought]]:
    """Yield bodies a few at a time, bounded in number and bytes."""
    portion: list[Brought] = []
    size = 0
    for one in bodies:
        if portion and (len(portion) == MOST_AT_ONCE or size + len(one.body) > MOST_BYTES_AT_ONCE):
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += len(one.body)
    if portion:
        yield portion
