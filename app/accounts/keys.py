"""Writes API keys: who may read what, until when, and behind which walls.

What a scope allows is decided where it is asked for; running processes read the keys through `snapshot`.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.rows import dict_row

from app.accounts import audit
from app.accounts.model import Scope
from app.accounts.writing import AccountError, Connection, change, check_label
from app.crypto import new_api_key, sha256
from app.ids import IdSource
from app.times import to_text

_ids = IdSource()
_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_BROKER_MAX = 1000


@dataclass(frozen=True, slots=True)
class AddedKey:
    """An API key that was just made; `key` is shown once, only its digest is kept."""

    id: UUID
    name: str
    key: str = field(repr=False)
    scopes: tuple[Scope, ...]
    expires_at: datetime | None


def parse_expiry(text: str, moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the end that `90d`, `12h`, `30m`, `2w`, a date (its midnight in `zone`) or an RFC 3339 instant means.

    Raises:
        AccountError: it is none of these, or not after `moment`.
    """
    try:
        if span := _SPAN.fullmatch(text):
            end = moment + int(span[1]) * _UNITS[span[2]]
        elif len(text) == len("2027-01-31"):
            end = datetime.combine(date.fromisoformat(text), time(), zone)
        else:
            end = datetime.fromisoformat(text)
        end = (end if end.tzinfo else end.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        reason = f"{text!r} is no time span such as 90d or 12h, no date such as 2027-01-31 and no instant"
        raise AccountError("expires", reason) from None
    if end <= moment:
        raise AccountError("expires", f"{text!r} is over already")
    return end


def add_key(
    connection: Connection,
    name: str,
    scopes: Collection[Scope],
    *,
    sources: Sequence[str] = (),
    brokers: Sequence[str] = (),
    expires_at: datetime | None = None,
    actor: str = audit.CLI,
) -> AddedKey:
    """Make an API key. Without `sources` or `brokers` there is no such wall.

    Raises:
        AccountError: the name is malformed, no scope is given, or a source does not exist.
    """
    name = check_label(name, "name")
    if not scopes:
        raise AccountError("scope", f"at least one is needed out of {', '.join(Scope)}")
    if any(not broker or len(broker) > _BROKER_MAX or "\x00" in broker for broker in brokers):
        raise AccountError("broker", f"1 to {_BROKER_MAX} characters are needed")
    ordered = tuple(scope for scope in Scope if scope in scopes)
    added = AddedKey(_ids.next(), name, new_api_key(), ordered, expires_at)
    with change(connection):
        connection.execute(
            "INSERT INTO api_keys (id, name, key_sha256, scopes, source_ids, brokers, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (
                added.id,
                name,
                sha256(added.key),
                [scope.value for scope in ordered],
                _wall(connection, sources),
                list(dict.fromkeys(brokers)) or None,
                expires_at,
            ),
        )
        detail = {"key_id": str(added.id), "name": name, "scopes": ordered, "sources": sources, "brokers": brokers}
        detail |= {"expires_at": to_text(expires_at)} if expires_at else {}
        audit.record(connection, actor, "key.add", detail)
    return added


def _wall(connection: Connection, names: Sequence[str]) -> list[UUID] | None:
    """Return the ids of the sources named, None for no wall."""
    if not names:
        return None
    rows = connection.execute("SELECT name, id FROM sources WHERE name = ANY(%s)", (list(names),)).fetchall()
    ids: dict[str, UUID] = dict(rows)
    for name in names:
        if name not in ids:
            raise AccountError("source", f"there is no source {name!r}")
    return list(ids.values())


def list_keys(connection: Connection) -> list[dict[str, Any]]:
    """Return what may be shown of all keys, the revoked too; walls by the names of sources."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT id, name, scopes, brokers, created_at, expires_at, revoked_at,
                   CASE WHEN source_ids IS NOT NULL THEN
                       ARRAY(SELECT s.name FROM sources s WHERE s.id = ANY(source_ids) ORDER BY s.name)
                   END AS sources
            FROM api_keys ORDER BY id
            """
        ).fetchall()


def revoke_key(connection: Connection, which: str, *, actor: str = audit.CLI) -> UUID:
    """Refuse a key from now on; `which` is its id, or its name if only one live key has it. Returns its id.

    Raises:
        AccountError: no live key is meant, or more than one.
    """
    with change(connection):
        rows = connection.execute(
            "SELECT id FROM api_keys WHERE revoked_at IS NULL AND (id::text = lower(%s) OR name = %s)"
            " ORDER BY id FOR UPDATE",
            (which, which),
        ).fetchall()
        if not rows:
            raise AccountError("key", f"there is no live key {which!r}")
        if len(rows) > 1:
            ids = ", ".join(str(row[0]) for row in rows)
            raise AccountError("key", f"several live keys are named {which!r}; revoke by id: {ids}")
        key_id: UUID = rows[0][0]
        connection.execute("UPDATE api_keys SET revoked_at = clock_timestamp() WHERE id = %s", (key_id,))
        audit.record(connection, actor, "key.revoke", {"key_id": str(key_id)})
    return key_id
