"""Checks the audit log against its seals, and names the first entry that does not fit.

What a seal is made of stands in `sealing`. A log whose end was cut off fits itself: that is seen only against seals
that were logged elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg.pq import TransactionStatus

from app.accounts.reading import ONE_MOMENT
from app.accounts.sealing import (
    BEGINNING,
    ENTRY,
    MAC_BYTES,
    MOST_ROWS,
    Cause,
    Seal,
    SealKey,
    digest_of,
    find_key,
    mac_of,
)
from app.accounts.writing import AccountError, Connection
from app.crypto import Vault
from app.ids import time_of
from app.times import now

MISFIT_ROW: Final = "audit-misfit"
"""The row of table `installation` that holds what the last check found, as JSON; none where all fitted."""

_PAGE: Final = 500
_DIGEST_DIGITS: Final = 64
_LATE: Final = timedelta(days=1)
"""No transaction takes so long to commit an entry, and no two clocks are so far apart."""

_SEALS: Final = """
SELECT number, sealed_at, row_ids, row_macs, digest FROM audit_seals
WHERE number > %s ORDER BY number LIMIT %s
"""
_ENTRIES: Final = f"SELECT {ENTRY} FROM audit a WHERE a.id = ANY(%s)"  # noqa: S608 - made of a constant
# By sets: a question for the first such entry compares each entry with each sealed one, and there is none as a rule.
_STRANGER: Final = """
SELECT id FROM audit EXCEPT SELECT audit_id FROM audit_unsealed EXCEPT SELECT unnest(row_ids) FROM audit_seals
ORDER BY id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Misfit:
    """The first thing that does not fit: an entry, a seal, or both; `what` is a sentence without its subject."""

    what: str
    entry_id: UUID | None = None
    seal: int | None = None

    def __str__(self) -> str:
        """Return it as a sentence for people."""
        subject = f"Entry {self.entry_id}" if self.entry_id else f"Seal {self.seal}"
        return f"{subject} {self.what}."


@dataclass(slots=True)
class Checked:
    """What checking the log gave. `unverifiable` seals were made with a key that was given up since."""

    seals: int = 0
    entries: int = 0
    unsealed: int = 0
    unverifiable: int = 0
    last: Seal | None = None
    misfit: Misfit | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        told: dict[str, Any] = {"ok": self.misfit is None, "seals": self.seals, "entries": self.entries}
        told |= {"unsealed": self.unsealed, "unverifiable_seals": self.unverifiable}
        told["last_seal"] = None if self.last is None else f"{self.last.number}:{self.last.digest.hex()}"
        told["first_misfit"] = self.misfit and {
            "entry_id": self.misfit.entry_id,
            "seal": self.misfit.seal,
            "what": str(self.misfit),
        }
        return told


def note_misfit(connection: Connection, checked: Checked) -> None:
    """Keep what was found for those who ask what needs somebody, or that all fits again."""
    with connection.transaction():
        connection.execute("DELETE FROM installation WHERE key = %s", (MISFIT_ROW,))
        if checked.misfit is not None:
            told = orjson.dumps({"what": str(checked.misfit), "found_at": now()})
            connection.execute("INSERT INTO installation (key, value) VALUES (%s, %s)", (MISFIT_ROW, told))


def parse_seal(text: str) -> tuple[int, bytes]:
    """Return number and digest of a seal as it was logged: `NUMBER:DIGEST`.

    Raises:
        AccountError: it is none.
    """
    number, _, digest = text.partition(":")
    try:
        found = bytes.fromhex(digest)
    except ValueError:
        found = b""
    if not (number.isascii() and number.isdigit()) or len(found) * 2 != _DIGEST_DIGITS:
        raise AccountError("seal", "must be NUMBER:DIGEST as in the log's `audit.sealed`")
    return int(number), found


def verify_audit(connection: Connection, vault: Vault, logged: Sequence[tuple[int, bytes]] = ()) -> Checked:
    """Check all of the log as it is at one moment, and that the `logged` seals are in it. Writes nothing.

    Raises:
        WrongKeyError: the vault has not the key of this database.
    """
    checked = Checked()
    outermost = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction():
        if outermost:
            connection.execute(ONE_MOMENT)
        key = find_key(connection, vault)
        misfits = [*_misfits_in_seals(connection, key, checked, dict(logged))]
        row = connection.execute(_STRANGER).fetchone()
        if row is not None:
            misfits.append(Misfit("is in no seal: it was inserted, or its seal was removed", entry_id=row[0]))
        counted = connection.execute("SELECT count(*) FROM audit_unsealed").fetchone()
    checked.unsealed = counted[0] if counted else 0
    # An entry's id tells its place; a seal without an entry is told first, for what it covered is unknown.
    checked.misfit = min(misfits, key=lambda one: one.entry_id or UUID(int=0), default=None)
    return checked


def _misfits_in_seals(
    connection: Connection, key: SealKey | None, checked: Checked, logged: dict[int, bytes]
) -> Iterator[Misfit]:
    """Yield the first thing that does not fit while walking along the seals, if there is one."""
    before, number, settled_at = BEGINNING, 0, None
    while seals := [Seal(*row) for row in connection.execute(_SEALS, (number, _PAGE))]:
        wanted = [row_id for seal in seals for row_id in seal.row_ids]
        entries = {row[0]: row for row in connection.execute(_ENTRIES, (wanted,))}
        for seal in seals:
            number += 1
            if settled_at is not None and seal.sealed_at < settled_at:
                settled_at = None  # our clock had run ahead: what was sealed then says nothing of when that was
            found = _misfit_of(seal, number, before, key, entries)
            found = found or _misfit_with_log(seal, logged) or _misfit_in_time(seal, settled_at, entries)
            if found is not None:
                yield found
                return
            checked.seals, checked.last = number, seal
            checked.entries += len(seal.row_ids)
            checked.unverifiable += key is not None and number <= key.after
            before = seal.digest
            settled_at = seal.sealed_at if len(seal.row_ids) < MOST_ROWS else settled_at
    if logged and max(logged) > number:
        yield Misfit(f"was logged, but the seals end with {number}: the end was cut off", seal=max(logged))


def _misfit_of(seal: Seal, number: int, before: bytes, key: SealKey | None, entries: dict[UUID, Any]) -> Misfit | None:
    if seal.number != number:
        return Misfit("was removed", seal=number)
    for row_id in seal.row_ids:
        if row_id not in entries:
            return Misfit("was removed", entry_id=row_id, seal=number)
    return _misfit_by_key(seal, before, key, entries)


def _misfit_by_key(seal: Seal, before: bytes, key: SealKey | None, entries: dict[UUID, Any]) -> Misfit | None:
    number = seal.number
    if key is None or (number <= key.after and key.cause is not Cause.RESET):
        return Misfit("cannot be checked: its key was removed", seal=number)
    if number <= key.after:  # given up by `callbox secrets reset`; what it was at that moment is known
        return Misfit("was changed", seal=number) if number == key.after and seal.digest != key.after_digest else None
    if digest_of(key, seal, before) != seal.digest:
        return Misfit("was changed, or the one before it", seal=number)
    for place, row_id in enumerate(seal.row_ids):
        if mac_of(key, entries[row_id]) != seal.row_macs[place * MAC_BYTES : (place + 1) * MAC_BYTES]:
            return Misfit("was changed", entry_id=row_id, seal=number)
    return None


def _misfit_in_time(seal: Seal, settled_at: datetime | None, entries: dict[UUID, Any]) -> Misfit | None:
    """Find an entry that is far older than the last seal before its own that left nothing unsealed."""
    if settled_at is None:
        return None
    for row_id in seal.row_ids:
        if min(entries[row_id][1], time_of(row_id)) < settled_at - _LATE:
            return Misfit("is older than the seals before its own: it was inserted later", row_id, seal.number)
    return None


def _misfit_with_log(seal: Seal, logged: dict[int, bytes]) -> Misfit | None:
    if seal.number in logged and logged[seal.number] != seal.digest:
        return Misfit("is not the one that was logged", seal=seal.number)
    return None
