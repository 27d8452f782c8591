"""Keeps what the events of dropped months said of their records, so that these can still be folded anew.

A baseline is of one key of a record, as items name it, for a key may turn out to be another record's. When months are
dropped is settled in `retention`; what is folded on to baselines, in `projection` and by whoever asks for the past.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from psycopg import Connection

from app.processing.order import event_in
from app.processing.records import Account, State, Told, filled
from app.times import to_moment

Database: TypeAlias = Connection[tuple[Any, ...]]

_LOAD = """
SELECT to_jsonb(b) || jsonb_build_object('holds', m.dropped_at IS NOT NULL)
FROM baselines b JOIN closed_months m ON m.id = b.month_id WHERE b.record_id = ANY(%s)
"""
_WRITE = """
INSERT INTO baselines (id, source_id, month_id, kind, key, broker, record_id, said, head_key, head_receipt,
    last_change_key, first_received_at, last_received_at, changed_at, event_count, submission_id)
SELECT id, source_id, month_id, kind, key, broker, record_id, said, head_key, head_receipt,
    last_change_key, first_received_at, last_received_at, changed_at, event_count, submission_id
FROM jsonb_populate_recordset(NULL::baselines, %s::jsonb)
ON CONFLICT (id, source_id) DO UPDATE SET said = EXCLUDED.said, head_key = EXCLUDED.head_key,
    head_receipt = EXCLUDED.head_receipt, last_change_key = EXCLUDED.last_change_key,
    first_received_at = EXCLUDED.first_received_at, last_received_at = EXCLUDED.last_received_at,
    changed_at = EXCLUDED.changed_at, event_count = EXCLUDED.event_count, submission_id = EXCLUDED.submission_id
"""
_RELINK = """
UPDATE baselines b SET record_id = m.record_id FROM unnest(%s::uuid[], %s::uuid[]) AS m (id, record_id)
WHERE b.id = m.id
"""


@dataclass(slots=True)
class Baseline:
    """What events of one month, one key and one broker said; it `holds` once the month is dropped."""

    id: UUID
    source_id: UUID
    month_id: UUID
    kind: str
    key: str
    broker: str | None
    record_id: UUID
    account: Account
    last_change_key: str = ""
    submission_id: UUID | None = None
    holds: bool = False

    def take_in(self, told: Told, *, changed: bool) -> None:
        """Add what an event said; `changed` is whether it changed the record among all its events."""
        changed_at = self.account.changed_at
        self.account.add(told)
        self.account.changed_at = changed_at
        if changed:
            self.account.changed_at = max(told.received_at, changed_at or told.received_at)
            self.last_change_key = max(self.last_change_key, told.key)


def merged(baselines: Iterable[Baseline]) -> Account | None:
    """Return the account that records are folded on to; None without baselines. The order of these does not matter."""
    account, last_change_key = None, ""
    for one in sorted(baselines, key=lambda one: one.account.head_key):
        account = account or Account()
        own = one.account
        for path, key in own.state.keys.items():
            present, value = account.state.values.get(path), own.state.values.get(path)
            if key >= account.state.keys.get(path, ""):
                account.state.keys[path] = key
                account.state.values[path] = filled(value, present)
            else:
                account.state.values[path] = filled(present, value)
        account.head_key = max(account.head_key, own.head_key)
        account.head_receipt = max(account.head_receipt, own.head_receipt)
        account.first_received_at = min(filter(None, (account.first_received_at, own.first_received_at)))
        account.last_received_at = max(filter(None, (account.last_received_at, own.last_received_at)))
        account.changed_at = max(filter(None, (account.changed_at, own.changed_at)), default=None)
        account.event_count += own.event_count
        last_change_key = max(last_change_key, one.last_change_key)
    if account is not None and last_change_key:
        account.last_change_id = event_in(last_change_key)
    return account


def load_baselines(database: Database, record_ids: Sequence[UUID]) -> list[Baseline]:
    """Return the baselines of records, those too that do not hold yet."""
    return [to_baseline(row) for (row,) in database.execute(_LOAD, (list(record_ids),))]


def to_baseline(row: Mapping[str, Any]) -> Baseline:
    """Return a baseline as it lies in the table, in the form of JSON."""
    state = State()
    for key, values in row["said"].items():
        for path, value in values.items():
            state.keys[path] = key
            state.values[path] = value
    account = Account(
        state,
        row["head_key"],
        row["head_receipt"],
        None,
        to_moment(row["first_received_at"]),
        to_moment(row["last_received_at"]),
        to_moment(row["changed_at"]) if row["changed_at"] else None,
        row["event_count"],
    )
    own = (UUID(row["id"]), UUID(row["source_id"]), UUID(row["month_id"]), row["kind"], row["key"], row["broker"])
    asked = UUID(row["submission_id"]) if row["submission_id"] else None
    return Baseline(*own, UUID(row["record_id"]), account, row["last_change_key"], asked, row["holds"])


def write_baselines(database: Database, baselines: Iterable[Baseline]) -> None:
    """Write baselines, new ones and those that took something in."""
    database.execute(_WRITE, (orjson.dumps([_to_row(one) for one in baselines]).decode(),))


def _to_row(one: Baseline) -> dict[str, Any]:
    said: dict[str, dict[str, Any]] = defaultdict(dict)
    account = one.account
    for path, key in account.state.keys.items():
        said[key][path] = account.state.values.get(path)
    return {
        "id": one.id,
        "source_id": one.source_id,
        "month_id": one.month_id,
        "kind": one.kind,
        "key": one.key,
        "broker": one.broker,
        "record_id": one.record_id,
        "said": said,
        "head_key": account.head_key,
        "head_receipt": account.head_receipt,
        "last_change_key": one.last_change_key,
        "first_received_at": account.first_received_at,
        "last_received_at": account.last_received_at,
        "changed_at": account.changed_at,
        "event_count": account.event_count,
        "submission_id": one.submission_id,
    }


def relink_baselines(database: Database, moved: Mapping[UUID, UUID]) -> None:
    """Tie baselines (id: record id) to other records."""
    if moved:
        database.execute(_RELINK, (list(moved), list(moved.values())))
