"""Pages within a wall by broker: an index tells their ids, and their rows are as ever."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.accounts.model import Access, Scope
from app.query.events import EVENTS
from app.query.ids_first import rows_by_id
from app.query.inquiries import INQUIRIES
from app.query.resource import Resource
from tests.overheard import overheard
from tests.query.conftest import START, Caller, Rows

_TOLD = [(EVENTS, name) for name in EVENTS.told] + [(INQUIRIES, name) for name in INQUIRIES.told]


@pytest.fixture
def by_broker(rows: Rows) -> dict[str, list[UUID]]:
    """Six events and inquiries of each of two brokers by turns, the newest first."""
    source, found = rows.source("s"), dict[str, list[UUID]](B1=[], B2=[], inquiries_B1=[], inquiries_B2=[])
    for number in range(12):
        broker = ("B1", "B2")[number % 2]
        delivery = rows.delivery(source, number, brokers=[broker])
        kind = ("told", "other")[number // 6]
        found[broker].insert(0, rows.event(source, delivery, number, broker=broker, type=kind))
        inquiry = rows.inquiry(source, number, number, status=4 + number // 6, broker_external_id=broker)
        found[f"inquiries_{broker}"].insert(0, inquiry)
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_hold_what_is_within_the_wall(
    rows: Rows, by_broker: dict[str, list[UUID]], open_caller: Callable[[], Caller], limit: int
) -> None:
    key, caller = rows.key(Scope.READ, brokers=["B1"]), open_caller()
    own, inquiries = by_broker["B1"], by_broker["inquiries_B1"]

    def walk(path: str) -> list[UUID]:
        return [UUID(one["id"]) for one in caller.walk(key, f"/v1/{path}&limit={limit}")]

    since, until = (f"{START + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}" for minutes in (2, 9))
    assert walk(f"events?received_at[gte]={since}&received_at[lt]={until}") == own[1:5]
    assert walk("events?type=told") == own[3:]
    assert walk(f"events?type=other,told&received_at[gte]={since}") == own[:5]
    assert walk("events?type=none") == []
    assert walk("inquiries?status=5") == inquiries[:3]
    assert walk("inquiries?status=4,5&order=asc") == inquiries[::-1]
    assert walk("inquiries?status=4&sort=changed_at") == inquiries[3:]


@pytest.mark.parametrize(("resource", "name"), _TOLD, ids=[f"{one.name}-{name}" for one, name in _TOLD])
def test_an_index_tells_them_without_the_rows(rows: Rows, resource: Resource, name: str) -> None:
    """Not asked by a plan: that hangs on when the autovacuum looked at the tables."""
    found = rows.connection.exec_driver_sql(
        "SELECT array_agg(attname::text ORDER BY place) FROM pg_index,"
        " unnest(indkey) WITH ORDINALITY AS keys (attnum, place) JOIN pg_attribute USING (attnum)"
        " WHERE indrelid = %s::regclass AND attrelid = indrelid GROUP BY indexrelid",
        (resource.table.name,),
    ).scalars()
    begins = ["id"] if name in ("id", "received_at") else [name, "id"]
    holds = {name, "source_id", *{"broker", "broker_external_id"} & {*resource.table.c.keys()}}
    assert any(columns[: len(begins)] == begins and holds <= {*columns} for columns in found)


def test_what_is_gone_since_is_left_out(by_broker: dict[str, list[UUID]], open_caller: Callable[[], Caller]) -> None:
    access = Access(UUID(int=1), "key", frozenset({Scope.READ}), None, frozenset({"B1"}))
    beyond, (first, second, *_) = by_broker["B2"][0], by_broker["B1"]
    client: Any = open_caller().client
    wanted = [second, UUID(int=7), beyond, first]
    found = client.portal.call(rows_by_id, client.app.state.reading, EVENTS, wanted, access)
    assert [row["id"] for row in found] == [str(second), str(first)]


@pytest.mark.usefixtures("by_broker")
@pytest.mark.parametrize("path", ["events?type=told", "events?received_at[gte]=2026-03-01", "inquiries?status=4"])
def test_only_their_rows_are_read(rows: Rows, open_caller: Callable[[], Caller], path: str) -> None:
    caller = open_caller()
    ids = f"SELECT {path.partition('?')[0]}.id \n"
    for brokers in (["B1"], None):
        with overheard() as seen:
            assert caller.found(rows.key(Scope.READ, brokers=brokers), f"/v1/{path}&limit=1")
        assert any(ids in statement for statement, _ in seen) == (brokers is not None)
