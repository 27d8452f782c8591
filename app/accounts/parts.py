"""Writes the tokens and shared secrets of a source: several at once, each with a label, its use and its own revocation.

The sources themselves stand in `store`.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.accounts import audit
from app.accounts.model import Mode
from app.accounts.writing import AccountError, Connection, change, check_label, check_value
from app.crypto import Vault, WrongKeyError, new_callback_token, sha256
from app.ids import IdSource

OWN_LABEL = "submission-"
"""How the labels of tokens begin that were made for one call of ours each; nobody else is told their URLs."""

_ids = IdSource()


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that was just made; `token` is the secret part of the callback URL."""

    id: UUID
    label: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AddedSecret:
    """A shared secret that was just noted."""

    id: UUID
    label: str


def get_source_id(connection: Connection, name: str) -> UUID:
    """Return the id of a source, which is held until the end of the transaction.

    Raises:
        AccountError: there is no such source.
    """
    row = connection.execute("SELECT id FROM sources WHERE name = %s FOR UPDATE", (name,)).fetchone()
    if row is None:
        raise AccountError("name", f"there is no source {name!r}")
    found: UUID = row[0]
    return found


def add_token(
    connection: Connection, vault: Vault, name: str, label: str | None = None, *, actor: str = audit.CLI
) -> AddedToken:
    """Give a source one more token; the earlier ones stay good.

    Raises:
        AccountError: there is no such source, or the label is taken, reserved or malformed.
    """
    if label is not None and label.strip().startswith(OWN_LABEL):
        raise AccountError("label", f"begins with {OWN_LABEL!r}, as only those of tokens do that submissions have made")
    with change(connection):
        source_id = get_source_id(connection, name)
        token = add_token_row(connection, vault, source_id, label)
        detail = {"source": name, "token_id": str(token.id), "label": token.label}
        audit.record(connection, actor, "source.token.add", detail)
    return token


def add_token_row(connection: Connection, vault: Vault, source_id: UUID, label: str | None = None) -> AddedToken:
    """Add a token in the caller's change."""
    token = new_callback_token()
    added = AddedToken(_ids.next(), _free_label(connection, "source_tokens", source_id, label, "token"), token)
    connection.execute(
        "INSERT INTO source_tokens (id, source_id, label, token_sha256, token_encrypted) VALUES (%s, %s, %s, %s, %s)",
        (added.id, source_id, added.label, sha256(token), vault.encrypt(token, "token")),
    )
    return added


def live_tokens(connection: Connection, vault: Vault, source_id: UUID) -> list[AddedToken]:
    """Return the tokens of a source that are not revoked, the oldest first; without those of single submissions.

    Raises:
        WrongKeyError: the vault has not the key that encrypted them.
    """
    rows = connection.execute(
        "SELECT id, label, token_encrypted FROM source_tokens"
        " WHERE source_id = %s AND revoked_at IS NULL AND NOT starts_with(label, %s)"
        " AND token_encrypted <> '' ORDER BY id",  # what `rekeying` gave up is not shown any more
        (source_id, OWN_LABEL),
    )
    return [AddedToken(token_id, label, vault.decrypt(sealed, "token")) for token_id, label, sealed in rows]


def reveal_tokens(connection: Connection, vault: Vault, name: str) -> list[AddedToken]:
    """Return what `live_tokens` does, and note in the audit log that they were shown: the command line alone does that.

    Raises:
        AccountError: there is no such source.
        WrongKeyError: the vault has not the key that encrypted them.
    """
    with connection.transaction():
        tokens = live_tokens(connection, vault, get_source_id(connection, name))
        shown = [str(token.id) for token in tokens]
        audit.record(connection, audit.CLI, "source.url", {"source": name, "token_ids": shown})
    return tokens


def list_tokens(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return what may be shown of a source's tokens, the revoked too.

    Raises:
        AccountError: there is no such source.
    """
    return _list(
        connection,
        name,
        "SELECT id, label, created_at, revoked_at, last_used_at FROM source_tokens WHERE source_id = %s ORDER BY id",
    )


def revoke_token(connection: Connection, name: str, which: str, *, actor: str = audit.CLI) -> UUID:
    """Make a token's URL answer 404 for good; `which` is its id or label. Returns its id.

    Raises:
        AccountError: there is no such source, or no such live token of it.
    """
    with change(connection):
        token_id = _revoke(connection, "source_tokens", get_source_id(connection, name), which, "token")
        audit.record(connection, actor, "source.token.revoke", {"source": name, "token_id": str(token_id)})
    return token_id


def add_secret(
    connection: Connection, vault: Vault, name: str, value: str, label: str | None = None, *, actor: str = audit.CLI
) -> AddedSecret:
    """Give a source one more secret to check signatures by; the earlier ones stay good.

    Raises:
        AccountError: there is no such source, it has that secret already, or the label is taken or malformed.
    """
    with change(connection):
        source_id = get_source_id(connection, name)
        if any(_is_same(vault, row[0], value) for row in live_secrets(connection, source_id)):
            raise AccountError("secret", "the source has it already")
        secret = add_secret_row(connection, vault, source_id, value, label)
        detail = {"source": name, "secret_id": str(secret.id), "label": secret.label}
        audit.record(connection, actor, "source.secret.add", detail)
    return secret


def _is_same(vault: Vault, sealed: bytes, value: str) -> bool:
    """Tell whether a secret is `value`; one that cannot be decrypted is not, for it is to be given again."""
    try:
        return vault.decrypt(sealed, "secret") == value
    except WrongKeyError:
        return False


def add_secret_row(
    connection: Connection, vault: Vault, source_id: UUID, value: str, label: str | None = None
) -> AddedSecret:
    """Add a secret in the caller's change."""
    sealed = vault.encrypt(check_value("secret", value), "secret")
    added = AddedSecret(_ids.next(), _free_label(connection, "source_secrets", source_id, label, "secret"))
    connection.execute(
        "INSERT INTO source_secrets (id, source_id, label, value_encrypted) VALUES (%s, %s, %s, %s)",
        (added.id, source_id, added.label, sealed),
    )
    return added


def live_secrets(connection: Connection, source_id: UUID) -> list[tuple[bytes]]:
    """Return the encrypted secrets of a source that are not revoked."""
    return connection.execute(
        "SELECT value_encrypted FROM source_secrets WHERE source_id = %s AND revoked_at IS NULL", (source_id,)
    ).fetchall()


def list_secrets(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return what may be shown of a source's secrets, the revoked too.

    Raises:
        AccountError: there is no such source.
    """
    return _list(
        connection,
        name,
        "SELECT id, label, created_at, revoked_at FROM source_secrets WHERE source_id = %s ORDER BY id",
    )


def revoke_secret(connection: Connection, name: str, which: str, *, actor: str = audit.CLI) -> UUID:
    """Judge nothing by a secret that comes from now on; `which` is its id or label. Returns its id.

    Raises:
        AccountError: no such source or live secret, or it is the last one of a source that enforces signatures.
    """
    with change(connection):
        source_id = get_source_id(connection, name)
        secret_id = _revoke(connection, "source_secrets", source_id, which, "secret")
        row = connection.execute("SELECT mode FROM sources WHERE id = %s", (source_id,)).fetchone()
        if row == (Mode.ENFORCE.value,) and not live_secrets(connection, source_id):
            reason = (
                f"it is the last one, and {name} is in mode `enforce`; add another first, or set the mode `observe`"
            )
            raise AccountError("secret", reason)
        audit.record(connection, actor, "source.secret.revoke", {"source": name, "secret_id": str(secret_id)})
    return secret_id


def _list(connection: Connection, name: str, question: str) -> list[dict[str, Any]]:
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(question, (get_source_id(connection, name),)).fetchall()


def _free_label(connection: Connection, table: str, source_id: UUID, label: str | None, kind: str) -> str:
    """Return the label asked for, or the next number, if no live part of the source has it."""
    rows = connection.execute(f"SELECT label, revoked_at FROM {table} WHERE source_id = %s", (source_id,)).fetchall()  # noqa: S608 - a table of ours
    if label is None:
        taken = {row[0] for row in rows}
        return next(name for number in range(1, len(rows) + 2) if (name := f"{kind}-{number}") not in taken)
    label = check_label(label)
    if any(row == (label, None) for row in rows):
        raise AccountError("label", f"the source has a {kind} {label!r} already")
    return label


def _revoke(connection: Connection, table: str, source_id: UUID, which: str, kind: str) -> UUID:
    """Mark the live part that `which` names by id or label as revoked."""
    row = connection.execute(
        f"UPDATE {table} SET revoked_at = clock_timestamp()"  # noqa: S608 - a table of ours
        " WHERE source_id = %s AND revoked_at IS NULL AND (id::text = lower(%s) OR label = %s) RETURNING id",
        (source_id, which, which),
    ).fetchone()
    if row is None:
        raise AccountError(kind, f"the source has no live {kind} {which!r}")
    found: UUID = row[0]
    return found
