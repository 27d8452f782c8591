"""Whole lists and feeds within a wall by broker: what is theirs, by indexes, however much others have."""

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from app.accounts.model import Scope
from app.times import now
from tests.overheard import overheard
from tests.query.conftest import START, Caller, Rows

LONG_AGO = -60 * 24 * 40
"""Minutes: before what is looked through first."""

INDEXES = {
    "/v1/events": "events_.*broker_id.*_idx",
    "/v1/events?order=asc": "events_.*broker_seq.*_idx",
    "/v1/deliveries": "outcomes_.*brokers_delivery_id_idx",
    "/v1/deliveries?order=asc": "outcomes_.*brokers_seq_idx",
    "/v1/inquiries": "ix_inquiries_broker_external_id_id",
    "/v1/customers": "ix_customers_of_broker",
    "/v1/documents": "ix_documents_broker_external_id_id",
}


@pytest.fixture(params=["long ago", "up to now"])
def of_b1_and_b2(rows: Rows, request: pytest.FixtureRequest) -> dict[str, list[UUID]]:
    """Rows of two brokers by turns with those of others, the newest first; some name several brokers.

    Of those up to now a third is older than what is looked through first.
    """
    last = 0 if request.param == "long ago" else int((now() - START) / timedelta(minutes=1)) - 60
    source, names = rows.source("s"), ("deliveries", "events", "inquiries", "customers", "documents")
    found: dict[str, list[UUID]] = {name: [] for name in names}
    for number in range(12):
        broker, minutes = ("B1", "B2", "B3", None)[number % 4], last + number + (LONG_AGO if number < 4 else 0)
        delivery = rows.delivery(source, minutes, brokers=[broker] if broker else [])
        made = {
            "deliveries": delivery,
            "events": rows.event(source, delivery, minutes, broker=broker),
            "inquiries": rows.inquiry(source, number, minutes, broker_external_id=broker),
            "customers": rows.customer(source, minutes, brokers=[broker] if broker else []),
            "documents": rows.document(source, number, minutes, hash=f"h{number}", broker_external_id=broker),
        }
        for name, one in made.items() if broker in ("B1", "B2") else ():
            found[name].insert(0, one)
    found["deliveries"].insert(0, rows.delivery(source, last + 20, brokers=["B1", "B2"]))
    found["customers"].insert(0, rows.customer(source, last + 20, brokers=["B1", "B2"]))
    for brokers in (["B1", "B3"], ["A0", "B1"]):
        rows.delivery(source, last + 21, brokers=brokers)
        rows.customer(source, last + 21, brokers=brokers)
    rows.customer(source, last + 22, brokers=["B1"], merged_into=found["customers"][0])
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_hold_what_is_within_the_wall(
    rows: Rows, of_b1_and_b2: dict[str, list[UUID]], open_caller: Callable[[], Caller], limit: int
) -> None:
    key, caller = rows.key(Scope.READ, brokers=["B1", "B2"]), open_caller()
    for name, own in of_b1_and_b2.items():
        for order, expected in (("desc", own), ("asc", own[::-1])):
            found = caller.walk(key, f"/v1/{name}?order={order}&limit={limit}")
            assert [UUID(one["id"]) for one in found] == expected, (name, order)


def test_a_feed_goes_by_seq_and_on_from_its_cursor(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, brokers=["B1", "B2"])
    caller, cursor = open_caller(), ""
    for minutes, broker in ((9, "B2"), (5, "B3"), (1, "B1")):  # the last one received is the first one processed
        delivery = rows.delivery(source, minutes, brokers=[broker])
        event = rows.event(source, delivery, minutes, broker=broker)
        for name, one in (("deliveries", delivery), ("events", event)):
            page = caller.get(key, f"/v1/{name}?order=asc{cursor if name == 'events' else ''}").json()
            assert (str(one) in [row["id"] for row in page["data"]]) == (broker != "B3"), name
            assert page["caught_up"]
        assert len(page["data"]) == (broker != "B3")
        cursor = f"&cursor={page['follow_cursor']}"


def test_walls_by_source_and_broker_hold_together(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    one, two = rows.source("one"), rows.source("two")
    key, caller = rows.key(Scope.READ, brokers=["B1"], source_ids=[one]), open_caller()
    for number, source in enumerate((one, two, one, two)):
        rows.event(source, rows.delivery(source, number, brokers=["B1"]), number, broker="B1")
        rows.inquiry(source, number, number, broker_external_id="B1")
        rows.customer(source, number, brokers=["B1"])
        rows.document(source, number, number, hash=str(number), broker_external_id="B1")
    for path in INDEXES:
        assert [row["source"] for row in caller.found(key, path)] == ["one", "one"], path


@pytest.mark.usefixtures("of_b1_and_b2")
def test_a_wall_without_brokers_holds_nothing(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    key, caller = rows.key(Scope.READ, brokers=[]), open_caller()
    for path in INDEXES:
        assert caller.found(key, path) == []


def test_the_rows_of_a_broker_are_had_by_its_index_in_order(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    """Planned once for all values: an index whose words the statement does not say to the letter could not be used.

    By what such a plan may do, not by what it costs, which hangs on when the autovacuum looked at the tables.
    """
    source, caller, key = rows.source("s"), open_caller(), rows.key(Scope.READ, brokers=["B1", "B2"])
    for number in range(200):
        broker = "B1" if number == 100 else "B9"
        delivery = rows.delivery(source, number, brokers=[broker])
        rows.event(source, delivery, number, broker=broker)
        rows.inquiry(source, number, number, broker_external_id=broker)
        rows.customer(source, number, brokers=[broker])
        rows.document(source, number, number, hash=str(number), broker_external_id=broker)
    rows.connection.exec_driver_sql("ANALYZE")
    rows.connection.commit()
    for path, index in INDEXES.items():
        with overheard() as seen:
            assert len(caller.found(key, path)) == 1
        plan = _planned_once(rows, *next((text, given) for text, given in seen if "LATERAL" in text))
        assert re.search(f"using {index}", plan), (path, plan)
        assert "Seq Scan on" not in re.sub("Seq Scan on sources|Seq Scan on source_tokens", "", plan), (path, plan)


def _planned_once(rows: Rows, asked: str, values: dict[str, object]) -> str:
    """Return the plan of a statement for all values, of a database that does without what would always do."""
    names = [*dict.fromkeys(re.findall(r"%\((\w+)\)s", asked))]
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", asked).replace("%%", "%")
    driver = rows.connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    cursor = psycopg.ClientCursor(driver)
    for word in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
        cursor.execute(f"SET LOCAL {word} = off")
    cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    planned, places = f"planned_{uuid4().hex}", ", ".join(["%s"] * len(names))
    cursor.execute(f"PREPARE {planned} AS {numbered}".encode())
    cursor.execute(f"EXPLAIN EXECUTE {planned} ({places})", [values[name] for name in names])
    plan = "\n".join(row[0] for row in cursor.fetchall())
    driver.rollback()
    return plan
