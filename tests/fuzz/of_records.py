"""What must hold from a stored delivery to the columns of its records, in whatever order events come.

No database is asked: that the values fit their columns is checked by the columns' types.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, DateTime, Integer, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB

from app.ids import derived_id, first_id_at, time_of
from app.ingest.answers import answer_for
from app.ingest.contract import Mode, Statement
from app.processing.identity import KEY_BYTES, Names, bounded_key
from app.processing.order import order_key, receipt_key
from app.processing.outcome import outcome_of
from app.processing.reading import Delivery, ReadItem, read_delivery
from app.processing.record_rows import StoredEvent
from app.processing.records import Account, Mark, Told, changes_json, fold_events, to_columns, to_state
from app.processing.telling import told_of
from app.providers import PROVIDERS
from app.storage.models import RECORDS
from tests.fuzz.cutting import Cut
from tests.fuzz.of_bodies import CONTENT_TYPES, storable, strings
from tests.fuzz.of_platforms import BENCH

_PLATFORMS = ("thinksurance", "wegroup")
_PATHS = ("status", "name", "premium", "external_references\x1ecrm\x1fNr", "documents\x1eh", "customer_said\x1ename")
_NO_MARK = Mark((), None, stale=False)


def deliveries(data: bytes) -> None:
    """Input: a byte that chooses platform, mode and content type, then the body of a delivery to be processed."""
    cut = Cut(data)
    choice = cut.byte()
    name = _PLATFORMS[choice & 1]
    source = BENCH.source(name, Mode.OBSERVE if choice & 2 else Mode.OFF)
    content_type = CONTENT_TYPES[(choice >> 4) % len(CONTENT_TYPES)]
    body = cut.rest()
    at_receipt = answer_for(PROVIDERS[name].find(body, content_type, source, BENCH.now), source)
    delivery = Delivery(
        BENCH.receipt.delivery_id, source.id, BENCH.now, at_receipt.judged, content_type, "", body, b"", None
    )
    read = read_delivery(delivery, source, PROVIDERS[name], BENCH.receipt.zone)
    outcome = outcome_of(read, None)
    assert (outcome.reason is None) == (outcome.status == "accepted")
    assert (outcome.status == "quarantined") == (not at_receipt.accepted), "what was answered is what becomes of it"
    assert storable(orjson.loads(orjson.dumps([outcome.items, outcome.brokers])))
    events = [_stored(item) for item in read.items if item.statement is not None]
    assert len({event.id for event in events}) == len(events)
    for number, event in enumerate(events):
        assert time_of(event.id) == time_of(delivery.id)
        assert event.index >= number
    _check_records(events)


def _stored(item: ReadItem) -> StoredEvent:
    """Return an item's event as the processor has it, and check what goes into its row."""
    statement = item.statement
    assert isinstance(statement, Statement)
    assert bounded_key(statement.subject) == statement.subject
    for name in ("occurred_at", "effective_at"):
        moment = getattr(statement, name)
        assert moment is None or (moment.utcoffset() == timedelta(0) and moment.year >= 1)
    parts = [{"kind": part.kind, "keys": list(part.keys), "fields": dict(part.fields)} for part in statement.parts]
    warnings = [[warned.field, warned.reason] for warned in (*item.item.notes, *statement.warnings)]
    row = [statement.type, statement.subject, statement.broker, statement.repeat_key, warnings, parts, statement.data]
    assert storable(orjson.loads(orjson.dumps(row)))
    assert storable(item.as_json())
    assert len(warnings) <= 260
    delivery_id = BENCH.receipt.delivery_id
    key = order_key(statement.effective_at, delivery_id, item.item.index)
    return StoredEvent(item.event_id, delivery_id, item.item.index, key, BENCH.now, parts, _NO_MARK)


def _check_records(events: Sequence[StoredEvent]) -> None:
    """Fold the events of each record, forwards and backwards, into the columns of its table."""
    told: dict[tuple[str, str], list[Told]] = {}
    for event in events:
        for number, part in enumerate(event.parts):
            assert all(len(bounded_key(key).encode()) <= KEY_BYTES for key in part["keys"])
            told.setdefault((part["kind"], bounded_key(part["keys"][0])), []).append(told_of(event, number))
    for (kind, _), ones in told.items():
        account, marks = fold_events(ones)
        if len({one.key for one in ones}) == len(ones):  # a document may stand twice in one item
            assert fold_events(reversed(ones)) == (account, marks)
        for mark in marks.values():
            assert storable(orjson.loads(changes_json(mark)))
        _check_columns(kind, account)


def _check_columns(kind: str, account: Account) -> None:
    """See that the values fit the columns, and that the state comes back from them."""
    values = to_columns(kind, account.state)
    columns = RECORDS[kind].columns
    assert storable(orjson.loads(orjson.dumps(values)))
    for name, value in values.items():
        if value is not None:
            _check_column(columns[name], value)
    row = {**values, "field_keys": account.state.keys, "head_key": account.head_key}
    del row["folded"]  # which no event sets
    known = {path: value for path, value in account.state.values.items() if value is not None}
    again = to_state(kind, row)
    assert again.values == known
    assert again.keys == {path: account.state.keys[path] for path in known}


def _check_column(column: Column[Any], value: Any) -> None:
    kind = column.type
    if isinstance(kind, BigInteger):
        assert -(1 << 63) <= value < 1 << 63, column.name
    elif isinstance(kind, Integer):
        assert -(1 << 31) <= value < 1 << 31, column.name
    elif isinstance(kind, Boolean):
        assert isinstance(value, bool), column.name
    elif isinstance(kind, Numeric):
        assert Decimal(value).is_finite(), column.name
    elif isinstance(kind, Date):
        assert date.fromisoformat(value).isoformat() == value, column.name
    elif isinstance(kind, DateTime):
        assert datetime.fromisoformat(value).tzinfo is not None, column.name
    elif isinstance(kind, Text):
        assert isinstance(value, str), column.name
        assert 0 < len(value) <= 1000, column.name
    elif isinstance(kind, ARRAY):
        assert all(isinstance(one, str) for one in value), column.name
    elif isinstance(kind, JSONB):
        assert isinstance(value, dict | list), column.name
        assert all(len(text) <= 2100 for text in strings(value)), column.name


def folding(data: bytes) -> None:
    """Input: four bytes an event (day, minute, fields, values). The set decides, not the order in which they come."""
    cut = Cut(data)
    events = [_told(number, cut) for number in range(min(12, len(data) // 4))]
    shift = sum(data) % len(events) if events else 0
    account, marks = fold_events(events)
    for other in (events[::-1], events[shift:] + events[:shift], events[::2] + events[1::2]):
        assert fold_events(other) == (account, marks)
    for path in _PATHS:
        saying = [one for one in events if path in one.said]
        newest = max(saying, key=lambda one: one.key, default=None)
        assert account.state.values.get(path) == (newest.said[path] if newest else None)
    one_by_one = Account()
    for one in sorted(events, key=lambda one: one.key):
        mark = one_by_one.add(one)
        assert (mark.changes, mark.duplicate_of) == (marks[one.event_id].changes, marks[one.event_id].duplicate_of)
    assert one_by_one == account
    for one in events:
        is_stale = any(other.key > one.key and other.receipt < one.receipt for other in events)
        assert marks[one.event_id].stale == is_stale


def _told(number: int, cut: Cut) -> Told:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    day, minute, fields, values = cut.byte(), cut.byte(), cut.byte(), cut.byte()
    delivery_id = derived_id(first_id_at(moment + timedelta(minutes=minute)), number)
    said = {path: (values >> place) & 3 for place, path in enumerate(_PATHS) if fields >> place & 1}
    key = order_key(moment + timedelta(days=day - 128), delivery_id, number)
    return Told(
        derived_id(delivery_id, number), key, receipt_key(delivery_id, number), moment + timedelta(minutes=minute), said
    )


def names(data: bytes) -> None:
    """Input: two bytes a mention, each half a key. Which keys are one record does not depend on the order."""
    cut = Cut(data)
    mentions: list[tuple[str, list[str]]] = []
    while cut and len(mentions) < 16:
        one, other = cut.byte(), cut.byte()
        halves = dict.fromkeys((one >> 4, one & 15, other >> 4, other & 15))
        mentions.append((f"{len(mentions):02}", [f"k:{half}" for half in halves]))
    every = sorted({key for _, keys in mentions for key in keys})
    roots = _roots(mentions, every)
    assert _roots(mentions[::-1], every) == roots
    assert _roots(mentions[::2] + mentions[1::2], every) == roots
    assert all(_roots(mentions, [root]) == [root] for root in roots), "a root leads to itself"
    for _, keys in mentions[:1]:
        assert len(set(_roots(mentions, keys))) == 1, "what the first one says is never overruled"


def _roots(mentions: Sequence[tuple[str, Sequence[str]]], keys: Sequence[str]) -> list[str]:
    found = Names()
    for order, mentioned in mentions:
        found.learn(mentioned, order)
    return [found.root(key) for key in keys]


def ids(data: bytes) -> None:
    """Input: sixteen bytes of an id, eight of another's time, then text."""
    cut = Cut(data.ljust(32, b"\0"))
    one = UUID(bytes=bytes(cut.byte() for _ in range(16)))
    millis = int.from_bytes(bytes(cut.byte() for _ in range(5)))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)
    text = cut.rest().decode("utf-8", "replace")
    derived = derived_id(one, text, 1)
    assert (derived.version, derived.variant) == (7, one.variant if one.version == 7 else derived.variant)
    assert derived == derived_id(one, text, 1) != derived_id(one, text, 2)
    assert derived.int >> 80 == one.int >> 80
    first = first_id_at(moment)
    assert time_of(first) == moment
    assert first_id_at(moment + timedelta(milliseconds=1)) > derived_id(first, text) >= first
    bounded = bounded_key(text)
    assert len(bounded.encode("utf-8", "replace")) <= KEY_BYTES
    assert bounded_key(bounded) == bounded
