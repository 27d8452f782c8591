"""Processes deliveries in one transaction: reads them, writes their events, records and outcomes, empties the inbox.

Which deliveries, and what happens when it fails, is settled in `processor`; what records become, in `projection`.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson

from app.accounts.model import Source
from app.accounts.version import mark_recipe_proven
from app.crypto import Vault
from app.ingest.answers import was_sender_refused
from app.ingest.bodies import header_value
from app.ingest.contract import Provider, Reason, Statement, Warned
from app.ingest.sender_checks import Sender
from app.processing.arrays import UUIDS, array
from app.processing.confirming import confirm, look_again, stay_confirmed
from app.processing.event_rows import EventRow, load_known_events, write_events
from app.processing.matching import match_events
from app.processing.missing import News, note_late, note_pulls, want_pulls
from app.processing.order import order_key
from app.processing.outcome import Outcome, failed_outcome, outcome_of, write_outcomes
from app.processing.projection import Projection
from app.processing.pulls import find_kept, parts_json
from app.processing.reading import Delivery, Read, ReadItem, read_delivery
from app.processing.record_rows import Database
from app.processing.telling import Event
from app.processing.watch import NewBrokers, note_brokers, note_repeats
from app.storage.counting import recounted

# In no order: without statistics of all partitions together, which autovacuum does not make, the database would from
# some million deliveries on rather go through all of them in their order than sort these. The lowest and the highest id
# say which months are looked into; OFFSET 0 keeps the database from going through all that lies between them.
STORED = """
SELECT d.id, d.source_id, d.received_at, d.judged, d.headers, d.body, d.body_sha256, d.token_id, d.answered,
    d.remote_addr, d.via, o.seq, o.items
FROM unnest(%(ids)s::uuid[]) AS w (id)
CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE id = w.id AND id BETWEEN %(low)s AND %(high)s OFFSET 0) d
LEFT JOIN LATERAL (
    SELECT seq, items FROM outcomes
    WHERE delivery_id = d.id AND source_id = d.source_id AND delivery_id BETWEEN %(low)s AND %(high)s OFFSET 0
) o ON true
"""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What reading depends on besides the deliveries: platforms, accounts, and the zone of platform times."""

    providers: Mapping[str, Provider]
    sources: Mapping[UUID, Source]
    vault: Vault
    zone: tzinfo
    sighted: Callable[[Sequence[EventRow]], None] = field(default=lambda _: None)
    """Is told the events of a batch before it is committed."""


@dataclass(slots=True)
class Stored:
    """A delivery of the batch and what an earlier processing left of it."""

    delivery: Delivery
    seq: int | None
    items: Sequence[Mapping[str, Any]]

    @property
    def accepted_before(self) -> frozenset[int]:
        """Return the numbers of the items that are events already."""
        return frozenset(item["index"] for item in self.items if item["status"] == "event")


def process(database: Database, stored: Sequence[Stored], reads: Sequence[Read], given: Circumstances) -> list[Outcome]:
    """Process what was read of deliveries and return their outcomes; all of it or nothing.

    The caller holds the transaction.
    """
    reads = confirm(database, reads, given.sources, given.providers, given.zone)
    unknown = {one.delivery.id for one in stored if one.seq is None}
    rows = to_rows(database, reads, given, note_brokers, unknown)
    fresh = [row for row in rows if row.is_news]
    given.sighted(fresh)
    projection = Projection(database, given.vault)
    events = [_to_event(row) for row in fresh]
    projection.project(events)
    note_repeats(database, fresh)
    outcomes = [outcome_of(read, one.seq, one.items) for read, one in zip(reads, stored, strict=True)]
    known = {one.delivery_id for one in outcomes if one.seq is not None}
    _number(database, outcomes, rows)
    write_events(database, fresh, {event.id: event for event in events})
    match_events(database, fresh)
    with recounted(database, [*known]):
        write_outcomes(database, outcomes, known)
    _note_news(database, reads, fresh, events, given)
    _prove_recipes(database, reads, given.sources)
    return outcomes


def _note_news(
    database: Database, reads: Sequence[Read], fresh: Sequence[EventRow], events: Sequence[Event], given: Circumstances
) -> None:
    """Note what pulls tell of pushes, and what is to be pulled."""
    via = {read.delivery.id: read.delivery.via for read in reads}
    news = [News(row, event, via[row.delivery_id]) for row, event in zip(fresh, events, strict=True)]
    note_pulls(database, news, given.zone)
    note_late(database, news)
    want_pulls(database, news, given.sources)
    look_again(database, reads, given.sources)


def give_up(database: Database, delivery_id: UUID) -> Outcome | None:
    """Put a delivery into quarantine whole, because processing it failed too often; what it once gave stays."""
    stored = load_stored(database, [delivery_id])
    if not stored:
        return None
    outcome = failed_outcome(stored[0].delivery, stored[0].seq, stored[0].items)
    known = [] if outcome.seq is None else [delivery_id]
    _number(database, [outcome], [])
    with recounted(database, known):
        write_outcomes(database, [outcome], known)
    return outcome


def load_stored(database: Database, delivery_ids: Sequence[UUID]) -> list[Stored]:
    """Return those of the deliveries that exist, in the order of their ids."""
    if not delivery_ids:
        return []
    named = {"ids": array(UUIDS, delivery_ids), "low": min(delivery_ids), "high": max(delivery_ids)}
    rows = database.execute(STORED, named, binary=True).fetchall()
    stored = []
    sources: dict[UUID, UUID] = {}  # one object for each source: two that are equal take longer to compare
    for delivery_id, source_id, received_at, judged, headers, body, digest, token_id, *met, seq, items in sorted(
        rows, key=itemgetter(0)
    ):
        answered, address, via = met
        pairs = orjson.loads(headers)
        content = header_value(pairs, "content-type"), header_value(pairs, "content-encoding")
        refused = None
        if was_sender_refused(answered, judged):
            refused = Sender(address.decode(), pairs, delivery_id.bytes)
        kept = find_kept(via, pairs)
        same_id = sources.setdefault(source_id, source_id)
        delivery = Delivery(
            delivery_id, same_id, received_at, judged, *content, body, digest, token_id, refused, via, kept
        )
        stored.append(Stored(delivery, seq, items or ()))
    return stored


def read_stored(stored: Stored, given: Circumstances) -> Read:
    """Read a delivery by today's reader, secrets and mode; pure.

    What is of no source here, as an earlier version brought it out of a spool that installations shared, is put into
    quarantine at once, for there may be as many as a spool holds.
    """
    source = given.sources.get(stored.delivery.source_id)
    if source is None:
        return Read(stored.delivery, reason=Reason.PROCESSING_FAILED)
    provider = given.providers[source.provider]
    read = read_delivery(stored.delivery, source, provider, given.zone, accepted_before=stored.accepted_before)
    return stay_confirmed(read, stored.items)


def to_rows(
    database: Database,
    reads: Sequence[Read],
    given: Circumstances,
    new_brokers_of: NewBrokers,
    unknown: Collection[UUID] = (),
) -> list[EventRow]:
    """Return the events of the deliveries, each beside what is stored of it if it was processed before.

    What is `unknown` was not: of these deliveries there are no events, for they come with the outcome.
    """
    accepted = [(read.delivery, item, item.statement) for read in reads for item in read.items if item.statement]
    known = load_known_events(database, [item.event_id for one, item, _ in accepted if one.id not in unknown])
    named = ((d.source_id, d.id, i.item.index, s) for d, i, s in accepted)
    new_brokers = new_brokers_of(database, named, given.sources)
    rows = []
    for delivery, item, statement in accepted:
        is_new_broker = (delivery.id, item.item.index) in new_brokers
        rows.append(_to_row(delivery, item, statement, known.get(item.event_id), is_new_broker=is_new_broker))
    return rows


def _to_row(
    delivery: Delivery, item: ReadItem, statement: Statement, known: Mapping[str, Any] | None, *, is_new_broker: bool
) -> EventRow:
    warned: Iterable[Warned] = (*item.item.notes, *statement.warnings)
    if is_new_broker:
        warned = (*warned, Warned("", "new-broker"))  # named by an id or a token, which of them is not noted
    return EventRow(
        id=item.event_id,
        source_id=delivery.source_id,
        delivery_id=delivery.id,
        index=item.item.index,
        key=order_key(statement.effective_at, delivery.id, item.item.index),
        received_at=delivery.received_at,
        statement=statement,
        verdict=item.item.verdict,
        warnings=[{"field": one.field, "reason": one.reason} for one in dict.fromkeys(warned)],
        parts=parts_json(statement.parts),
        known=known,
        token_id=delivery.token_id,
    )


def _to_event(row: EventRow) -> Event:
    return Event(
        id=row.id,
        source_id=row.source_id,
        delivery_id=row.delivery_id,
        index=row.index,
        key=row.key,
        received_at=row.received_at,
        parts=row.parts,
        secrets={number: part.secrets for number, part in enumerate(row.statement.parts) if part.secrets},
        links_before=row.links_before,
        parts_before=row.known["parts"] if row.known else (),
        key_before=row.known["order_key"] if row.known else "",
        mark_before=row.mark_before,
    )


def _number(database: Database, outcomes: Sequence[Outcome], rows: Sequence[EventRow]) -> None:
    """Give events and deliveries that are new their places in the feed: each delivery's events, then itself."""
    events: dict[UUID, list[EventRow]] = defaultdict(list)
    for row in rows:
        if row.seq is None:
            events[row.delivery_id].append(row)
    waiting: list[EventRow | Outcome] = []
    for outcome in outcomes:
        waiting += events[outcome.delivery_id]
        if outcome.seq is None:
            waiting.append(outcome)
    numbers = database.execute("SELECT nextval('feed_seq') FROM generate_series(1, %s)", (len(waiting),)).fetchall()
    for one, (number,) in zip(waiting, numbers, strict=True):
        one.seq = number


def _prove_recipes(database: Database, reads: Sequence[Read], sources: Mapping[UUID, Source]) -> None:
    """Note the sources whose recipe an item has matched for the first time; what an earlier one matched is no proof."""
    matched = {
        read.delivery.source_id
        for read in reads
        for item in read.items
        if item.fits_today and not sources[read.delivery.source_id].recipe_proven
    }
    for source_id in sorted(matched):
        mark_recipe_proven(database, source_id, sources[source_id].recipe)
