"""Old months are dropped, and records live on: from baselines, whatever comes later, and whatever ends it half-way."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.crypto import Vault
from app.ids import derived_id, first_id_at
from app.processing import retention
from app.processing.batch import Circumstances
from app.processing.processor import Processor
from app.processing.retention import drop_waiting
from app.processing.work import Worker, run
from app.providers import PROVIDERS
from app.storage.database import MIGRATION_LOCK
from app.storage.partitions import PARTITION_KEYS, drop_month, ensure_partitions
from tests.conftest import PATIENCE_S
from tests.examples import examples
from tests.processing.conftest import ZONE, Desk
from tests.processing.test_order import _ITEMS, _LEADS, _SNAPSHOT, _TABLES, _left

KEEP = 2
MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in (6, 7, 8)]
LATER = datetime(2026, 10, 15, tzinfo=UTC)
"""When the first two of the months are old."""

RECORDS = ("inquiries", "customers", "documents", "leads")
Body = Callable[..., dict[str, Any]]
FOLDED = "SELECT 1 FROM closed_months WHERE folded_at IS NOT NULL AND dropped_at IS NULL"


def soon(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once: the server's own upkeep may hold a lock for a moment."""
    monkeypatch.setattr(retention, "AGAIN", timedelta(0))


class Old(Desk):
    """A desk with three old months, of which two are dropped when told to."""

    def __init__(self, database: Any, vault: Vault) -> None:
        super().__init__(database, vault)
        self.made = 0

    def id_in(self, month: int) -> UUID:
        """Return a new id of a month (0 to 2), above those that were made of it before."""
        self.made += 1
        return derived_id(first_id_at(MONTHS[month] + timedelta(days=9, minutes=self.made)), self.made)

    def begin(self) -> None:
        """Have empty tables and all three months."""
        self.database.execute("TRUNCATE deliveries, baselines, closed_months, gaps, " + ", ".join(_TABLES))
        ensure_partitions(self.database, MONTHS[0], 2)
        self.made = 0

    def receive(self, month: int, body: Any, source_id: UUID | None = None) -> UUID:
        """Process a delivery of a month (0 to 2)."""
        delivery_id = self.lay(body, source_id, self.id_in(month))
        self.process()
        return delivery_id

    def new_processor(self, clock: datetime = LATER, keep_months: int | None = KEEP) -> Processor:
        """Return a processor that drops old months."""
        return Processor(
            self.database,
            lambda: Circumstances(PROVIDERS, self.sources, self.vault, ZONE),
            keep_months,
            lambda: clock,
        )

    def drop(self, clock: datetime = LATER) -> None:
        """Drop what is old until nothing more is to be done."""
        processor = self.new_processor(clock)
        soon(lambda: not processor.drop_old())

    def fold(self, processor: Processor) -> None:
        """Go on until a month is folded and only to be dropped."""
        soon(lambda: [processor.drop_old(), self.rows(FOLDED)][-1] != [])

    def fold_anew(self) -> None:
        """Have every event that is left read otherwise than before, and so each of its records folded anew."""
        self.database.execute("UPDATE events SET warnings = '[{}]'")
        for delivery_id, source_id in self.rows("SELECT id, source_id FROM deliveries"):
            self.ask_again(delivery_id, source_id)
        self.process()

    def records(self, but: str = "") -> dict[str, list[Any]]:
        """Return what the records say, without the columns `but`."""
        return {
            table: self.rows(f"SELECT ({_SNAPSHOT[table]}) {but} AS row FROM {table} t {_left(table)} ORDER BY 1")  # noqa: S608
            for table in RECORDS
        }

    def months(self, table: str = "deliveries") -> list[str]:
        """Return the months of the desk that have a partition."""
        names = [f"{table}_{start:%Y%m}" for start in MONTHS]
        rows = self.rows("SELECT n FROM unnest(%s::text[]) AS n WHERE to_regclass(n) IS NOT NULL ORDER BY n", names)
        return [row[0][-6:] for row in rows]


@pytest.fixture
def old(shared_database_url: str, vault: Vault) -> Iterator[Old]:
    with psycopg.connect(shared_database_url, autocommit=True) as database:
        desk = Old(database, vault)
        desk.begin()
        yield desk


def test_records_are_the_same_before_and_after_and_folded_anew(old: Old, item: Body) -> None:
    erika = {"cId": 5, "cExternalId": "K-5", "cLastName": "Beispiel", "cCity": "Köln"}
    old.receive(0, item(7, customer=erika, productName="Haftpflicht", premiumYearly="48,50", taxPercent="19"))
    old.receive(0, item(8, customer={"cExternalId": "K-5", "cFirstName": "Erika"}))
    old.receive(0, {"id": "lead-1", "event": "lead.created", "first_name": "Lotte"}, old.wegroup)
    old.receive(0, b"{", old.wegroup)  # in quarantine
    old.receive(1, item(7, iUpdated="2026-07-01", status=6))
    old.receive(1, item(9, customer={"cId": 6, "cLastName": "Muster"}))
    old.receive(2, item(7, iUpdated="2026-08-02", status=15, customer={"cId": 5, "cCity": "Bonn"}))
    old.receive(2, {"id": "lead-1", "event": "lead.updated", "email": "lotte@voorbeeld.example"}, old.wegroup)
    before = {table: old.rows(f"SELECT to_jsonb(t) FROM {table} t ORDER BY id") for table in RECORDS}  # noqa: S608
    old.drop()
    assert {table: old.months(table) for table in PARTITION_KEYS} == {table: ["202608"] for table in PARTITION_KEYS}
    for table in PARTITION_KEYS:
        assert old.row(f"SELECT count(*) FROM {table}") == (2,)  # noqa: S608 - ours
    assert {table: old.rows(f"SELECT to_jsonb(t) FROM {table} t ORDER BY id") for table in RECORDS} == before  # noqa: S608
    old.fold_anew()
    assert old.row("SELECT count(*) FROM events WHERE revised_at IS NOT NULL") == (2,)
    assert {table: old.rows(f"SELECT to_jsonb(t) FROM {table} t ORDER BY id") for table in RECORDS} == before  # noqa: S608
    assert old.row("SELECT array_agg(to_char(begins_at, 'MM')) FROM closed_months WHERE dropped_at IS NOT NULL") == (
        ["06", "07"],
    )


def test_older_news_overwrite_nothing_and_newer_do(old: Old, item: Body) -> None:
    old.receive(0, item(7, iUpdated="2026-06-05", status=6, productName="Haftpflicht"))
    old.receive(1, item(7, iUpdated="2026-07-05", premiumYearly=1000))
    old.drop()
    assert old.rows("SELECT 1 FROM events") == []
    late = old.receive(2, item(7, iUpdated="2026-06-01", status=3, productName="Alt", industryName="Bäckerei"))
    question = "SELECT status, product_name, industry_name, premium_yearly_cents, event_count FROM inquiries"
    assert old.row(question) == (4, "Haftpflicht", "Bäckerei", 1000, 3)
    assert old.row("SELECT changes, stale FROM events WHERE delivery_id = %s", late) == (
        [{"field": "industry_name", "old": None, "new": "Bäckerei"}],
        True,
    )
    old.receive(2, item(7, iUpdated="2026-08-05", status=15, productName="Neu"))
    assert old.row(question) == (15, "Neu", "Bäckerei", 1000, 4)
    repeated = old.receive(2, item(7, iUpdated="2026-08-05", status=15, productName="Neu"))
    assert old.row("SELECT changes, duplicate_of IS NOT NULL FROM events WHERE delivery_id = %s", repeated) == (
        [],
        True,
    )


def test_a_file_of_which_less_was_said_later_keeps_its_names(old: Old, item: Body) -> None:
    def with_file(day: str, inquiry_id: int, **file: str) -> dict[str, Any]:
        return item(inquiry_id, iUpdated=day) | {"docs": {"files": [{"hash": "h", **file}]}}

    whole = {"name": "Antrag", "fullName": "Antrag.pdf"}
    for inquiry_id, day in ((7, "2026-06-01"), (8, "2026-06-09")):
        old.receive(0, with_file("2026-06-02", inquiry_id, **whole))
        old.receive(0, item(inquiry_id, iUpdated=day))  # the newest of its month, or not
        old.receive(1, with_file("2026-06-05", inquiry_id, name="Police"))
    documents = "SELECT documents FROM inquiries"
    before = old.rows(documents)
    old.drop()
    for inquiry_id in (7, 8):
        old.receive(2, item(inquiry_id, iUpdated="2026-01-01"))
    assert old.rows(documents) == before
    assert [(one["h"]["name"], one["h"]["full_name"]) for (one,) in before] == [("Police", "Antrag.pdf")] * 2


def test_what_is_not_said_any_more_is_gone_although_the_rest_is_kept(old: Old, item: Body) -> None:
    old.receive(0, item(7, status=6))
    delivery = old.receive(2, item(7, status=6, productName="Haftpflicht"))
    old.drop()
    told = "SELECT status, product_name, event_count FROM inquiries"
    assert old.row(told) == (6, "Haftpflicht", 2)
    old.database.execute("UPDATE deliveries SET body = %s", (orjson.dumps(item(7, status=6)),))  # as if it were misread
    old.ask_again(delivery)
    old.process()
    assert old.row(told) == (6, None, 2)


def test_when_a_customer_changed_is_kept_apart_from_when_its_inquiry_did(old: Old, item: Body) -> None:
    for month, status in ((0, 4), (0, 6), (2, 6)):
        old.receive(month, item(7, status=status, customer={"cId": 5, "cLastName": "Muster"}))
    before = old.row("SELECT changed_at FROM customers")
    old.drop()
    old.fold_anew()
    assert old.row("SELECT changed_at FROM customers") == before


def test_which_call_of_ours_was_answered_stays_known(old: Old, item: Body) -> None:
    asked = UUID(int=4711)
    old.receive(0, item(7, status=4))
    old.receive(0, item(7, status=6))
    old.database.execute("UPDATE events SET submission_id = %s WHERE seq = (SELECT min(seq) FROM events)", (asked,))
    old.drop()
    assert old.rows("SELECT submission_id FROM baselines WHERE kind = 'inquiry'") == [(asked,)]


def test_gaps_go_with_the_events_that_filled_them(old: Old, item: Body) -> None:
    for month in (0, 2):
        old.receive(month, item(7))
    old.database.execute(
        "INSERT INTO gaps (id, source_id, subject, delivery_id, missed_since, found_at, content)"
        " SELECT id, source_id, subject, delivery_id, received_at, received_at, '' FROM events"
    )
    old.drop()
    assert old.rows("SELECT id FROM gaps") == old.rows("SELECT id FROM events") != []


def test_customers_are_joined_by_what_comes_after(old: Old, item: Body) -> None:
    old.receive(0, item(7, customer={"cLastName": "Beispiel"}))
    old.receive(0, item(8, customer={"cExternalId": "K1", "cFirstName": "Erika", "cCity": "Bonn"}))
    old.receive(1, item(9, customer={"cExternalId": "K1", "cCity": "Köln"}))
    old.drop()
    before = dict(old.rows("SELECT identity, id FROM customers"))
    old.receive(2, item(7, customer={"cExternalId": "K1", "cId": 5}))
    joined = "SELECT identity, first_name, last_name, address->>'city', event_count FROM customers"
    assert old.row(f"{joined} WHERE merged_into IS NULL") == ("c:5", "Erika", "Beispiel", "Köln", 4)
    ((survivor,),) = old.rows("SELECT DISTINCT customer_record_id FROM inquiries")
    assert survivor in before.values()
    assert old.rows("SELECT DISTINCT record_id FROM baselines WHERE kind = 'customer'") == [(survivor,)]


def test_who_repeats_what_is_gone_is_marked_its_duplicate(old: Old, item: Body) -> None:
    old.receive(0, item(7, status=6))
    gone = old.row("SELECT id FROM events")
    old.drop()
    old.receive(2, item(7, status=6))
    assert old.row("SELECT duplicate_of FROM events") == gone
    old.fold_anew()
    assert old.row("SELECT duplicate_of FROM events") == gone


@st.composite
def _stories(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> tuple[list[tuple[int, Any]], list[tuple[int, Any]]]:
    """Items before a drop, by months, and items after it."""
    before = draw(st.lists(st.tuples(st.sampled_from([0, 0, 1, 2]), items), min_size=1, max_size=6))
    return sorted(before, key=lambda one: one[0]), [(2, body) for body in draw(st.lists(items, min_size=1, max_size=4))]


_rule = settings(max_examples=examples(2), suppress_health_check=[HealthCheck.function_scoped_fixture])


@_rule
@given(story=_stories(_ITEMS))
def test_inquiries_come_out_as_if_nothing_had_been_dropped(old: Old, story: Any) -> None:
    _assert_same(old, old.thinksurance, story)


@_rule
@given(story=_stories(_LEADS))
def test_leads_come_out_as_if_nothing_had_been_dropped(old: Old, story: Any) -> None:
    _assert_same(old, old.wegroup, story)


def _assert_same(old: Old, source: UUID, story: Any) -> None:
    """Tell a story with and without a drop in the middle; which event changed a record last is not known exactly."""
    told = []
    for drops in (False, True):
        old.begin()
        for position, part in enumerate(story):
            for month, body in part:
                old.receive(month, body, source)
            if drops and position == 0:
                old.drop()
        assert old.months() == (["202608"] if drops else ["202606", "202607", "202608"])
        without = "- 'changed_at' - 'last_change_id'"
        told.append([old.records(without)])
        old.fold_anew()
        told[-1].append(old.records(without))
    assert told[1] == told[0]


def test_whoever_is_killed_is_gone_on_for(old: Old, item: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is committed by itself, or not at all; another processor goes on from there."""
    monkeypatch.setattr(retention, "PAGE", 1)
    in_baselines = (
        "SELECT coalesce(sum(event_count), 0) FROM baselines b JOIN closed_months m ON m.id = b.month_id"
        " WHERE m.dropped_at IS NOT NULL AND b.kind = 'inquiry'"
    )
    for steps in (1, 3, 4, 8):
        old.begin()
        for number in (0, 0, 1, 2):
            old.receive(number, item(7, status=4 + number, customer={"cId": 5, "cLastName": f"Muster {number}"}))
        before = old.records()
        for _ in range(steps):
            old.new_processor().drop_old()
        _end_within(old, monkeypatch)
        assert old.row(f"SELECT count(*) + ({in_baselines}) FROM events") == (4,), steps  # noqa: S608 - ours
        old.drop()
        assert old.months() == ["202608"]
        old.fold_anew()
        assert old.records() == before


def _end_within(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go one step further and end within it, once everything is done but the commit."""

    def drop_and_end(*given: Any) -> None:
        drop_month(*given)
        raise KeyboardInterrupt

    def fold_and_end(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retention, "drop_month", drop_and_end)
        patch.setattr(retention, "write_baselines", fold_and_end)
        try:
            old.new_processor().drop_old()
        except KeyboardInterrupt:
            return


def test_what_waits_holds_its_month(old: Old, item: Body) -> None:
    old.receive(1, item(8))
    waiting = old.lay(item(7), None, old.id_in(0))
    old.drop()
    assert old.months() == ["202606", "202608"]
    old.process()
    old.drop()
    assert old.months() == ["202608"]
    assert old.rows("SELECT 1 FROM deliveries WHERE id = %s", waiting) == []
    assert old.row("SELECT count(*) FROM inquiries") == (2,)


def test_what_comes_while_a_month_is_closed_is_not_lost(old: Old, item: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the spool or by a replay, before the fold, within it, and right before the month would be dropped."""
    monkeypatch.setattr(retention, "PAGE", 1)
    first = old.receive(0, item(7, status=4, customer={"cId": 5}))
    old.receive(0, item(7, status=6))
    processor = old.new_processor()
    old.processor = processor  # the one that is active, as in the service
    for _ in range(3):
        processor.drop_old()
    old.receive(0, item(7, productName="Spät"))
    old.ask_again(first)
    old.process()
    assert old.rows("SELECT 1 FROM closed_months") == old.rows("SELECT 1 FROM baselines") == []
    old.fold(processor)
    old.lay(item(7, industryName="Bäckerei"), None, old.id_in(0))
    processor.drop_old()
    assert old.months() == ["202606", "202607", "202608"], "the inbox is looked at once more"
    old.process()
    old.drop()
    assert old.months() == ["202608"]
    assert old.row("SELECT sum(event_count) FROM baselines WHERE kind = 'inquiry'") == (4,)
    assert old.row("SELECT status, product_name, industry_name, event_count FROM inquiries") == (
        4,
        "Spät",
        "Bäckerei",
        4,
    )


def test_nothing_comes_in_between_the_last_look_at_the_inbox_and_the_drop(
    old: Old, item: Body, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    def drop_while_one_comes(*given: Any) -> None:
        with psycopg.connect(shared_database_url) as other:
            for table in PARTITION_KEYS:
                with pytest.raises(psycopg.errors.LockNotAvailable), other.transaction():
                    other.execute(f"LOCK TABLE ONLY {table} IN ROW EXCLUSIVE MODE NOWAIT")
                waited.append(table)
        drop_month(*given)

    monkeypatch.setattr(retention, "drop_month", drop_while_one_comes)
    old.receive(0, item(7))
    old.drop()
    assert old.months() == ["202608"]
    assert set(waited) == set(PARTITION_KEYS)


def test_who_holds_a_lock_is_not_waited_for(old: Old, item: Body, shared_database_url: str) -> None:
    old.receive(0, item(7))
    processor = old.new_processor()
    with psycopg.connect(shared_database_url) as other, capture_logs() as logs:
        other.execute("SELECT 1 FROM deliveries")
        old.fold(processor)
        assert processor.drop_old()
        assert processor.drop_old()
        assert [one["event"] for one in logs] == ["month.not_dropped"], "said once"
        old.lay(item(8))  # nobody waits behind it
        other.rollback()
        other.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        processor.drop_old()
        assert old.months() == ["202606", "202607", "202608"]
    old.drop()
    assert old.months() == ["202608"]


def test_the_work_process_drops_by_itself(old: Old, item: Body, shared_database_url: str) -> None:
    old.receive(0, item(7))
    old.receive(1, item(7))
    stop = threading.Event()
    worker = Worker(old.vault, PROVIDERS, ZONE, keep_months=KEEP, clock=lambda: LATER)
    thread = threading.Thread(target=run, args=(shared_database_url, worker, stop))
    thread.start()
    try:
        soon(lambda: old.months() == ["202608"])
        old.lay(item(8), None, old.id_in(0))
        soon(lambda: old.rows("SELECT 1 FROM inbox") == [])
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert old.row("SELECT count(*) FROM inquiries") == (2,)


def test_a_clock_that_jumps_ahead_drops_nothing(
    old: Old, item: Body, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVERY", timedelta(0))
    old.receive(0, item(7))
    clock, stop = [MONTHS[2]], threading.Event()
    worker = Worker(old.vault, PROVIDERS, ZONE, keep_months=KEEP, clock=lambda: clock[0])
    thread = threading.Thread(target=run, args=(shared_database_url, worker, stop))
    with capture_logs() as logs:
        thread.start()
        try:
            for moment in (LATER, LATER):
                old.lay(item(8))
                soon(lambda: old.rows("SELECT 1 FROM inbox") == [])
                clock[0] = moment
            soon(lambda: "clock.jumped" in [one["event"] for one in logs])
        finally:
            stop.set()
            thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert old.months() == ["202606", "202607", "202608"]


def test_old_ids_come_back(old: Old, item: Body) -> None:
    """What comes when its month is dropped already lies in the default partition as long as if it were new."""
    old.receive(0, item(7, status=6))
    old.drop()
    returned = old.receive(0, item(7, status=6, productName="Spät"))
    where = "SELECT tableoid::regclass::text FROM {} WHERE {} = %s"
    assert old.row(where.format("deliveries", "id"), returned) == ("deliveries_default",)
    assert old.row("SELECT product_name, event_count FROM inquiries") == ("Spät", 2)
    old.database.execute("UPDATE deliveries SET stored_at = %s WHERE id = %s", (LATER, returned))
    old.drop()
    assert old.row(where.format("outcomes", "delivery_id"), returned) == ("outcomes_default",)
    old.drop(LATER.replace(year=2027))
    assert old.rows("SELECT 1 FROM deliveries") == old.rows("SELECT 1 FROM events") == []
    assert old.row("SELECT sum(event_count) FROM baselines WHERE kind = 'inquiry'") == (2,)
    old.receive(2, item(7, iUpdated="2026-01-01", industryName="Bäckerei"))
    assert old.row("SELECT product_name, industry_name, event_count FROM inquiries") == ("Spät", "Bäckerei", 3)


def test_nothing_is_dropped_unless_it_is_asked_for(old: Old, item: Body) -> None:
    old.receive(0, item(7))
    assert not old.new_processor(keep_months=None).drop_old()
    assert not old.new_processor(keep_months=4).drop_old()
    assert old.rows("SELECT 1 FROM closed_months") == []
    old.fold(old.new_processor())
    assert not drop_waiting(old.database, 5, LATER)
    old.new_processor(keep_months=5).drop_old()  # more is to be kept than before
    assert old.rows("SELECT 1 FROM closed_months") == old.rows("SELECT 1 FROM baselines") == []
    assert old.months() == ["202606", "202607", "202608"]


def test_the_owner_of_the_tables_drops_what_the_processor_may_not(old: Old, item: Body) -> None:
    old.receive(0, item(7))
    old.fold(old.new_processor())
    soon(lambda: drop_waiting(old.database, KEEP, LATER))
    assert not drop_waiting(old.database, KEEP, LATER)
    assert old.months() == ["202607", "202608"]
