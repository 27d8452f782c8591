"""Compares what is stored of deliveries with what today's reader makes of them, without writing anything.

What differs is then brought in by the processor, through `second_looks`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.processing.batch import Circumstances, Stored, load_stored, read_stored, to_rows
from app.processing.event_rows import EventRow
from app.processing.processor import MOST_READ_BYTES
from app.processing.reading import Read
from app.processing.record_rows import Database
from app.processing.second_looks import MOST_AT_ONCE, Told, portions
from app.processing.selection import Selection
from app.processing.watch import find_new_brokers

MOST_NAMED = 20
_ID_BYTES = 16


@dataclass(slots=True)
class Difference:
    """How the deliveries of one source are read otherwise now.

    Counted are items (a delivery without any counts as one): `unchanged`, `revised` (their event says something else
    now), `accepted` (an event only now), `judged` (quarantined as before, for another reason), `unreadable` (an event,
    though today's reader has none: it is kept); and deliveries: `waiting` (processed soon anyway), `failed` (the reader
    itself ended in an error). `fields` counts what is revised, by name.
    """

    unchanged: int = 0
    revised: int = 0
    accepted: int = 0
    judged: int = 0
    unreadable: int = 0
    waiting: int = 0
    failed: int = 0
    fields: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        named = ("unchanged", "revised", "accepted", "judged", "unreadable", "waiting", "failed")
        return {name: getattr(self, name) for name in named} | {"fields": dict(sorted(self.fields.items()))}


class Report:
    """What a rebuild would change: differences by source, and the deliveries to be processed again.

    `failed` names the first few deliveries at which the reader itself ended in an error.
    """

    def __init__(self) -> None:
        self.deliveries = 0
        self.by_source: dict[UUID, Difference] = {}
        self.failed: list[UUID] = []
        self._changed: list[bytes] = []  # what of, and the ids: a million of them must not cost 100 MB

    @property
    def changed(self) -> int:
        """Return how many deliveries are read otherwise now."""
        return len(self._changed)

    def changed_ids(self) -> Iterator[list[UUID]]:
        """Yield the deliveries that are read otherwise now, a few at a time, those of the same together.

        So a record is folded anew once for a few of its events, and not for each of them.
        """
        self._changed.sort()
        for start in range(0, len(self._changed), MOST_AT_ONCE):
            yield [UUID(bytes=one[-_ID_BYTES:]) for one in self._changed[start : start + MOST_AT_ONCE]]

    def of(self, source_id: UUID) -> Difference:
        """Return the difference of a source."""
        return self.by_source.setdefault(source_id, Difference())

    def add(self, delivery_id: UUID, of: UUID | None) -> None:
        """Note a delivery that is read otherwise now, and what record it is of, by whose id those of the same sort."""
        self._changed.append((of.bytes[:8] if of else bytes(8)) + delivery_id.bytes)


def compare(database: Database, selection: Selection, given: Circumstances, told: Told = lambda _: None) -> Report:
    """Read the chosen deliveries by today's reader and return what differs from what is stored.

    Writes nothing, so it may be given a connection that cannot write. `told` is told how many more are read.
    """
    report = Report()
    for page in selection.pages(database):
        for ids in portions(database, page):
            with database.transaction():
                _compare(database, ids, given, report)
            report.deliveries += len(ids)
            told(len(ids))
    return report


def _compare(database: Database, ids: Sequence[UUID], given: Circumstances, report: Report) -> None:
    for pairs in _a_few(_read(load_stored(database, ids), given, report)):
        _compare_pairs(database, pairs, given, report)


def _a_few(pairs: Iterable[tuple[Stored, Read]]) -> Iterator[list[tuple[Stored, Read]]]:
    """Yield deliveries a few at a time, bounded as the processor's batches are."""
    some: list[tuple[Stored, Read]] = []
    held = 0
    for pair in pairs:
        some.append(pair)
        held += pair[1].size
        if held >= MOST_READ_BYTES:
            yield some
            some, held = [], 0
    if some:
        yield some


def _compare_pairs(
    database: Database, pairs: Sequence[tuple[Stored, Read]], given: Circumstances, report: Report
) -> None:
    rows: dict[UUID, list[EventRow]] = {}
    for row in to_rows(database, [read for _, read in pairs], given, find_new_brokers):
        rows.setdefault(row.delivery_id, []).append(row)
    for stored, read in pairs:
        own = rows.get(read.delivery.id, ())
        differs = [
            _compare_events(own, report.of(read.delivery.source_id)),
            _compare_quarantine(stored, read, report.of(read.delivery.source_id)),
        ]
        if any(differs):
            # What has no event yet is of nothing, so that the new ones stand in the feed as they were received.
            of = next((row.known["record_id"] for row in own if row.known), None)
            report.add(read.delivery.id, of)


def _read(stored: Iterable[Stored], given: Circumstances, report: Report) -> Iterator[tuple[Stored, Read]]:
    """Yield deliveries that were processed before, as they are read now."""
    for one in stored:
        difference = report.of(one.delivery.source_id)
        if one.seq is None:
            difference.waiting += 1
            continue
        try:
            read = read_stored(one, given)
        except Exception:  # noqa: BLE001 - one delivery that the reader fails at must not hide all the others
            difference.failed += 1
            report.failed += [one.delivery.id] if len(report.failed) < MOST_NAMED else []
            continue
        yield one, read


def _compare_events(rows: Iterable[EventRow], difference: Difference) -> bool:
    """Count the events of a delivery; tell whether one is new or revised."""
    differs = False
    for row in rows:
        revised = row.revised
        if row.known is None:
            difference.accepted += 1
        elif revised:
            difference.revised += 1
            difference.fields.update(_names(row, revised))
        else:
            difference.unchanged += 1
            continue
        differs = True
    return differs


def _names(row: EventRow, revised: Sequence[str]) -> set[str]:
    """Return what differs by name: of the parts the fields, `<kind>.<field>`."""
    names = {name for name in revised if name != "parts"}
    if "parts" in revised and row.known is not None:
        names |= _differing(_fields(row.known["parts"]), _fields(row.parts))
    return names


def _fields(parts: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int, str], Any]:
    """Return the values of all parts by (kind, which of its kind, field); the keys of a part count as one field."""
    values: dict[tuple[str, int, str], Any] = {}
    numbers: Counter[str] = Counter()
    for part in parts:
        kind = part["kind"]
        number, numbers[kind] = numbers[kind], numbers[kind] + 1
        values[kind, number, "keys"] = part["keys"]
        values.update({(kind, number, name): value for name, value in part["fields"].items()})
    return values


def _differing(before: Mapping[tuple[str, int, str], Any], after: Mapping[tuple[str, int, str], Any]) -> set[str]:
    missing = object()
    return {
        f"{place[0]}.{place[2]}"
        for place in before.keys() | after.keys()
        if before.get(place, missing) != after.get(place, missing)
    }


def _compare_quarantine(stored: Stored, read: Read, difference: Difference) -> bool:
    """Count the items without an event; tell whether what is said of one has changed."""
    differs = False
    earlier = {item["index"]: item for item in stored.items}
    if read.reason is not None:
        lost = sum(item["status"] == "event" for item in stored.items)
        difference.unreadable += lost
        difference.unchanged += not lost
    for item in read.items:
        if item.statement is not None:
            continue
        was = earlier.get(item.item.index)
        if was is not None and was["status"] == "event":
            difference.unreadable += 1
        elif was is None or was["reason"] != item.item.reason:
            difference.judged += 1
            differs = True
        else:
            difference.unchanged += 1
    return differs
