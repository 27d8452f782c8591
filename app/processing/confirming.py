"""Raises the verdict of items that a pull of ours agrees with: the same inquiry, unchanged, from the platform itself.

Whoever pushed such an item knew what the platform knows, whatever the recipe of its signature is. What pulls tell of
pushes that never came is judged in `missing`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

from app.accounts.model import Mode, Source
from app.ids import first_id_at
from app.ingest.contract import Provider, Receipt, Statement, Verdict
from app.processing.pulls import CONTENT, PULL, PUSH, content_of, parts_json
from app.processing.reading import ABOUT_WHO_SENT_IT, Read, ReadItem, bounded
from app.processing.record_rows import Database
from app.times import now

Place: TypeAlias = tuple[UUID, str]
"""A source and a subject."""

_LOOKED_BACK = timedelta(days=30)
_MOST_AGAIN = 200

_EVIDENCE = """
SELECT p.source_id, p.subject, p.content, p.signature FROM pulled p
JOIN unnest(%s::uuid[], %s::text[]) AS w (source_id, subject) USING (source_id, subject)
"""

_DEVIATES = """
UPDATE pulled p SET deviated_at = greatest(p.deviated_at, w.at)
FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[]) AS w (source_id, subject, at)
WHERE (p.source_id, p.subject) = (w.source_id, w.subject)
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a pull last said of a subject: the digests of its content and of its signature."""

    content: bytes
    signature: bytes | None


def confirm(
    database: Database,
    reads: Sequence[Read],
    sources: Mapping[UUID, Source],
    providers: Mapping[str, Provider],
    zone: Any,
) -> list[Read]:
    """Return the deliveries with the verdicts that pulls allow; what was in quarantine for its signature is released.

    An item that a pull agrees with is `confirmed`; with the same signature, `verified`. Where the signatures differ
    although all else is the same, that is noted for whoever has to settle the recipe.
    """
    doubtful = [read for read in reads if any(_is_doubtful(read, item, sources) for item in read.items)]
    if not doubtful:
        return list(reads)
    known = _load(database, doubtful)
    if not known:
        return list(reads)
    deviating: dict[Place, Any] = {}
    confirmed = {}
    for read in doubtful:
        source = sources[read.delivery.source_id]
        receipt = Receipt(read.delivery.id, read.delivery.received_at, zone, read.delivery.body_sha256)
        items = []
        for item in read.items:
            evidence = known.get((source.id, item.item.subject or ""))
            if evidence is None or not _is_doubtful(read, item, sources):
                items.append(item)
                continue
            statement = item.statement or bounded(providers[source.provider].read(item.item, source, receipt))
            raised, deviates = _judged(item, statement, evidence)
            items.append(raised)
            if deviates:
                deviating[source.id, item.item.subject or ""] = read.delivery.received_at
        confirmed[read.delivery.id] = replace(read, items=tuple(items))
    if deviating:
        database.execute(_DEVIATES, ([p[0] for p in deviating], [p[1] for p in deviating], list(deviating.values())))
    return [confirmed.get(read.delivery.id, read) for read in reads]


def stay_confirmed(read: Read, earlier: Sequence[Mapping[str, Any]]) -> Read:
    """Return a delivery in which what a pull agreed with once is as good as it was found then."""
    if not earlier:
        return read
    was = {item["index"]: item["verdict"] for item in earlier if item["status"] == "event"}
    good = {index: Verdict(word) for index, word in was.items() if word in {Verdict.VERIFIED, Verdict.CONFIRMED}}
    if not any(good.get(item.item.index, item.item.verdict).rank < item.item.verdict.rank for item in read.items):
        return read
    items = [
        replace(item, item=replace(item.item, verdict=better))
        if (better := good.get(item.item.index, item.item.verdict)).rank < item.item.verdict.rank
        else item
        for item in read.items
    ]
    return replace(read, items=tuple(items))


def _is_doubtful(read: Read, item: ReadItem, sources: Mapping[UUID, Source]) -> bool:
    return (
        read.delivery.via == PUSH
        and item.item.verdict.rank > Verdict.CONFIRMED.rank
        and item.item.subject is not None
        and (item.item.reason is None or item.item.reason in ABOUT_WHO_SENT_IT)
        and sources[read.delivery.source_id].mode is not Mode.OFF
    )


def _judged(item: ReadItem, statement: Statement, evidence: Evidence) -> tuple[ReadItem, bool]:
    """Return the item with its verdict, and whether its signature is another than that of the pull."""
    if not statement.parts or content_of(parts_json(statement.parts)) != evidence.content:
        return item, False
    signed, pulled = statement.signature_digest, evidence.signature
    verdict = Verdict.VERIFIED if signed is not None and signed == pulled else Verdict.CONFIRMED
    raised = replace(item, item=replace(item.item, verdict=verdict, reason=None), statement=statement)
    return raised, signed is not None and pulled is not None and signed != pulled


def _load(database: Database, reads: Iterable[Read]) -> dict[Place, Evidence]:
    wanted = {(read.delivery.source_id, item.item.subject or "") for read in reads for item in read.items}
    rows = database.execute(_EVIDENCE, ([place[0] for place in wanted], [place[1] for place in wanted]))
    return {(source_id, subject): Evidence(content, signature) for source_id, subject, content, signature in rows}


_DOUBTED = f"""
WITH n AS MATERIALIZED (SELECT source_id, subject, {CONTENT} AS content FROM events e WHERE id = ANY(%s::uuid[]))
SELECT o.delivery_id, o.source_id FROM n CROSS JOIN LATERAL (
    SELECT delivery_id, source_id, verdict, {CONTENT} AS content FROM events e
    WHERE (e.source_id, e.subject) = (n.source_id, n.subject) ORDER BY order_key DESC LIMIT {_MOST_AGAIN}
) o JOIN deliveries d ON d.id = o.delivery_id AND d.source_id = o.source_id
WHERE o.content = n.content AND d.via = %s AND o.verdict NOT IN ('verified', 'confirmed')
"""  # noqa: S608 - literals of ours

_QUARANTINED = """
SELECT o.delivery_id, o.source_id FROM outcomes o
WHERE o.source_id = %s AND o.delivery_id >= %s AND o.status = ANY('{quarantined,partial}') AND EXISTS (
    SELECT FROM jsonb_array_elements(o.items) i WHERE i->>'subject' = ANY(%s) AND i->>'reason' = ANY(%s))
ORDER BY o.delivery_id DESC LIMIT %s
"""

_AGAIN = """
INSERT INTO inbox (delivery_id, source_id) SELECT * FROM unnest(%s::uuid[], %s::uuid[])
ON CONFLICT DO NOTHING
"""


def look_again(database: Database, reads: Sequence[Read], sources: Mapping[UUID, Source]) -> None:
    """Have the doubtful pushes processed again with which something agrees that was pulled just now, the newest."""
    pulled = {
        item.event_id: (read.delivery.source_id, item.item.subject or "")
        for read in reads
        if read.delivery.via == PULL and sources[read.delivery.source_id].mode is not Mode.OFF
        for item in read.items
        if item.statement is not None
    }
    if not pulled:
        return
    doubted = set(database.execute(_DOUBTED, (list(pulled), PUSH)).fetchall())
    for source_id in {source_id for source_id, _ in pulled.values()}:
        if sources[source_id].mode is Mode.ENFORCE:
            subjects = [subject for one, subject in pulled.values() if one == source_id]
            since = first_id_at(now() - _LOOKED_BACK)
            asked = (source_id, since, subjects, sorted(ABOUT_WHO_SENT_IT), _MOST_AGAIN)
            doubted |= set(database.execute(_QUARANTINED, asked).fetchall())
    doubted -= {(read.delivery.id, read.delivery.source_id) for read in reads}
    if doubted:
        ordered = sorted(doubted)
        database.execute(_AGAIN, ([one[0] for one in ordered], [one[1] for one in ordered]))
