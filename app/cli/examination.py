"""Looks at an installation for `doctor`: database, tables, key, and what waits.

Nothing is changed, and what is wrong is said in words that name the setting.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.accounts.opening import database_of, find_vault_check, vault_of, verify_vault
from app.accounts.writing import Connection
from app.config import ConfigError, Settings, load_settings
from app.crypto import WrongKeyError
from app.ids import time_of
from app.storage.database import (
    DatabaseError,
    check_server,
    connect,
    described,
    newest_revision,
    present_revision,
)
from app.times import now, to_text

_MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `values` are for programs."""

    name: str
    well: bool
    detail: str
    values: Mapping[str, Any] = field(default_factory=dict)


def examine(say: Callable[[str], None]) -> list[Finding]:
    """Return what was found, in the order in which one thing needs the other; the first fault may be the last."""
    findings: list[Finding] = []
    try:
        settings = load_settings()
    except ConfigError as error:
        return [Finding("settings", well=False, detail=str(error))]
    try:
        with database_of(settings, say) as url, connect(url) as connection:
            findings.append(Finding("database", well=True, detail=f"{described(url)} answers"))
            findings.extend(_look(connection, settings))
    except Exception as error:
        from app.cli.output import explain  # noqa: PLC0415 - only where something is wrong

        reason = explain(error)
        if reason is None:
            raise
        findings.append(Finding("database", well=False, detail=reason))
    return findings


def _look(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """Yield what can be seen over an open connection."""
    version = connection.info.parameter_status("server_version") or "?"
    try:
        check_server(connection)
        yield Finding("version", well=True, detail=f"PostgreSQL {version}", values={"server_version": version})
    except DatabaseError as error:
        yield Finding("version", well=False, detail=str(error), values={"server_version": version})
    present, newest = present_revision(connection), newest_revision()
    values = {"revision": present, "newest": newest}
    if present != newest:
        detail = f"at {present or 'nothing'}, this version needs {newest}: run `callbox migrate`"
        yield Finding("revision", well=False, detail=detail, values=values)
        return
    yield Finding("revision", well=True, detail=newest, values=values)
    yield _look_at_key(connection, settings)
    yield _look_at_quarantine(connection)
    yield _look_at_inbox(connection)


def _look_at_key(connection: Connection, settings: Settings) -> Finding:
    if find_vault_check(connection) is None:
        return Finding("encryption_key", well=True, detail="none was needed yet")
    try:
        verify_vault(connection, vault_of(settings))
    except (WrongKeyError, ConfigError) as error:
        return Finding("encryption_key", well=False, detail=str(error))
    return Finding("encryption_key", well=True, detail="fits")


def _look_at_quarantine(connection: Connection) -> Finding:
    """Count what is in quarantine by reason, up to a bound: what waits there is no fault, but somebody's decision."""
    rows = connection.execute(
        "SELECT reason, count(*) FROM (SELECT reason FROM outcomes WHERE status IN ('quarantined', 'partial')"
        " LIMIT %s) AS counted GROUP BY 1 ORDER BY 1",
        (_MOST_COUNTED,),
    ).fetchall()
    total = sum(number for _, number in rows)
    detail = ", ".join(f"{number} {reason}" for reason, number in rows) or "nothing is in it"
    if total == _MOST_COUNTED:
        detail += f"; only the first {_MOST_COUNTED} were counted"
    values = {"deliveries": total, "complete": total < _MOST_COUNTED, "reasons": dict(rows)}
    return Finding("quarantine", well=True, detail=detail, values=values)


def _look_at_inbox(connection: Connection) -> Finding:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM inbox), delivery_id FROM inbox ORDER BY delivery_id LIMIT 1"
    ).fetchone()
    if row is None:
        return Finding("inbox", well=True, detail="nothing waits", values={"depth": 0, "oldest_waiting_at": None})
    depth, since = row[0], time_of(row[1])
    waits = (now() - since).total_seconds()
    values = {"depth": depth, "oldest_waiting_at": to_text(since), "oldest_waiting_seconds": round(waits, 3)}
    return Finding("inbox", well=True, detail=f"{depth} wait, the oldest since {to_text(since)}", values=values)
