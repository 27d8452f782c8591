"""Writes which event answers which call of ours, and what the platform is found to call what was asked for.

Which these are is settled in `matching`; the transaction is the processor's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import orjson

from app.processing.arrays import columns
from app.processing.call_keys import inquiry_key, lead_key
from app.processing.record_rows import Database

Call: TypeAlias = tuple[UUID, UUID]
"""A call of ours: its source and its submission."""

_NO_INQUIRY_ID = 1 << 63
_NO_LEAD_ID = tuple(word + mark for word in ("ref", "delivery", "sha256") for mark in ":%")
"""How the subject of a lead goes on where it is not the platform's own id as it is (decision 0013)."""


class First(NamedTuple):
    """The first event that answers a call."""

    at: datetime
    event_id: UUID
    subject: str


def write_ties(database: Database, tied: Mapping[UUID, UUID], untied: Sequence[UUID]) -> None:
    """Write to which call each event belongs now, and which belong to none."""
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


def write_answers(database: Database, firsts: Mapping[Call, First]) -> None:
    """Note the first answer of each call; a call that is still `sending` or `unknown` did arrive, then."""
    if not firsts:
        return
    database.execute(
        "UPDATE submissions s SET answered_at = m.at, first_event_id = m.event_id,"
        " state = CASE WHEN s.state IN ('sending', 'accepted', 'unknown') THEN 'answered' ELSE s.state END"
        " FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::uuid[]) AS m (source_id, id, at, event_id)"
        " WHERE s.id = m.id AND s.source_id = m.source_id AND s.state <> 'refused'"
        " AND (s.answered_at IS NULL OR (m.at, m.event_id) < (s.answered_at, s.first_event_id))",
        columns([(*call, first.at, first.event_id) for call, first in firsts.items()]),
    )


def learn_names(database: Database, firsts: Mapping[Call, First]) -> None:
    """Note the platform's id of what was asked for where its answer did not tell it, and look for it from now on.

    A forward may leave the making of the inquiry to the user, and an answer may never have come.
    """
    named = [(*call, *name) for call, first in firsts.items() if (name := _name_of(first.subject)) is not None]
    if not named:
        return
    database.execute(
        "WITH learned AS ("
        " UPDATE submissions s SET platform_ids = m.ids || s.platform_ids"
        " FROM unnest(%s::uuid[], %s::uuid[], %s::jsonb[], %s::text[]) AS m (source_id, id, ids, key)"
        " WHERE s.id = m.id AND s.source_id = m.source_id AND s.state <> 'refused'"
        " AND NOT s.platform_ids ?| ARRAY['inquiry_id', 'lead_id'] RETURNING s.source_id, m.key, s.id)"
        " INSERT INTO submission_keys (source_id, key, submission_id) SELECT * FROM learned ON CONFLICT DO NOTHING",
        columns(named),
    )


def _name_of(subject: str) -> tuple[str, str] | None:
    """Return the platform's id that a subject holds, as a member of `platform_ids`, and its key."""
    kind, _, name = subject.partition("/")
    if kind == "inquiry" and name.isascii() and name.isdigit() and int(name) < _NO_INQUIRY_ID:
        return orjson.dumps({"inquiry_id": int(name)}).decode(), inquiry_key(name)
    if kind == "lead" and not name.startswith(_NO_LEAD_ID):
        return orjson.dumps({"lead_id": name}).decode(), lead_key(name)
    return None
