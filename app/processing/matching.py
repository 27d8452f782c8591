"""Ties events to the calls of ours that they answer, by the keys under which a callback names what was asked for.

Calls are made, and their keys written, in `app.submissions`; this runs in the processor's transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.ids import first_id_at
from app.processing.event_rows import EventRow
from app.processing.identity import Names, bounded_key
from app.processing.record_rows import Database, Scope, load_aliases

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
    keys: frozenset[str]
    is_stored: bool = True


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that an event may answer."""

    sent_at: datetime
    id: UUID


def inquiry_key(inquiry_id: int | str) -> str:
    """Return the key of an inquiry by the platform's id."""
    return bounded_key(f"inquiry:{inquiry_id}")


def lead_key(lead_id: str) -> str:
    """Return the key of a lead by the platform's id, whose letters' case means nothing."""
    return bounded_key(f"lead:{lead_id.lower()}")


def reference_key(origin: str, key: str, value: str) -> str:
    """Return the key of a subject by one of the caller's own references."""
    return bounded_key(f"ref:{origin}\x1f{key}\x1f{value}")


def keys_of(subject: str, parts: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the keys by which an event names what it is about: its subject, its lead's ids, their references."""
    kind, _, named = subject.partition("/")
    keys = {inquiry_key(named)} if kind == "inquiry" else set()
    for part in parts:
        if part["kind"] == "inquiry":
            keys |= _references(part["fields"])
        elif part["kind"] == "lead":
            keys |= _references(part["fields"])
            keys |= {lead_key(key.removeprefix("id:")) for key in part["keys"] if key.startswith("id:")}
    return frozenset(keys)


def _references(fields: Mapping[str, Any]) -> set[str]:
    stated = fields.get("external_references") or {}
    return {
        reference_key(one.get("origin") or "", one.get("key") or "", one["value"])
        for one in stated.values()
        if one.get("value")
    }


def match_events(database: Database, rows: Sequence[EventRow]) -> None:
    """Tie the events of a batch, new ones and those read otherwise than before, to what they answer."""
    concerned = _sources_with_keys(database, {row.source_id for row in rows})
    said = [
        Said(row.id, row.source_id, row.received_at, keys_of(row.statement.subject, row.parts), row.known is not None)
        for row in rows
        if row.source_id in concerned
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
    found = _about_inquiries(database, waiting) | _about_leads(database, waiting)
    rows = database.execute(
        "SELECT id, source_id, received_at, subject, parts FROM events WHERE id = ANY(%s)", (list(found),)
    )
    _tie(database, [Said(row[0], row[1], row[2], keys_of(row[3], row[4])) for row in rows])
    database.execute(
        "UPDATE submission_keys k SET matched_at = clock_timestamp()"
        " FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS w (source_id, key, submission_id)"
        " WHERE (k.source_id, k.key, k.submission_id) = (w.source_id, w.key, w.submission_id)",
        _columns([row[:3] for row in waiting]),
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
    tied: dict[UUID, UUID] = {}
    firsts: dict[tuple[UUID, UUID], tuple[datetime, UUID]] = {}
    for event in said:
        before = [one for key in event.keys for one in asked[event.source_id, key] if one.sent_at <= event.received_at]
        if before:
            tied[event.id] = max(before, key=lambda one: (one.sent_at, one.id)).id
        for one in before:
            place = (event.source_id, one.id)
            firsts[place] = min((event.received_at, event.id), firsts.get(place, (event.received_at, event.id)))
    _write_ties(database, tied, [event.id for event in said if event.is_stored and event.id not in tied])
    _write_answers(database, firsts)


def _load_asked(database: Database, said: Sequence[Said]) -> Mapping[tuple[UUID, str], list[_Asked]]:
    asked: dict[tuple[UUID, str], list[_Asked]] = defaultdict(list)
    wanted = {(event.source_id, key) for event in said for key in event.keys}
    if not wanted:
        return asked
    rows = database.execute(
        "SELECT k.source_id, k.key, s.sent_at, s.id FROM submission_keys k"
        " JOIN unnest(%s::uuid[], %s::text[]) AS w (source_id, key) USING (source_id, key)"
        " JOIN submissions s ON s.id = k.submission_id AND s.source_id = k.source_id"
        " WHERE s.sent_at IS NOT NULL AND s.state <> 'refused'",
        _columns(wanted),
    )
    for source_id, key, sent_at, submission_id in rows:
        asked[source_id, key].append(_Asked(sent_at, submission_id))
    return asked


def _write_ties(database: Database, tied: Mapping[UUID, UUID], untied: Sequence[UUID]) -> None:
    if tied:
        database.execute(
            "UPDATE events e SET submission_id = m.submission_id FROM unnest(%s::uuid[], %s::uuid[])"
            " AS m (id, submission_id) WHERE e.id = m.id AND e.submission_id IS DISTINCT FROM m.submission_id",
            (list(tied), list(tied.values())),
        )
    if untied:
        database.execute(
            "UPDATE events SET submission_id = NULL WHERE id = ANY(%s) AND submission_id IS NOT NULL", (untied,)
        )


def _write_answers(database: Database, firsts: Mapping[tuple[UUID, UUID], tuple[datetime, UUID]]) -> None:
    """Note the first answer of each call; a call that is still `sending` or `unknown` did arrive, then."""
    if not firsts:
        return
    database.execute(
        "UPDATE submissions s SET answered_at = m.at, first_event_id = m.event_id,"
        " state = CASE WHEN s.state IN ('sending', 'accepted', 'unknown') THEN 'answered' ELSE s.state END"
        " FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::uuid[]) AS m (source_id, id, at, event_id)"
        " WHERE s.id = m.id AND s.source_id = m.source_id AND s.state <> 'refused'"
        " AND (s.answered_at IS NULL OR (m.at, m.event_id) < (s.answered_at, s.first_event_id))",
        _columns([(*place, *first) for place, first in firsts.items()]),
    )


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


def _events(database: Database, question: str, rows: Sequence[tuple[UUID, str, datetime]]) -> set[UUID]:
    if not rows:
        return set()
    bounded = [(*row, first_id_at(row[2] - _SLACK)) for row in rows]
    return {row[0] for row in database.execute(question, _columns(bounded))}


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Return rows column by column, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]
