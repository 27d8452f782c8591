"""Reads all sources, tokens and keys into plain values in which a process can look things up without a question.

How a running process keeps them fresh is `snapshot`'s business, who writes what is read here `store`'s.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from app.accounts.model import Access, Accounts, Mode, Scope, Secret, Source, Token
from app.crypto import Vault, WrongKeyError

Rows = Sequence[Mapping[str, Any]]

ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
"""To be said first in the transaction of the questions, so that all of them see the same moment."""

QUESTIONS = (
    "SELECT id, name, provider, mode, recipe, recipe_proven_at, settings, disabled_at FROM sources",
    "SELECT id, source_id, label, token_sha256 FROM source_tokens WHERE revoked_at IS NULL",
    "SELECT source_id, value_encrypted, created_at, revoked_at FROM source_secrets ORDER BY created_at, id",
    "SELECT source_id, name, value_encrypted FROM source_credentials ORDER BY created_at, id",
    "SELECT id, name, key_sha256, scopes, source_ids, brokers, expires_at FROM api_keys WHERE revoked_at IS NULL",
)
"""What `to_accounts` wants the rows of, in this order."""

VAULT_QUESTION = "SELECT value FROM installation WHERE key = 'encryption-check'"
"""The value that the key of a database decrypts, whatever became of others; see `check_vault`."""

VAULT_CHECK = ("callbox", "encryption-check")
"""What it says, and the purpose that it was encrypted for."""


def is_key(vault: Vault, value: bytes) -> bool:
    """Tell whether the vault has the key that encrypted the answer to `VAULT_QUESTION`."""
    text, purpose = VAULT_CHECK
    try:
        return vault.decrypt(value, purpose) == text
    except WrongKeyError:
        return False


def check_vault(vault: Vault, row: Mapping[str, Any] | None) -> None:
    """See that it is not the vault where something could not be decrypted; `row` answers `VAULT_QUESTION`.

    Raises:
        WrongKeyError: the vault has not the key of this database.
    """
    if row is None or not is_key(vault, row["value"]):
        raise WrongKeyError("CALLBOX_ENCRYPTION_KEY does not fit the stored secrets")


def to_accounts(vault: Vault, answers: Sequence[Rows]) -> Accounts:
    """Return the accounts that the rows of `QUESTIONS` tell of.

    A secret that cannot be decrypted is its source's trouble alone, see `Source.unreadable`.
    """
    source_rows, token_rows, secret_rows, credential_rows, key_rows = answers
    unreadable: set[UUID] = set()
    secrets = _secrets(vault, secret_rows, unreadable)
    credentials = _credentials(vault, credential_rows, unreadable)
    sources: dict[UUID, Source] = {}
    disabled: set[UUID] = set()
    for row in source_rows:
        sources[row["id"]] = Source(
            id=row["id"],
            name=row["name"],
            provider=row["provider"],
            mode=Mode(row["mode"]),
            recipe=row["recipe"],
            recipe_proven=row["recipe_proven_at"] is not None and row["id"] not in unreadable,
            secrets=tuple(secrets[row["id"]]),
            credentials={name: tuple(values) for name, values in credentials[row["id"]].items()},
            settings=row["settings"],
            unreadable=row["id"] in unreadable,
        )
        if row["disabled_at"] is not None:
            disabled.add(row["id"])
    tokens = {
        row["token_sha256"]: Token(row["id"], row["label"], sources[row["source_id"]])
        for row in token_rows
        if row["source_id"] not in disabled
    }
    return Accounts(sources=sources, tokens=tokens, keys={row["key_sha256"]: _access(row) for row in key_rows})


def _secrets(vault: Vault, rows: Rows, unreadable: set[UUID]) -> defaultdict[UUID, list[Secret]]:
    """Return the secrets by source, the revoked too: what came while they were good is judged by them."""
    found: defaultdict[UUID, list[Secret]] = defaultdict(list)
    for row, value in _decrypted(vault, rows, "secret", unreadable):
        found[row["source_id"]].append(Secret(value, row["created_at"], row["revoked_at"]))
    return found


def _credentials(vault: Vault, rows: Rows, unreadable: set[UUID]) -> defaultdict[UUID, defaultdict[str, list[str]]]:
    found: defaultdict[UUID, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, value in _decrypted(vault, rows, "credential", unreadable):
        found[row["source_id"]][row["name"]].append(value)
    return found


def _decrypted(
    vault: Vault, rows: Rows, purpose: str, unreadable: set[UUID]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield each row with its value; add the source of a live one that cannot be decrypted to `unreadable`."""
    for row in rows:
        try:
            yield row, vault.decrypt(row["value_encrypted"], purpose)
        except WrongKeyError:
            if row.get("revoked_at") is None:
                unreadable.add(row["source_id"])


def _access(row: Mapping[str, Any]) -> Access:
    """Return what a key may do. A scope that this version does not know gives nothing."""
    known = {str(scope) for scope in Scope}
    return Access(
        key_id=row["id"],
        name=row["name"],
        scopes=frozenset(Scope(word) for word in row["scopes"] if word in known),
        source_ids=None if row["source_ids"] is None else frozenset(row["source_ids"]),
        brokers=None if row["brokers"] is None else frozenset(row["brokers"]),
        expires_at=row["expires_at"],
    )
