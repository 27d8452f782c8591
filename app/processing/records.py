"""Folds what events say into the state of a record: newer news wins, field by field, in whatever order it comes.

Pure: what is loaded and written stands in `projection`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypedDict
from uuid import UUID

import orjson

from app.processing.folding import fold
from app.processing.order import receipt_in
from app.storage.models import RECORDS

ENTRY = "\x1e"
"""Stands between the name of a map field and the key of an entry in a path."""

MAPS: Mapping[str, frozenset[str]] = {
    "inquiry": frozenset({"external_references", "documents", "customer_said"}),
    "customer": frozenset({"external_references", "address", "company_address", "broker_names"}),
    "document": frozenset(),
    "lead": frozenset({"external_references", "address"}),
}
"""The fields of each kind that are merged entry by entry."""

_FOLDED: Mapping[str, frozenset[str]] = {
    kind: frozenset(str(column.name) for column in table.columns if str(column.type) == "TEXT")
    - {"identity", "head_key", "head_receipt", "customer_key", "state"}
    for kind, table in RECORDS.items()
}
_OBJECTS = frozenset({"external_references", "documents"})
_UNNAMED = frozenset({"customer_key"})
"""Set by events but no field of the API: what it follows from is told as a change of the customer."""


class Change(TypedDict):
    """One field that got another value, as it is stored and served; `field` as the API names it."""

    field: str
    old: Any
    new: Any


@dataclass(slots=True)
class State:
    """The present values of a record by path, and for each path the key of the event that set it."""

    values: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    is_changed: bool = field(default=False, compare=False)
    """Tells whether anything that was applied set another value than there was."""

    def apply(self, said: Mapping[str, Any], key: str, head_key: str) -> list[Change]:
        """Set what is said where `key` is not below the one that set it; return what that changed.

        `head_key` is the highest of all that were applied, so that the paths need not be looked through for it.
        """
        keys, values = self.keys, self.values
        if key < head_key:
            said = {path: value for path, value in said.items() if key >= keys.get(path, "")}
        keys.update(dict.fromkeys(said, key))
        if said == values:  # as where it is said again
            return []
        get = values.get
        changed = [path for path, value in said.items() if get(path) != value]
        changes: list[Change] = []
        for path in sorted(changed):  # PostgreSQL keeps no order of fields, and the changes shall agree
            old, new = values.get(path), said[path]
            if old is not None and (new := filled(new, old)) == old:
                continue
            values[path] = new
            self.is_changed = True
            if path not in _UNNAMED:
                changes.append({"field": _name(path) if ENTRY in path else path, "old": old, "new": new})
        return changes


def filled(newer: Any, older: Any) -> Any:
    """Return the newer of two values; an entry such as a document's has what is null in it from the older one."""
    if newer.__class__ is dict and older.__class__ is dict:
        return {**older, **{name: value for name, value in newer.items() if value is not None}}
    return newer


@lru_cache(maxsize=1024)
def _name(path: str) -> str:
    """Return how the API names a path: entries of references and documents under the field, others dotted."""
    name, _, entry = path.partition(ENTRY)
    if not entry or name in _OBJECTS:
        return name
    if name == "customer_said":
        first, _, _ = entry.partition(ENTRY)
        return "customer." + (first if first in _OBJECTS else entry.replace(ENTRY, "."))
    return f"{name}.{entry}"


def flatten(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a part by path; what is null sets nothing."""
    flat = {**fields}
    if None in flat.values():
        flat = {name: value for name, value in flat.items() if value is not None}
    for name in MAPS[kind]:
        if name in flat:
            for entry, inner in flat.pop(name).items():
                if inner is not None:
                    flat[f"{name}{ENTRY}{entry}"] = inner
    return flat


def to_columns(kind: str, state: State) -> dict[str, Any]:
    """Return a state as the columns of its table; a column that nothing set is null or an empty map."""
    columns: dict[str, Any] = {name: {} for name in MAPS[kind]}
    for path, value in state.values.items():
        if ENTRY in path:
            name, _, entry = path.partition(ENTRY)
            columns[name][entry] = value
        else:
            columns[path] = value
    columns["folded"] = {name: fold(value) for name in _FOLDED[kind] if (value := columns.get(name))}
    if kind == "customer":
        columns["brokers"] = sorted(columns.pop("broker_names"))
    return columns


def to_state(kind: str, row: Mapping[str, Any]) -> State:
    """Return the state that a row's `SAID` makes, of which what is null may be missing; the reverse of `to_columns`."""
    fields = {**row}
    head_key, exceptions = fields.pop("head_key"), fields.pop("field_keys")
    if kind == "customer":
        fields["broker_names"] = dict.fromkeys(fields.pop("brokers"), True)
    values = flatten(kind, fields)
    keys = dict.fromkeys(values, head_key)
    for path, key in exceptions.items():
        if path in keys:
            keys[path] = key
    return State(values, keys)


def key_exceptions(state: State, head_key: str) -> dict[str, str]:
    """Return the keys of the paths that another event than the newest set; what was emptied has none, as in a row."""
    keys, values = state.keys, state.values
    if {head_key}.issuperset(keys.values()):  # as where all was said again
        return {}
    return {path: key for path, key in keys.items() if key != head_key and values.get(path) is not None}


META = frozenset(
    {
        "id",
        "source_id",
        "identity",
        "head_key",
        "head_receipt",
        "last_change_id",
        "field_keys",
        "folded",
        "words",
        "first_received_at",
        "last_received_at",
        "changed_at",
        "event_count",
        "merged_into",
        "customer_record_id",
        "confirmed_at",
        "brokers",
        "state",
        "attempts",
        "attempted_at",
        "next_attempt_at",
        "last_error",
        "renewals",
        "renewed_at",
        "archived_at",
        "fetched_by",
        "size",
        "sha256",
        "content_type",
    }
)
"""The columns that no event sets."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(str(column.name) for column in table.columns if column.name not in META)
    for kind, table in RECORDS.items()
}
"""The columns of each kind that events set."""


@dataclass(slots=True)
class Told:
    """What one event tells a record: its place in both orders and the flat values."""

    event_id: UUID
    key: str
    receipt: str
    received_at: datetime
    said: Mapping[str, Any]


class Mark(NamedTuple):
    """What is judged of an event by its place among its record's events."""

    changes: tuple[Change, ...]
    duplicate_of: UUID | None
    stale: bool


UNTOLD: Final = Mark((), None, stale=False)
"""The mark of an event that no record was told of."""


def changes_json(mark: Mark) -> str:
    """Return the changes of a mark as JSON text."""
    return orjson.dumps(mark.changes).decode()


@dataclass(slots=True)
class Account:
    """A record's state with what is counted over its events."""

    state: State = field(default_factory=State)
    head_key: str = ""
    head_receipt: str = ""
    last_change_id: UUID | None = None
    first_received_at: datetime | None = None
    last_received_at: datetime | None = None
    changed_at: datetime | None = None
    event_count: int = 0

    def is_in_order(self, events: Iterable[Told]) -> bool:
        """Tell whether all events are newer than what is known, by both orders, so that they can simply be added."""
        key, receipt = self.head_key, self.head_receipt
        for told in events:
            if told.key <= key or told.receipt <= receipt:
                return False
            key, receipt = told.key, told.receipt
        return True

    def add(self, told: Told) -> Mark:
        """Add the next event in key order and return its mark (`stale` is judged by `fold_events`)."""
        changes = self.state.apply(told.said, told.key, self.head_key)
        duplicate_of = None if changes else self.last_change_id
        if changes:
            self.last_change_id = told.event_id
            self.changed_at = max(told.received_at, self.changed_at or told.received_at)
        self.head_key = max(self.head_key, told.key)
        self.head_receipt = max(self.head_receipt, told.receipt)
        self.first_received_at = min(told.received_at, self.first_received_at or told.received_at)
        self.last_received_at = max(told.received_at, self.last_received_at or told.received_at)
        self.event_count += 1
        return Mark(tuple(changes), duplicate_of, stale=False)


def fold_events(
    events: Iterable[Told], base: Account | None = None, settled: Mapping[UUID, Mark] | None = None
) -> tuple[Account, dict[UUID, Mark]]:
    """Fold all events of a record from nothing, or on to its baseline, which `base` is; return account and marks.

    An event is stale if one with a higher key was received before it. What a baseline holds nobody can tell apart any
    more, so what lies below its highest key keeps the mark that it has (`settled`).
    """
    ordered = sorted(events, key=lambda told: told.key)
    account, marks = base or Account(), {}
    head = account.head_key
    for told in ordered:
        mark = account.add(told)
        if settled and told.key < head:
            mark = settled.get(told.event_id, mark)
            if mark.changes:
                account.changed_at = max(told.received_at, account.changed_at or told.received_at)
        marks[told.event_id] = mark
    for told in _stale(ordered, head):
        mark = marks[told.event_id]
        marks[told.event_id] = Mark(mark.changes, mark.duplicate_of, stale=True)
    return account, marks


def _stale(ordered: list[Told], head: str) -> Iterator[Told]:
    """Yield the events, from the highest key down, that came after one with a higher key; a baseline's is `head`."""
    earliest_above = None
    for told in reversed(ordered):
        if told.key < head:
            earliest_above = min(receipt_in(head), earliest_above or receipt_in(head))
        if earliest_above is not None and earliest_above < told.receipt:
            yield told
        earliest_above = told.receipt if earliest_above is None else min(earliest_above, told.receipt)
