"""Ties events to the calls of ours that they answer, by the keys under which a callback names what was asked for.

Calls are made, and their keys written, in `app.submissions`; this runs in the processor's transaction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.ids import first_id_at
from app.processing.aliases import load_aliases
from app.processing.answered import Call, First, learn_names, write_answers, write_ties
from app.processing.arrays import columns
from app.processing.call_keys import BY_CUSTOMER, BY_TOKEN, keys_of
from app.processing.event_rows import EventRow
from app.processing.identity import Names
from app.processing.record_rows import Database, Scope

LOOK_S = 1.0
"""How often keys are looked at that were learned after the callback had come."""
LOST_AFTER = timedelta(minutes=15)
"""No call takes so long: one that is `sending` after it was interrupted, and nobody knows what became of it."""

_MOST_KEYS = 500
_SLACK = timedelta(minutes=1)
"""How far an id's time may lie off the receipt."""


@dataclass(frozen=True, slots=True)
class Said:
    """An event, and the keys by which it names its subject."""

    id: UUID
    source_id: UUID
    received_at: datetime
    subject: str
    keys: frozenset[str]
    broker: str | None = None
    is_stored: bool = True


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that an event may answer; `by_customer` where it is known by its customer alone."""

    sent_at: datetime
    id: UUID
    by_customer: bool = False
    broker: str | None = None

    def may_be_of(self, broker: str | None) -> bool:
        """Tell whether an event of a broker can be about it: brokers count their own cases, and may count alike."""
        return self.broker is None or broker is None or self.broker == broker


def match_events(database: Database, rows: Sequence[EventRow]) -> None:
    """Tie the events of a batch, new ones and those read otherwise than before, to what they answer."""
    concerned = _sources_with_keys(database, {row.source_id for row in rows})
    said = [
        Said(
            row.id,
            row.source_id,
            row.received_at,
            subject,
            keys_of(subject, row.parts, row.token_id),
            row.statement.broker,
            row.known is not None,
        )
        for row in rows
        if row.source_id in concerned and (subject := row.statement.subject)
    ]
    _tie(database, said)


def match_waiting(database: Database) -> int:
    """Tie stored events by keys that were learned after them; return how many keys were looked at."""
    waiting = database.execute(
        "SELECT k.source_id, k.key, k.submission_id, s.sent_at FROM submission_keys k"
        " JOIN submissions s ON s.id = k.submission_id AND s.source_id = k.source_id"
        " WHERE k.matched_at IS NULL AND s.sent_at IS NOT NULL LIMIT %s",
        (_MOST_KEYS,),
    ).fetchall()
    if not waiting:
        return 0
    found = _about_inquiries(database, waiting) | _about_leads(database, waiting) | _by_tokens(database, waiting)
    rows = database.execute(
        "SELECT e.id, e.source_id, e.received_at, e.subject, e.parts, d.token_id, e.broker FROM events e"
        " LEFT JOIN deliveries d ON d.id = e.delivery_id AND d.source_id = e.source_id WHERE e.id = ANY(%s)",
        (list(found),),
    )
    _tie(
        database,
        [
            Said(event_id, source_id, at, subject, keys_of(subject, parts, token_id), broker)
            for event_id, source_id, at, subject, parts, token_id, broker in rows
        ],
    )
    database.execute(
        "UPDATE submission_keys k SET matched_at = clock_timestamp()"
        " FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS w (source_id, key, submission_id)"
        " WHERE (k.source_id, k.key, k.submission_id) = (w.source_id, w.key, w.submission_id)",
        columns([row[:3] for row in waiting]),
    )
    return len(waiting)


def give_up_lost(database: Database) -> int:
    """Call unknown what was being sent when its process ended; return how many."""
    lost = database.execute(
        "UPDATE submissions SET state = 'unknown', problem = jsonb_build_object('code', 'interrupted', 'detail',"
        " 'Callbox ended while it made this call; whether the platform has it is not known.', 'errors', '[]'::jsonb)"
        " WHERE state = 'sending' AND created_at < clock_timestamp() - %s",
        (LOST_AFTER,),
    )
    return lost.rowcount


def _sources_with_keys(database: Database, source_ids: set[UUID]) -> set[UUID]:
    """Return those of the sources over which anything was asked for: most know nothing of submissions."""
    rows = database.execute(
        "SELECT w.id FROM unnest(%s::uuid[]) AS w (id)"
        " WHERE EXISTS (SELECT 1 FROM submission_keys k WHERE k.source_id = w.id)",
        (list(source_ids),),
    )
    return {row[0] for row in rows}


def _tie(database: Database, said: Sequence[Said]) -> None:
    """Tie each event to the last call about its subject before it; it answers all calls about it before it."""
    asked = _load_asked(database, said)
    begun = _load_beginnings(database, said, asked)
    tied: dict[UUID, UUID] = {}
    firsts: dict[Call, First] = {}
    for event in said:
        before = [
            one
            for key in event.keys
            for one in asked[event.source_id, key]
            if one.sent_at <= event.received_at
            and one.may_be_of(event.broker)
            and (not one.by_customer or one.sent_at <= begun.get(event.id, one.sent_at))
        ]
        if before:
            tied[event.id] = max(before, key=lambda one: (one.sent_at, one.id)).id
        for one in before:
            place = (event.source_id, one.id)
            first = First(event.received_at, event.id, event.subject)
            firsts[place] = min(first, firsts.get(place, first))
    write_ties(database, tied, [event.id for event in said if event.is_stored and event.id not in tied])
    write_answers(database, firsts)
    learn_names(database, firsts)


def _load_asked(database: Database, said: Sequence[Said]) -> Mapping[tuple[UUID, str], list[_Asked]]:
    asked: dict[tuple[UUID, str], list[_Asked]] = defaultdict(list)
    wanted = {(event.source_id, key) for event in said for key in event.keys}
    if not wanted:
        return asked
    rows = database.execute(
        "SELECT k.source_id, k.key, s.sent_at, s.id, s.broker FROM submission_keys k"
        " JOIN unnest(%s::uuid[], %s::text[]) AS w (source_id, key) USING (source_id, key)"
        " JOIN submissions s ON s.id = k.submission_id AND s.source_id = k.source_id"
        " WHERE s.sent_at IS NOT NULL AND s.state <> 'refused'",
        columns(wanted),
    )
    for source_id, key, sent_at, submission_id, broker in rows:
        asked[source_id, key].append(_Asked(sent_at, submission_id, key.startswith(BY_CUSTOMER), broker))
    return asked


def _load_beginnings(
    database: Database, said: Sequence[Said], asked: Mapping[tuple[UUID, str], list[_Asked]]
) -> dict[UUID, datetime]:
    """Return when the inquiry of an event was first heard of, for the events that are known by their customer."""
    wanted = [e.id for e in said if any(one.by_customer for key in e.keys for one in asked[e.source_id, key])]
    if not wanted:
        return {}
    rows = database.execute(
        "SELECT e.id, i.first_received_at FROM events e"
        " JOIN inquiries i ON i.id = e.record_id AND i.source_id = e.source_id WHERE e.id = ANY(%s)",
        (wanted,),
    )
    return {row[0]: row[1] for row in rows}


def _about_inquiries(database: Database, waiting: Sequence[tuple[Any, ...]]) -> set[UUID]:
    """Return the events about the inquiries that keys name, from the call on."""
    rows = [
        (source_id, f"inquiry/{key.removeprefix('inquiry:')}", sent_at)
        for source_id, key, _, sent_at in waiting
        if key.startswith("inquiry:")
    ]
    return _events(
        database,
        "SELECT e.id FROM events e JOIN unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::uuid[])"
        " AS w (source_id, subject, sent_at, first_id) ON (e.source_id, e.subject) = (w.source_id, w.subject)"
        " WHERE e.id >= w.first_id AND e.received_at >= w.sent_at",
        rows,
    )


def _about_leads(database: Database, waiting: Sequence[tuple[Any, ...]]) -> set[UUID]:
    """Return the events about the leads that keys name, whichever of its ids that is, from the call on."""
    wanted: dict[tuple[Scope, str], datetime] = {}
    for source_id, key, _, sent_at in waiting:
        if key.startswith("lead:"):
            place = ((source_id, "lead"), f"id:{key.removeprefix('lead:')}")
            wanted[place] = min(sent_at, wanted.get(place, sent_at))
    names: dict[Scope, Names] = defaultdict(Names)
    if wanted:
        load_aliases(database, list(wanted), names)
    rows = [(scope[0], names[scope].root(key), sent_at) for (scope, key), sent_at in wanted.items()]
    return _events(
        database,
        "SELECT e.id FROM leads l JOIN unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::uuid[])"
        " AS w (source_id, identity, sent_at, first_id) ON (l.source_id, l.identity) = (w.source_id, w.identity)"
        " JOIN events e ON e.record_id = l.id AND e.source_id = l.source_id"
        " WHERE e.id >= w.first_id AND e.received_at >= w.sent_at",
        rows,
    )


def _by_tokens(database: Database, waiting: Sequence[tuple[Any, ...]]) -> set[UUID]:
    """Return the events that came by the tokens that keys name, from the call on, whatever they say."""
    rows = [
        (source_id, key.removeprefix(BY_TOKEN), sent_at)
        for source_id, key, _, sent_at in waiting
        if key.startswith(BY_TOKEN)
    ]
    return _events(
        database,
        "SELECT (i ->> 'event_id')::uuid FROM deliveries d JOIN unnest(%s::uuid[], %s::text[], %s::timestamptz[],"
        " %s::uuid[]) AS w (source_id, token, sent_at, first_id)"
        " ON d.source_id = w.source_id AND d.token_id::text = w.token"
        " JOIN outcomes o ON o.delivery_id = d.id AND o.source_id = d.source_id"
        " CROSS JOIN jsonb_array_elements(o.items) AS i"
        " WHERE d.id >= w.first_id AND d.received_at >= w.sent_at AND i ->> 'event_id' IS NOT NULL",
        rows,
    )


def _events(database: Database, question: str, rows: Sequence[tuple[UUID, str, datetime]]) -> set[UUID]:
    if not rows:
        return set()
    bounded = [(*row, first_id_at(row[2] - _SLACK)) for row in rows]
    return {row[0] for row in database.execute(question, columns(bounded))}
