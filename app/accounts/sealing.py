"""Seals the audit log: each seal covers the entries since the last one and the last one itself.

Whoever can write to the database alone can change, remove or add entries, but not make them fit: the key lies encrypted
by CALLBOX_ENCRYPTION_KEY. How the log is checked is told in `verifying`; entries are written in `audit`.
"""

import base64
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from app.accounts.writing import Connection
from app.crypto import Vault
from app.times import now, to_epoch_ms

KEY_ROW: Final = "audit-key"
PURPOSE: Final = "audit-key"
MAC_BYTES: Final = 16
MOST_ROWS: Final = 5000
BEGINNING: Final = b""
"""What the first seal covers in place of one before it."""

ENTRY: Final = "a.id, a.at, a.actor, a.action, a.detail::text"
"""The columns of an entry `a`, as `mac_of` wants them."""

_UNSEALED: Final = f"""
SELECT {ENTRY} FROM audit_unsealed u JOIN audit a ON a.id = u.audit_id ORDER BY a.id LIMIT %s FOR UPDATE OF u
"""  # noqa: S608 - made of the constant above
LAST: Final = "SELECT number, digest FROM audit_seals ORDER BY number DESC LIMIT 1"
_WRITE: Final = """
INSERT INTO audit_seals (number, sealed_at, row_ids, row_macs, digest) VALUES (%s, %s, %s, %s, %s)
"""

_log = structlog.get_logger(__name__)


class Cause(StrEnum):
    """Why a key of seals was made: for the first seal, because a lost one was given up, or because it was gone."""

    FIRST = "first"
    RESET = "reset"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SealKey:
    """The key of the seals after number `after`, whose digest it holds, so that those before stay what they were."""

    value: bytes = field(repr=False)
    after: int
    after_digest: bytes
    cause: Cause


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal as it is stored."""

    number: int
    sealed_at: datetime
    row_ids: Sequence[UUID]
    row_macs: bytes
    digest: bytes


class Sealer:
    """Seals over one connection; only one may be at work, as only one processor is active."""

    def __init__(self, connection: Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._has_told_last = False

    def seal(self) -> int:
        """Seal what is not sealed yet, in a transaction of its own; return how many entries that were.

        Number and digest of each seal are logged once it is committed: a log store elsewhere then proves that the end
        was not cut off.
        """
        with self._connection.transaction():
            last = self._connection.execute(LAST).fetchone() or (0, BEGINNING)
            rows = self._connection.execute(_UNSEALED, (MOST_ROWS,)).fetchall()
            seal = self._write(rows, last[0], bytes(last[1])) if rows else None
        if not self._has_told_last and last[0]:  # whoever made it may have ended before it was logged
            _tell(last[0], bytes(last[1]), None)
        self._has_told_last = True
        if seal is not None:
            _tell(seal.number, seal.digest, len(rows))
        return len(rows)

    def _write(self, rows: Sequence[Sequence[Any]], last: int, before: bytes) -> Seal:
        key = get_key(self._connection, self._vault)
        macs = b"".join(mac_of(key, row) for row in rows)
        ids = [row[0] for row in rows]
        unsigned = Seal(last + 1, now(), ids, macs, b"")
        seal = replace(unsigned, digest=digest_of(key, unsigned, before))
        self._connection.execute(_WRITE, (seal.number, seal.sealed_at, ids, macs, seal.digest))
        self._connection.execute("DELETE FROM audit_unsealed WHERE audit_id = ANY(%s)", (ids,))
        return seal


def _tell(number: int, digest: bytes, rows: int | None) -> None:
    """Log a seal; `rows` is None where it is told again."""
    _log.info("audit.sealed", seal=f"{number}:{digest.hex()}", entries=rows)


def mac_of(key: SealKey, row: Sequence[Any]) -> bytes:
    """Return the MAC of an entry: all of its columns, so that no change of any goes unseen."""
    row_id, at, actor, action, detail = row
    told = orjson.dumps([str(row_id), _microseconds(at), actor, action, detail])
    return hmac.digest(key.value, b"entry" + told, "sha256")[:MAC_BYTES]


def digest_of(key: SealKey, seal: Seal, before: bytes) -> bytes:
    """Return the digest of a seal, which covers the one before and the MACs of its entries."""
    head = orjson.dumps([seal.number, _microseconds(seal.sealed_at), len(seal.row_ids), before.hex()])
    ids = b"".join(row_id.bytes for row_id in seal.row_ids)
    return hmac.digest(key.value, b"seal" + head + ids + seal.row_macs, "sha256")


def _microseconds(moment: datetime) -> int:
    """Return the microseconds since 1970: all that PostgreSQL keeps."""
    return to_epoch_ms(moment) * 1000 + moment.microsecond % 1000


def find_key(connection: Connection, vault: Vault) -> SealKey | None:
    """Return the key of seals, None before the first one.

    Raises:
        WrongKeyError: the vault has not the key that encrypted it.
    """
    row = connection.execute("SELECT value FROM installation WHERE key = %s", (KEY_ROW,)).fetchone()
    if row is None:
        return None
    told = orjson.loads(vault.decrypt(bytes(row[0]), PURPOSE))
    value = base64.b64decode(told["key"])
    return SealKey(value, told["after"], bytes.fromhex(told["after_digest"]), Cause(told["cause"]))


def get_key(connection: Connection, vault: Vault) -> SealKey:
    """Return the key of seals; the first time one is made."""
    found = find_key(connection, vault)
    if found is None:
        found = new_key(connection, Cause.FIRST)
        connection.execute("INSERT INTO installation (key, value) VALUES (%s, %s)", (KEY_ROW, wrapped(found, vault)))
    return found


def new_key(connection: Connection, cause: Cause) -> SealKey:
    """Return a fresh key for the seals that follow the last one."""
    after, digest = connection.execute(LAST).fetchone() or (0, BEGINNING)
    if after and cause is Cause.FIRST:
        cause = Cause.MISSING
        _log.error("audit.key_missing", seals=after)
    return SealKey(os.urandom(32), after, bytes(digest), cause)


def wrapped(key: SealKey, vault: Vault) -> bytes:
    """Return the key encrypted, as it lies in the table `installation`."""
    told = {"key": base64.b64encode(key.value).decode(), "after": key.after, "after_digest": key.after_digest.hex()}
    return vault.encrypt(orjson.dumps(told | {"cause": key.cause}).decode(), PURPOSE)
