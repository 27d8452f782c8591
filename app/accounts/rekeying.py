"""Encrypts all that is encrypted in the database with another key, or gives up what a lost key made unreadable.

What holds secrets is listed here, each with the purpose it is bound to; the values themselves are written by the rooms
that have them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import sql

from app.accounts import audit
from app.accounts.first_start import FIRST_START, SHOWN
from app.accounts.opening import CHECK_ROW, CHECK_TEXT, find_vault_check
from app.accounts.sealing import KEY_ROW, Cause, find_key, new_key, wrapped
from app.accounts.snapshot import RECEIVER_NAME
from app.accounts.writing import AccountError, Connection, change
from app.crypto import Vault, WrongKeyError

_BATCH = 1000
_RECEIVERS: Final = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s LIMIT 1"


class _Place(NamedTuple):
    """A column of encrypted values: the purpose they are bound to, and how one that is unreadable is given up."""

    table: LiteralString
    column: LiteralString
    purpose: str
    give_up: LiteralString


PLACES: Final = (
    _Place("source_tokens", "token_encrypted", "token", "UPDATE source_tokens SET token_encrypted = ''"),
    _Place("source_secrets", "value_encrypted", "secret", "DELETE FROM source_secrets"),
    _Place("source_credentials", "value_encrypted", "credential", "DELETE FROM source_credentials"),
    _Place("documents", "link_encrypted", "document", "UPDATE documents SET link_encrypted = NULL"),
    _Place("documents", "token_encrypted", "document", "UPDATE documents SET token_encrypted = NULL"),
    _Place("documents", "broker_token_encrypted", "document", "UPDATE documents SET broker_token_encrypted = NULL"),
)


def rotate_key(
    connection: Connection, vault: Vault, new: Vault, active_lock: int, *, actor: str = audit.CLI
) -> Mapping[str, int]:
    """Encrypt everything with the `new` key, all or nothing; return how many values there were, by `table.column`.

    `active_lock` is the advisory lock of a running processor, which would go on writing with the present key, as a
    receiver would.

    Raises:
        AccountError: the service runs, or a value was encrypted with neither key.
    """
    counts = {}
    with change(connection), _nobody_works(connection, active_lock):
        for place in PLACES:
            counts[_name(place)] = _rewrite(connection, place, vault, new)
        sealed = _find_first_start(connection)
        if sealed is not None:
            _set_installation(connection, FIRST_START, new.encrypt(vault.decrypt(sealed, FIRST_START), FIRST_START))
        if (audit_key := find_key(connection, vault)) is not None:  # the key itself stays, so that old seals still fit
            _set_installation(connection, KEY_ROW, wrapped(audit_key, new))
        _set_installation(connection, CHECK_ROW, new.encrypt(CHECK_TEXT, CHECK_ROW))
        audit.record(connection, actor, "secrets.rotate-key", {"values": counts})
    return counts


def count_unreadable(connection: Connection, vault: Vault) -> dict[str, int]:
    """Return how many values the key does not decrypt, by `table.column`; `installation` is the check of the key."""
    counts = {}
    for place in PLACES:
        rows = _values(connection, place)
        if found := sum(not _is_readable(vault, value, place.purpose) for _, value in rows):
            counts[_name(place)] = found
    check = find_vault_check(connection)
    if check is not None and not _is_readable(vault, check, CHECK_ROW):
        counts["installation"] = 1
    return counts


def reset(connection: Connection, vault: Vault, active_lock: int, *, actor: str = audit.CLI) -> dict[str, int]:
    """Give up what the key does not decrypt, make it the key of this database, and return what was given up.

    Callback URLs go on receiving, though nobody can show them any more; modes stay as they are, so that a source that
    enforces signatures quarantines everything until it has a secret again.

    Raises:
        AccountError: the service runs.
    """
    with change(connection), _nobody_works(connection, active_lock):
        counts = count_unreadable(connection, vault)
        for place in PLACES:
            lost = [
                row_id for row_id, value in _values(connection, place) if not _is_readable(vault, value, place.purpose)
            ]
            if lost:
                connection.execute(sql.SQL(place.give_up) + sql.SQL(" WHERE id = ANY(%s)"), (lost,))
        sealed = _find_first_start(connection)
        if sealed is not None and not _is_readable(vault, sealed, FIRST_START):
            _set_installation(connection, FIRST_START, SHOWN)
        if not _has_audit_key(connection, vault):
            _set_installation(connection, KEY_ROW, wrapped(new_key(connection, Cause.RESET), vault))
        _set_installation(connection, CHECK_ROW, vault.encrypt(CHECK_TEXT, CHECK_ROW))
        audit.record(connection, actor, "secrets.reset", {"given_up": counts})
    return counts


@contextmanager
def _nobody_works(connection: Connection, active_lock: int) -> Iterator[None]:
    """Keep processors out until the end of the transaction, and see that no receiver runs, wherever it may."""
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (active_lock,)).fetchone()
    if row != (True,) or connection.execute(_RECEIVERS, (RECEIVER_NAME,)).fetchone() is not None:
        raise AccountError("service", "it runs on this database; stop each `callbox serve` and `callbox work` first")
    yield


def _name(place: _Place) -> str:
    return f"{place.table}.{place.column}"


def _values(connection: Connection, place: _Place) -> list[tuple[Any, bytes]]:
    """Return the encrypted values of a place with the ids of their rows, held until the end of the transaction."""
    question = sql.SQL("SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL AND {column} <> '' FOR UPDATE")
    names = {"table": sql.Identifier(place.table), "column": sql.Identifier(place.column)}
    return [(row_id, bytes(value)) for row_id, value in connection.execute(question.format(**names))]


def _rewrite(connection: Connection, place: _Place, vault: Vault, new: Vault) -> int:
    """Write all values of a place anew and return how many there were."""
    rows = _values(connection, place)
    statement = sql.SQL("UPDATE {table} SET {column} = %s WHERE id = %s").format(
        table=sql.Identifier(place.table), column=sql.Identifier(place.column)
    )
    with connection.cursor() as cursor:
        for begin in range(0, len(rows), _BATCH):
            try:
                written = [
                    (new.encrypt(vault.decrypt(value, place.purpose), place.purpose), row_id)
                    for row_id, value in rows[begin : begin + _BATCH]
                ]
            except WrongKeyError:
                reason = "a value was encrypted with another key; `callbox secrets reset` gives such values up"
                raise AccountError(_name(place), reason) from None
            cursor.executemany(statement, written)
    return len(rows)


def _is_readable(vault: Vault, value: bytes, purpose: str) -> bool:
    try:
        vault.decrypt(value, purpose)
    except WrongKeyError:
        return False
    return True


def _has_audit_key(connection: Connection, vault: Vault) -> bool:
    """Tell whether the audit log can be sealed and checked; before the first seal there is no key."""
    try:
        find_key(connection, vault)
    except WrongKeyError:
        return False
    return True


def _find_first_start(connection: Connection) -> bytes | None:
    """Return what the first start made, as long as nobody was shown it."""
    row = connection.execute("SELECT value FROM installation WHERE key = %s", (FIRST_START,)).fetchone()
    return None if row is None or bytes(row[0]) in {b"", SHOWN} else bytes(row[0])


def _set_installation(connection: Connection, key: str, value: bytes) -> None:
    connection.execute(
        "INSERT INTO installation (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
