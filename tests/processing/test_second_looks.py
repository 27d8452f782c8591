"""Stored deliveries are fed to the processor a few at a time, and live ones have their turn between them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.accounts.model import Mode, Secret
from app.ids import IdSource, derived_id, first_id_at, time_of
from app.ingest.contract import Reason
from app.processing import second_looks
from app.processing.batch import Circumstances, to_rows
from app.processing.event_rows import EventRow
from app.processing.order import receipt_key
from app.processing.reading import Delivery, Read, read_delivery
from app.processing.rebuild import compare
from app.processing.record_rows import Database
from app.processing.reverify import count_waiting
from app.processing.second_looks import MOST_AT_ONCE, Feeder, SecondLookError, is_processor_active, portions
from app.processing.selection import Selection
from app.processing.work import ACTIVE_LOCK
from app.providers import PROVIDERS
from app.storage.database import connect
from app.times import now
from tests.processing.conftest import ZONE, Desk

Item = Callable[..., dict[str, Any]]


class _Watched(Feeder):
    """Processes itself what it has fed, and remembers how much that was."""

    def __init__(self, desk: Desk, *, live: Callable[[], object] = lambda: None) -> None:
        super().__init__(desk.database, patience=timedelta(seconds=5))
        self.desk = desk
        self.live = live
        self.fed: list[int] = []

    def wait(self, ids: Sequence[UUID]) -> None:
        self.fed.append(self.desk.row("SELECT count(*) FROM inbox")[0])
        self.desk.process()
        super().wait(ids)
        self.live()

    def give_way(self, seconds: float) -> None:
        self.desk.process()
        super().give_way(seconds)


@pytest.fixture
def active(desk: Desk) -> Iterator[Desk]:
    """A desk whose connection holds the lock of the active processor."""
    desk.database.execute("SELECT pg_advisory_lock(%s)", (ACTIVE_LOCK,))
    yield desk
    desk.database.execute("SELECT pg_advisory_unlock(%s)", (ACTIVE_LOCK,))


def test_an_active_processor_is_seen_in_its_own_database_only(active: Desk, new_database: Callable[[], str]) -> None:
    assert is_processor_active(active.database)
    with closing(connect(new_database())) as other:
        assert not is_processor_active(other)


def test_a_few_at_a_time_and_each_once(active: Desk, item: Item) -> None:
    ids = [active.lay(item(number)) for number in range(1, 2 * MOST_AT_ONCE + 31)]
    active.process()
    before = dict(active.rows("SELECT delivery_id, processed_at FROM outcomes"))
    came: list[UUID] = []
    feeder = _Watched(active, live=lambda: came.append(active.lay(item(999))))
    feeder.feed(ids)
    assert feeder.fed == [MOST_AT_ONCE, MOST_AT_ONCE, 30]
    after = dict(active.rows("SELECT delivery_id, processed_at FROM outcomes"))
    assert all(after[one] > before[one] for one in ids)
    assert set(came) <= after.keys()
    assert active.row("SELECT count(*) FROM events") == (len(ids) + len(came),)
    assert active.rows("SELECT 1 FROM events WHERE revised_at IS NOT NULL") == []


def test_what_came_meanwhile_has_its_turn(active: Desk, item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    active.lay(item())
    looked: list[float] = []
    monkeypatch.setattr("time.sleep", looked.append)
    begun = time.monotonic()
    Feeder(active.database).give_way(0.2)
    assert 0.2 <= time.monotonic() - begun < 60
    assert looked
    active.process()
    looked.clear()
    Feeder(active.database).give_way(60)
    assert looked == []


def test_portions_are_bounded_in_bytes(active: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [active.lay(b"x" * size) for size in (10, 10, 10, 50, 10)]
    monkeypatch.setattr(second_looks, "MOST_BYTES_AT_ONCE", 25)
    sizes = [len(portion) for portion in portions(active.database, [*reversed(ids), IdSource().next()])]
    assert sizes == [2, 1, 1, 1]


def test_without_a_processor_nothing_is_put_back(desk: Desk, item: Item) -> None:
    delivery = desk.lay(item())
    desk.process()
    feeder = Feeder(desk.database, patience=timedelta(seconds=0.1))
    with pytest.raises(SecondLookError, match=r"no processor is running: start `callbox serve` or `callbox work`$"):
        feeder.feed([delivery])
    assert desk.rows("SELECT 1 FROM inbox") == []


def test_a_processor_that_does_nothing_is_told(active: Desk, item: Item) -> None:
    delivery = active.lay(item())
    with pytest.raises(SecondLookError, match=r"has done nothing .* 1 deliveries wait"):
        Feeder(active.database, patience=timedelta(seconds=0.1)).feed([delivery])


def test_a_selection_is_of_its_moment(desk: Desk, item: Item) -> None:
    ids = [desk.lay(item()), desk.lay(b"no json")]
    desk.process()
    everything, unread = Selection(), Selection(reason=Reason.NOT_JSON)
    later = desk.lay(item())
    assert list(everything.pages(desk.database)) == [ids]
    assert list(unread.pages(desk.database)) == [ids[1:]]
    assert [later in page for page in Selection().pages(desk.database)] == [True]
    assert {row["status"] for row in Selection().counts(desk.database)} == {"accepted", "quarantined", "pending"}
    came = time_of(ids[1]) + timedelta(milliseconds=1)
    assert list(Selection(received_after=came, received_before=came).pages(desk.database)) == []
    assert ids[0] in next(Selection(received_before=came).pages(desk.database))
    ahead = Selection(received_before=now() + timedelta(days=1))
    desk.lay(item())
    assert list(ahead.pages(desk.database)) == [[*ids, later]]


def test_a_reason_is_found_in_a_part_of_a_delivery(desk: Desk, item: Item) -> None:
    mixed = desk.lay({"7": item(7), "y": "no item", "x": {"sHash": "0" * 32, "data": {"iId": "x"}}})
    desk.process()
    assert desk.row("SELECT status, reason FROM outcomes") == ("partial", "unknown-shape")
    assert list(Selection(status="partial", reason=Reason.UNUSABLE_ID).pages(desk.database)) == [[mixed]]


def test_comparing_survives_what_cannot_be_read(desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    _, failing = (desk.lay(item(number)) for number in (1, 2))
    desk.process()
    waiting = desk.lay(item(3))

    def read(delivery: Delivery, *more: Any, **named: Any) -> Read:
        if delivery.id == failing:
            raise RuntimeError
        return read_delivery(delivery, *more, **named)

    monkeypatch.setattr("app.processing.batch.read_delivery", read)
    report = compare(desk.database, Selection(), Circumstances(PROVIDERS, desk.sources, desk.vault, ZONE))
    assert (report.deliveries, report.changed, report.failed) == (3, 0, [failing])
    assert (report.of(desk.thinksurance).unchanged, report.of(desk.thinksurance).waiting) == (1, 1)
    assert waiting not in report.failed


def test_who_was_the_first_to_name_a_broker_stays_it(desk: Desk, item: Item) -> None:
    earlier, later = desk.ids.next(), desk.ids.next()
    warned = 'SELECT delivery_id, warnings @> \'[{"reason": "new-broker"}]\' FROM events ORDER BY delivery_id'
    for one in (later, earlier):  # which a spool had kept
        desk.lay(item(), delivery_id=one)
        desk.process()
    assert desk.rows(warned) == [(earlier, False), (later, True)]
    assert compare(desk.database, Selection(), Circumstances(PROVIDERS, desk.sources, desk.vault, ZONE)).changed == 0
    desk.ask_again(earlier)
    desk.ask_again(later)
    desk.process()
    assert desk.rows(warned) == [(earlier, False), (later, True)]


def test_no_more_is_compared_at_once_than_can_be_held(desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        desk.lay(item(number))
    desk.process()
    desk.database.execute("UPDATE events SET type = ''")  # as if another reader had read them
    at_once = []

    def rows_of(database: Database, reads: Sequence[Read], *more: Any) -> list[EventRow]:
        at_once.append(len(reads))
        return to_rows(database, reads, *more)

    monkeypatch.setattr("app.processing.rebuild.to_rows", rows_of)
    monkeypatch.setattr("app.processing.rebuild.MOST_READ_BYTES", len(orjson.dumps(item(1))) + 1)
    report = compare(desk.database, Selection(), Circumstances(PROVIDERS, desk.sources, desk.vault, ZONE))
    assert (at_once, report.changed, report.of(desk.thinksurance).revised) == ([2, 1], 3, 3)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [(b"no json", "partial", "not-json"), (b'{"sHash": "0", "data": {"iId": "x"}}', "accepted", None)],
)
def test_what_cannot_be_read_any_more_keeps_its_event(
    desk: Desk, item: Item, body: bytes, status: str, reason: str | None
) -> None:
    delivery = desk.lay(item())
    desk.process()
    (before,) = desk.row("SELECT items FROM outcomes")
    desk.database.execute("UPDATE deliveries SET body = %s", (body,))  # as if today's reader understood less
    report = compare(desk.database, Selection(), Circumstances(PROVIDERS, desk.sources, desk.vault, ZONE))
    assert (report.changed, report.of(desk.thinksurance).unreadable) == (0, 1)
    for _ in range(2):
        desk.ask_again(delivery)
        desk.process()
        assert desk.row("SELECT status, reason, items FROM outcomes") == (status, reason, before)
    assert desk.row("SELECT count(*) FROM events") == (1,)


def test_what_was_received_while_the_clock_ran_ahead_is_judged_again(desk: Desk, item: Item) -> None:
    source_id = desk.add_source("thinksurance", Mode.ENFORCE, (Secret("s", now()),))
    ahead = desk.lay(item(), source_id, derived_id(first_id_at(now() + timedelta(days=40)), 1))
    desk.process()
    assert list(Selection(source_id).pages(desk.database)) == [[ahead]]
    assert count_waiting(desk.database, source_id) == 1


def _read_otherwise(desk: Desk, bodies: Mapping[UUID, Any]) -> None:
    """Have deliveries say something else, as if today's reader understood them otherwise."""
    for delivery_id, body in bodies.items():
        desk.rows("UPDATE deliveries SET body = %s WHERE id = %s RETURNING 1", orjson.dumps(body), delivery_id)
        desk.ask_again(delivery_id)
    desk.process()


def test_a_customer_of_whom_the_same_is_read_is_left_alone(desk: Desk, item: Item) -> None:
    old, new = {"cId": 5, "cLastName": "Alt"}, {"cId": 5, "cLastName": "Neu", "cFirstName": "Eva"}
    first, second = desk.lay(item(1, customer=old)), desk.lay(item(2, customer=new))
    desk.process()
    record = "SELECT xmin::text, last_name, first_name, event_count FROM customers"
    before = desk.row(record)
    _read_otherwise(desk, {second: item(2, status=6, customer=new)})
    assert desk.row(record) == before
    assert desk.rows("SELECT status FROM inquiries ORDER BY inquiry_id") == [(4,), (6,)]
    assert desk.rows("SELECT 1 FROM events WHERE customer_id IS NULL") == []
    _read_otherwise(desk, {first: item(1, customer={"cId": 5}), second: item(2, customer=new)})
    assert desk.row(record)[1:] == ("Neu", "Eva", 2)
    _read_otherwise(desk, {first: item(1), second: item(2, status=6, customer=new)})
    assert desk.row(record)[1:] == ("Neu", "Eva", 1)


_CUSTOMERS = (
    "SELECT customer_id, last_name, first_name, event_count FROM customers WHERE merged_into IS NULL ORDER BY 1"
)


def test_a_name_leads_where_its_item_is_read_to_lead_today(desk: Desk, item: Item) -> None:
    named = {"cExternalId": "E-1"}
    misread = desk.lay(item(1, customer={**named, "cId": 5}))
    desk.lay(item(2, customer={**named, "cLastName": "Muster"}))
    desk.lay(item(3, customer={"cId": 5, "cLastName": "Anders"}))
    desk.process()
    _read_otherwise(desk, {misread: item(1, customer={**named, "cId": 6})})
    desk.lay(item(4, customer={**named, "cFirstName": "Eva"}))
    desk.process()
    assert desk.rows(_CUSTOMERS) == [(5, "Anders", None, 1), (6, "Muster", "Eva", 3)]


def test_a_record_that_is_told_the_same_is_left_alone(desk: Desk, item: Item) -> None:
    notified = {"eventType": "InquiryOrdered", "affected": [{"referenceType": "inquiry", "referenceId": "7"}]}
    said = [{"iUpdated": f"2026-01-0{day}", "status": status} for day, status in ((2, 4), (4, 6), (3, 15), (4, 6))]
    bodies = {desk.lay(item(7, customer={"cId": 5}, **data)): data for data in said}
    thin = desk.lay(notified)
    leads = {desk.lay({"id": "a", "email": "a@b.test"}, desk.wegroup): number for number in (1, 2)}
    desk.process()
    records = "SELECT xmin::text, event_count FROM {}"
    tables = ("inquiries", "customers", "leads")
    events = "SELECT id, changes, duplicate_of, stale, record_id, customer_id FROM events ORDER BY id"
    before = [desk.rows(records.format(table)) for table in tables], desk.rows(events)
    assert {row[3] for row in before[1]} == {False, True}
    assert len({row[2] for row in before[1]}) == 3, "two repeats, of an inquiry and of a lead"
    _read_otherwise(desk, {one: item(7, customer={"cId": 5}, **data, note="x") for one, data in bodies.items()})
    _read_otherwise(desk, {one: {"id": "a", "email": "a@b.test", "note": number} for one, number in leads.items()})
    _read_otherwise(desk, {thin: notified | {"note": "x"}})
    assert ([desk.rows(records.format(table)) for table in tables], desk.rows(events)) == before
    assert desk.rows("SELECT 1 FROM events WHERE revised_at IS NULL OR data::text NOT LIKE '%%note%%'") == []


def test_the_token_of_a_file_is_read_anew_though_its_inquiry_is_told_the_same(desk: Desk, item: Item) -> None:
    def filed(number: int, token: str, **data: Any) -> Any:
        return item(number, **data) | {"docs": {"docToken": {"token": token}, "files": [{"hash": f"h{number}"}]}}

    first, second, _ = desk.lay(filed(7, "t")), desk.lay(item(7, status=6)), desk.lay(filed(8, "another"))
    desk.process()
    sealed = "(SELECT token_encrypted FROM documents WHERE hash = 'h8')"  # as if an older reader had found that
    for other in (item(7, status=6), item(7, status=15) | {"docs": {"files": [{"hash": "h7", "name": "Antrag"}]}}):
        desk.database.execute(f"UPDATE documents SET token_encrypted = {sealed} WHERE hash = 'h7'")  # noqa: S608 - ours
        _read_otherwise(desk, {first: filed(7, "t", note=other["data"]["status"]), second: other})
        (found,) = desk.row("SELECT token_encrypted FROM documents WHERE hash = 'h7'")
        assert desk.vault.decrypt(found, "document") == "t"


def test_what_is_told_the_same_still_counts_beside_what_is_told_otherwise(desk: Desk, item: Item) -> None:
    first, second = desk.lay(item(7, productName="Haftpflicht", status=6)), desk.lay(item(7, status=6))
    desk.process()
    _read_otherwise(desk, {first: item(7, productName="Haftpflicht", status=6, note="x"), second: item(7, status=15)})
    assert desk.row("SELECT product_name, status, event_count FROM inquiries") == ("Haftpflicht", 15, 2)
    changed = [{"field": "status", "old": 6, "new": 15}]
    assert desk.row("SELECT duplicate_of, changes FROM events WHERE delivery_id = %s", second) == (None, changed)


def test_what_says_the_same_at_another_place_among_the_news_is_told_anew(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("app.processing.batch.order_key", lambda _, delivery, index: receipt_key(delivery, index))
        laid = [
            desk.lay(item(7, status=status, iUpdated=day)) for day, status in (("2026-01-03", 6), ("2026-01-02", 4))
        ]
        desk.process()
    assert desk.row("SELECT status FROM inquiries") == (4,)
    for one in laid:
        desk.ask_again(one)
    desk.process()
    assert desk.row("SELECT status, event_count FROM inquiries") == (6, 2)


def test_a_record_that_comes_of_parting_is_named_after_its_first_event(desk: Desk) -> None:
    ours = {"external_refs": [{"company": "hub", "ref": "L1"}]}
    ids = [first_id_at(now() - timedelta(minutes=minutes)) for minutes in (3, 2, 1)]
    for one, said in zip(ids, ({}, {"updated_at": "2026-01-02"}, {"id": "a"}), strict=True):
        desk.lay({**ours, "email": "a@b.test", **said}, desk.wegroup, one)
    desk.process()
    assert desk.rows("SELECT lead_id FROM leads WHERE merged_into IS NULL") == [("a",)]
    desk.rows("UPDATE events SET seq = seq WHERE delivery_id = %s RETURNING 1", ids[0])  # lies behind the other now
    desk.database.execute("SET enable_seqscan = off")
    _read_otherwise(desk, {ids[2]: {"id": "a", "email": "c@b.test"}})
    (parted,) = desk.row("SELECT id FROM leads WHERE lead_id IS NULL AND merged_into IS NULL")
    assert time_of(parted) == time_of(ids[0])


def test_what_is_of_one_subject_is_taken_up_together(desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.processing.rebuild.MOST_AT_ONCE", 4)
    laid = {desk.lay(item(number, status=status)): number for status in (4, 6) for number in range(1, 9)}
    desk.process()
    desk.database.execute("UPDATE events SET warnings = '[{}]'")
    new = [*laid][5:8]
    desk.database.execute("DELETE FROM events WHERE delivery_id = ANY(%s)", (new,))
    report = compare(desk.database, Selection(), Circumstances(PROVIDERS, desk.sources, desk.vault, ZONE))
    chosen = [one for page in report.changed_ids() for one in page]
    assert (report.changed, {*chosen}, len(chosen)) == (16, {*laid}, 16)
    of = [laid[one] for one in chosen if one not in new]
    assert sum(one != other for one, other in pairwise([0, *of])) == 8, "each number stands in one place"
    assert [one for one in chosen if one in new] == new
