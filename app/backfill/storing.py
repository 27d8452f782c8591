"""Keeps what was pulled: what says something new as a delivery, of what says the same only that it does.

A pulled item has the id of the moment at which it was asked for: what the platform answers was true then, and whatever
it pushed since is newer news.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from app.backfill.splitting import Piece
from app.ids import time_of
from app.ingest.contract import METHODS, Findings, Item, Provider, Receipt, Source, Verdict
from app.ingest.importing import find_tolerantly, id_at
from app.ingest.judged import pack, worst_verdict
from app.ingest.rows import STATEMENT, Array, ArrayDumper, Row, arrays, packed
from app.jobs.bench import Database
from app.processing.pulls import PULL, Cause, content_of, parts_json, pull_headers
from app.processing.reading import ABOUT_WHO_SENT_IT

AT_ONCE: Final = 100

_JSON: Final = "application/json"
_MOST_NUMBER: Final = 1 << 20
_DIGITS: Final = 32
_NAMELESS: Final = "body/"

_KNOWN: Final = """
SELECT w.subject, p.content, p.signature, p.body, p.delivery_id, i.head_receipt,
    EXISTS (SELECT FROM documents d WHERE d.source_id = i.source_id AND d.inquiry_id = i.inquiry_id
        AND d.archived_at IS NULL)
FROM unnest(%(subjects)s::text[]) AS w (subject)
LEFT JOIN pulled p ON p.source_id = %(source)s AND p.subject = w.subject
LEFT JOIN inquiries i ON i.source_id = %(source)s AND 'inquiry/' || i.identity = w.subject
"""

_NOTE: Final = """
INSERT INTO pulled (source_id, subject, content, signature, body, delivery_id, pulled_at)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bytea[], %s::bytea[], %s::bytea[], %s::uuid[], %s::timestamptz[])
ORDER BY 2
ON CONFLICT (source_id, subject) DO UPDATE SET content = EXCLUDED.content, signature = EXCLUDED.signature,
    body = EXCLUDED.body, delivery_id = EXCLUDED.delivery_id, pulled_at = EXCLUDED.pulled_at
WHERE pulled.pulled_at <= EXCLUDED.pulled_at
"""

# One row a transaction: the processor writes many of them in one, and would be in the way of many here.
_CONFIRM: Final = """
UPDATE inquiries SET confirmed_at = greatest(confirmed_at, %s)
WHERE source_id = %s AND identity = %s AND head_receipt = %s
"""


class Known(NamedTuple):
    """What is known of a subject: what a pull last said, and whether anything came since."""

    content: bytes | None
    signature: bytes | None
    body: bytes | None
    delivery_id: UUID | None
    head_receipt: str | None
    waits_for_documents: bool

    @property
    def is_the_last(self) -> bool:
        """Tell whether nothing came since the pull, and no document waits for its token."""
        last = self.delivery_id is not None and (self.head_receipt or "")[:_DIGITS] == self.delivery_id.hex
        return last and not self.waits_for_documents


@dataclass(frozen=True, slots=True)
class Found:
    """A pulled item: its body, its subject and the digests by which it is compared."""

    body: bytes = field(repr=False)
    item: Item | None
    subject: str
    content: bytes
    signature: bytes | None
    effective_at: datetime


@dataclass(slots=True)
class Stored:
    """How many items were brought, and which deliveries were made of those that were not known to be so already."""

    items: int = 0
    deliveries: list[UUID] = field(default_factory=list)

    def add(self, other: "Stored") -> None:
        """Count another part of the same."""
        self.items += other.items
        self.deliveries += other.deliveries


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps what was pulled from one source at one moment, for one cause."""

    source: Source
    provider: Provider
    zone: tzinfo
    moment: datetime
    cause: Cause

    def store(self, database: Database, pieces: Sequence[Piece], first: int = 0) -> Stored:
        """Keep items, of which `first` were kept before; either all of them or none.

        What came in the very same bytes is not even read again.
        """
        often = Counter(one.inquiry_id for one in pieces)
        told = {f"inquiry/{one.inquiry_id}": one for one in pieces if one.inquiry_id and often[one.inquiry_id] == 1}
        known = _known(database, self.source.id, list(told))
        same = {s: known[s] for s, one in told.items() if self._is_same(one.body, known[s])}
        unread = [one for one in pieces if f"inquiry/{one.inquiry_id}" not in same]
        # Of two about the same inquiry in one answer the newer stands, wherever it is.
        read = sorted((self._found(piece.body) for piece in unread), key=attrgetter("effective_at"))
        found = {one.subject: one for one in read}
        known |= _known(database, self.source.id, [subject for subject in found if subject not in known])
        same |= {s: known[s] for s, one in found.items() if self._is_held(one, known[s])}
        fresh = [one for subject, one in found.items() if subject not in same]
        rows = [self._row(one, first + number) for number, one in enumerate(fresh)]
        if rows:
            self._insert(database, rows, fresh)
        for subject, one in same.items():
            identity = subject.partition("/")[2]
            database.execute(_CONFIRM, (self.moment, self.source.id, identity, one.head_receipt))
        return Stored(len(pieces), [row.id for row in rows])

    def keep_reference(self, database: Database, body: bytes, content_type: str, subject: str, broker: str) -> Stored:
        """Keep what a link of a notification led to, as it came; what it has led to before is left out."""
        one = Found(body, None, subject, hashlib.sha256(body).digest(), None, self.moment)
        if _known(database, self.source.id, [subject])[subject].content == one.content:
            return Stored(1)
        row = self._row(one, 0)._replace(
            headers=orjson.dumps(pull_headers(content_type or _JSON, Cause.REFERENCE, subject, broker))
        )
        self._insert(database, [row], [one])
        return Stored(1, [row.id])

    def _insert(self, database: Database, rows: Sequence[Row], found: Sequence[Found]) -> None:
        database.adapters.register_dumper(Array, ArrayDumper)
        columns = [
            [self.source.id] * len(found),
            [one.subject for one in found],
            [one.content for one in found],
            [one.signature for one in found],
            [row.body_sha256 for row in rows],
            [row.id for row in rows],
            [self.moment] * len(found),
        ]
        with database.transaction():
            database.execute("SET LOCAL synchronous_commit = on")
            database.execute(_NOTE, columns)
            database.execute(STATEMENT, arrays(packed(row) for row in rows))

    def _is_same(self, body: bytes, known: Known) -> bool:
        """Tell whether a pull has brought the very same bytes before."""
        is_known = known.body is not None and known.body == hashlib.sha256(body).digest()
        return is_known and known.is_the_last and self.cause is not Cause.TOKEN

    def _is_held(self, one: Found, known: Known) -> bool:
        """Tell whether a pull has said all of it before."""
        if one.subject.startswith(_NAMELESS):
            return known.content == one.content
        is_same = (known.content, known.signature) == (one.content, one.signature)
        return is_same and known.is_the_last and self.cause is not Cause.TOKEN

    def _found(self, body: bytes) -> Found:
        findings = find_tolerantly(self.provider, body, _JSON, self.source, self.moment)
        item = findings.items[0] if len(findings.items) == 1 else None
        if item is None or item.subject is None or (item.reason and item.reason not in ABOUT_WHO_SENT_IT):
            digest = hashlib.sha256(body)
            return Found(body, item, f"{_NAMELESS}{digest.hexdigest()}", digest.digest(), None, self.moment)
        statement = self.provider.read(
            item, self.source, Receipt(UUID(int=0), self.moment, self.zone, hashlib.sha256(body).digest())
        )
        content = content_of(parts_json(statement.parts))
        return Found(body, item, item.subject, content, statement.signature_digest, statement.effective_at)

    def _row(self, one: Found, number: int) -> Row:
        delivery_id = id_at(self.moment, number % _MOST_NUMBER)
        items = [] if one.item is None else [one.item]
        verdict = worst_verdict(Findings(items), self.source.mode) if items else Verdict.CONFIRMED
        return Row(
            id=delivery_id,
            source_id=self.source.id,
            token_id=None,
            received_at=time_of(delivery_id),
            via=PULL,
            method=METHODS.index("POST"),
            answered=0,
            verdict=min(verdict, Verdict.CONFIRMED, key=lambda each: each.rank).rank,
            size=len(one.body),
            judged=pack([]),
            body_sha256=hashlib.sha256(one.body).digest(),
            remote_addr=b"",
            query=b"",
            headers=orjson.dumps(pull_headers(_JSON, self.cause)),
            body=one.body,
        )


def _known(database: Database, source_id: UUID, subjects: Sequence[str]) -> dict[str, Known]:
    rows = database.execute(_KNOWN, {"subjects": list(subjects), "source": source_id}).fetchall()
    return {row[0]: Known(*row[1:]) for row in rows}


def portions(pieces: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    """Yield items a few at a time."""
    for start in range(0, len(pieces), AT_ONCE):
        yield pieces[start : start + AT_ONCE]
