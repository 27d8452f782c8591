"""The deliveries of a filter are put back a page at a time, within the key's wall, and counted first if asked."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, select

from app.accounts.model import Scope
from app.query.bulk_replays import MOST_AT_ONCE
from app.storage.models import audit, inbox
from tests.query.conftest import Caller, Rows

PATH = "/v1/deliveries/replay"


def test_a_filter_is_counted_then_put_back_page_by_page(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, other = rows.source("s"), rows.source("other")
    bad = [rows.delivery(source, minute, status="quarantined", reason="not-json") for minute in range(3)]
    rows.delivery(source, 5)
    rows.delivery(other, 6, status="quarantined", reason="not-json")
    key = rows.key(Scope.WRITE, source_ids=[source])
    caller = open_caller()
    waiting = select(inbox.c.delivery_id)

    counted = caller.post(key, f"{PATH}?status=quarantined&dry_run=true")
    assert (counted.status_code, counted.json()) == (200, {"matched": 3, "queued": 0, "next_cursor": None})
    assert rows.connection.execute(waiting).scalars().all() == []
    assert rows.connection.execute(select(audit.c.id).where(audit.c.action == "delivery.replay")).all() == []

    first = caller.post(key, f"{PATH}?reason=not-json&limit=2")
    assert (first.status_code, first.json()["queued"]) == (202, 2)
    assert set(rows.connection.execute(waiting).scalars()) == {bad[1], bad[2]}
    rows.connection.execute(delete(inbox))
    rest = caller.post(key, f"{PATH}?reason=not-json&limit=2&cursor={first.json()['next_cursor']}")
    assert rest.json() == {"matched": None, "queued": 1, "next_cursor": None}
    assert rows.connection.execute(waiting).scalars().all() == [bad[0]]
    noted = rows.connection.execute(select(audit.c.detail).where(audit.c.action == "delivery.replay")).scalars().all()
    assert noted == [{"delivery_ids": [str(bad[2]), str(bad[1])]}, {"delivery_ids": [str(bad[0])]}]


def test_no_more_than_a_few_at_once(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    for minute in range(MOST_AT_ONCE + 1):
        rows.delivery(source, minute)
    answer = open_caller().post(rows.key(Scope.WRITE), f"{PATH}?source=s&limit=500").json()
    assert answer["queued"] == MOST_AT_ONCE
    assert answer["next_cursor"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "status"),
        ("?limit=5", "status"),
        ("?status=quarantined&order=asc", "order"),
        ("?status=quarantined&dry_run=maybe", "dry_run"),
        ("?status=broken", "status"),
        ("?nothing=1", "nothing"),
    ],
)
def test_what_cannot_be_used_is_named(rows: Rows, open_caller: Callable[[], Caller], query: str, name: str) -> None:
    answer = open_caller().post(rows.key(Scope.WRITE), PATH + query)
    assert answer.status_code == 422, answer.text
    assert [one["name"] for one in answer.json()["errors"]] == [name]


def test_it_needs_write(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    key = rows.key(Scope.READ)
    assert open_caller().post(key, f"{PATH}?status=quarantined").status_code == 403
