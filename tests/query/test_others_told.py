"""What somebody beyond a key's wall told of a person is not to be read off the changes either."""

from collections.abc import Callable
from typing import Any

import pytest

from app.accounts.model import Scope
from tests.query.conftest import Caller, Rows

CHANGES: list[dict[str, Any]] = [
    {"field": "status", "old": 4, "new": 6},
    {"field": "customer.last_name", "old": "Vorher", "new": "Nachher"},
]


@pytest.fixture
def inquiry(rows: Rows) -> Callable[[str, str], str]:
    """Make an inquiry that a first broker told of and a second one told anew; return the second event's id."""
    source, made = rows.source("s"), iter(range(1, 99))

    def make(first: str, second: str) -> str:
        number = next(made)
        record = rows.inquiry(source, number, number, broker_external_id=second)
        event: Any = None
        for minutes, broker, changes in ((1, first, []), (2, second, CHANGES)):
            at = number + minutes / 10
            event = rows.event(
                source,
                rows.delivery(source, at, brokers=[broker]),
                at,
                subject=f"inquiry/{number}",
                broker=broker,
                record_kind="inquiry",
                record_id=record,
                changes=changes,
            )
        return str(event)

    return make


def test_old_values_are_shown_to_who_may_see_who_told_them(
    rows: Rows, inquiry: Callable[[str, str], str], open_caller: Callable[[], Caller]
) -> None:
    own, taken_over = inquiry("B-1", "B-1"), inquiry("B-2", "B-1")
    key, walled = (rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=one) for one in (None, ["B-1"]))
    caller = open_caller()
    hidden = [CHANGES[0], CHANGES[1] | {"old": None}]

    def shown(key: str, event_id: str) -> list[tuple[Any, Any]]:
        one = caller.get(key, f"/v1/events/{event_id}").json()
        (listed,) = caller.found(key, f"/v1/events?id={event_id}")
        (entry,) = caller.found(key, f"/v1/inquiries/{one['record']['id']}/history")
        return [(each["changes"], each["redacted"]) for each in (one, listed, entry)]

    assert shown(key, taken_over) == [(CHANGES, [])] * 3
    assert shown(walled, own) == [(CHANGES, [])] * 3
    assert shown(walled, taken_over) == [(hidden, ["changes"])] * 3
