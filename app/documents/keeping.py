"""Reads and writes how far a document is: what is due, who fetches it, what came of it.

Every statement is its own commit. A fetcher holds a document for a short time that it prolongs (`HOLD`), so that one
that was killed is soon given up; it is known by the number of the attempt, so that one that was only thought dead
changes nothing any more.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.crypto import Vault, WrongKeyError
from app.ids import IdSource
from app.jobs.bench import Database

HOLD: Final = timedelta(seconds=30)
RENEW_BEFORE: Final = timedelta(hours=1)
RENEW_EVERY: Final = timedelta(minutes=20)
MOST_RENEWALS: Final = 6

_SEALED_FOR: Final = "document"

_ABLE: Final = (
    "s.disabled_at IS NULL AND s.provider = 'thinksurance' AND (%(links)s AND s.settings ->> 'document_hosts' <> ''"
    " OR 2 = (SELECT count(DISTINCT c.name) FROM source_credentials c"
    " WHERE c.source_id = s.id AND c.name IN ('hash', 'secret')))"
)
"""Of a source that can be asked for files: by its API user, or at the hosts that it names for links."""

_DUE: Final = f"""
SELECT found.id FROM sources s CROSS JOIN LATERAL (
    SELECT d.id, coalesce(d.next_attempt_at, '-infinity'::timestamptz) AS due_at FROM documents d
    WHERE d.source_id = s.id AND d.state IN ('announced', 'fetching')
    AND coalesce(d.next_attempt_at, '-infinity'::timestamptz) <= %(now)s
    ORDER BY coalesce(d.next_attempt_at, '-infinity'::timestamptz) LIMIT %(limit)s
) found WHERE {_ABLE} ORDER BY found.due_at LIMIT %(limit)s
"""  # noqa: S608 - constants

_RENEWABLE: Final = f"""
FROM sources s JOIN documents d ON d.source_id = s.id
WHERE {_ABLE} AND d.state = 'announced' AND d.attempts > 0 AND d.inquiry_id IS NOT NULL
AND d.token_expires_at < %(soon)s AND d.renewals < %(most)s
AND (d.renewed_at IS NULL OR d.renewed_at <= %(earlier)s OR d.renewed_at > %(now)s)
"""

# No wait is longer than an hour and a bit: what is to wait for days was put off by a clock that had run ahead.
_PUT_OFF: Final = """
UPDATE documents SET next_attempt_at = NULL
WHERE state IN ('announced', 'fetching') AND coalesce(next_attempt_at, '-infinity'::timestamptz) > %s
"""
_LONGEST_WAIT: Final = timedelta(days=1)

_CLAIM: Final = """
UPDATE documents SET state = 'fetching', attempts = attempts + 1, attempted_at = %(now)s, next_attempt_at = %(until)s
WHERE id = %(id)s AND state IN ('announced', 'fetching')
AND coalesce(next_attempt_at, '-infinity'::timestamptz) <= %(now)s
RETURNING id, source_id, attempts, hash, full_name, token_expires_at, renewals, link_encrypted, token_encrypted,
    broker_token_encrypted
"""

_STILL_HELD: Final = "WHERE id = %(id)s AND state = 'fetching' AND attempts = %(attempt)s"

_SAME: Final = (
    "(token_encrypted, link_encrypted, token_expires_at)"
    " IS NOT DISTINCT FROM (%(token)s::bytea, %(link)s::bytea, %(ends)s::timestamptz)"
)
"""Holds where the document was not announced with another token meanwhile; else it is due again at once."""

_ARCHIVE: Final = (
    "UPDATE documents SET state = 'archived', archived_at = %(now)s, size = %(size)s, sha256 = %(sha256)s,"  # noqa: S608
    " content_type = %(content_type)s, fetched_by = %(way)s, next_attempt_at = NULL, last_error = NULL " + _STILL_HELD
)
_RENEW: Final = (
    "UPDATE documents SET renewals = renewals + 1, renewed_at = %(now)s"  # noqa: S608 - constants
    f" WHERE id IN (SELECT d.id {_RENEWABLE} AND s.id = %(source)s) RETURNING inquiry_id"
)
_WANT: Final = (
    "INSERT INTO wanted_pulls (id, source_id, subject, cause)"
    " SELECT id, %s, subject, 'token' FROM unnest(%s::uuid[], %s::text[]) AS w (id, subject) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Held:
    """A document that this fetcher holds, with what it may be had by."""

    id: UUID
    source_id: UUID
    attempt: int
    hash: str
    name: str | None = field(repr=False)
    token_expires_at: datetime | None
    renewals: int
    link: str | None = field(repr=False)
    token: str | None = field(repr=False)
    broker_token: str | None = field(repr=False)
    sealed: tuple[bytes | None, bytes | None] = field(repr=False)
    """Link and token as they are stored."""


@dataclass(frozen=True, slots=True)
class Archived:
    """What is known of the copy."""

    sha256: str
    size: int
    content_type: str
    way: str


def find_due(database: Database, now: datetime, limit: int) -> list[UUID]:
    """Return documents that are to be fetched now, those that wait longest first."""
    rows = database.execute(_DUE, {"now": now, "limit": limit, "links": True})
    return [row[0] for row in rows]


def claim(database: Database, vault: Vault, document_id: UUID, now: datetime) -> Held | None:
    """Take a document that is due; None where it is not, or another has it."""
    row = database.execute(_CLAIM, {"id": document_id, "now": now, "until": now + HOLD}).fetchone()
    if row is None:
        return None
    found, source_id, attempt, digest, name, ends, renewals, link, token, broker = row
    return Held(
        found,
        source_id,
        attempt,
        digest,
        name,
        ends,
        renewals,
        _opened(vault, link),
        _opened(vault, token),
        _opened(vault, broker),
        (link, token),
    )


def prolong(database: Database, held: Held, now: datetime) -> None:
    """Hold a document for longer."""
    database.execute(
        f"UPDATE documents SET next_attempt_at = %(until)s {_STILL_HELD}",  # noqa: S608 - a constant
        {"id": held.id, "attempt": held.attempt, "until": now + HOLD},
    )


def archive(database: Database, held: Held, kept: Archived, now: datetime) -> bool:
    """Note that a document is archived; tell whether it was still held."""
    done = database.execute(
        _ARCHIVE,
        {
            "id": held.id,
            "attempt": held.attempt,
            "now": now,
            "size": kept.size,
            "sha256": kept.sha256,
            "content_type": kept.content_type,
            "way": kept.way,
        },
    )
    return done.rowcount == 1


def give_back(database: Database, held: Held, error: str, state: str, at: datetime | None) -> None:
    """Note why a document was not had: it is tried again `at` a time, or in state `failed` or `expired` no more."""
    link, token = held.sealed
    given = {
        "id": held.id,
        "attempt": held.attempt,
        "error": error,
        "state": state,
        "at": at,
        "token": token,
        "link": link,
        "ends": held.token_expires_at,
    }
    database.execute(
        f"UPDATE documents SET state = CASE WHEN {_SAME} THEN %(state)s ELSE 'announced' END,"  # noqa: S608 - constants
        f" next_attempt_at = CASE WHEN {_SAME} THEN %(at)s::timestamptz END,"
        f" attempts = CASE WHEN {_SAME} THEN attempts ELSE 0 END, last_error = %(error)s {_STILL_HELD}",
        given,
    )


def take_up(database: Database, now: datetime) -> None:
    """Make due again what a clock that ran ahead has put off for long."""
    database.execute(_PUT_OFF, (now + _LONGEST_WAIT,))


def find_sources_to_renew(database: Database, now: datetime, limit: int) -> list[UUID]:
    """Return the sources with documents that were tried in vain and whose token ends soon, or has ended."""
    rows = database.execute(f"SELECT DISTINCT s.id {_RENEWABLE} LIMIT %(limit)s", _renewal(now) | {"limit": limit})
    return [row[0] for row in rows]


def want_tokens(database: Database, ids: IdSource, source_id: UUID, now: datetime) -> int:
    """Have the inquiries of such documents pulled, for a pull brings a new token; return how many."""
    with database.transaction():
        rows = database.execute(_RENEW, _renewal(now) | {"source": source_id}).fetchall()
        subjects = sorted({f"inquiry/{inquiry_id}" for (inquiry_id,) in rows})
        database.execute(_WANT, (source_id, [ids.next() for _ in subjects], subjects))
    return len(subjects)


def _renewal(now: datetime) -> dict[str, Any]:
    return {
        "now": now,
        "soon": now + RENEW_BEFORE,
        "earlier": now - RENEW_EVERY,
        "most": MOST_RENEWALS,
        "links": False,
    }


def _opened(vault: Vault, sealed: bytes | None) -> str | None:
    """Return a secret; None where there is none that the key opens."""
    if sealed is None:
        return None
    try:
        return vault.decrypt(bytes(sealed), _SEALED_FOR)
    except WrongKeyError:
        return None
