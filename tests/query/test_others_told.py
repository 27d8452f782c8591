"""What somebody beyond a key's wall told is not to be read off one's own events either."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from app.accounts.model import Scope
from app.query.inquiries import STATUS_NAMES
from app.storage.models import gaps, pulled
from app.times import now, to_text
from tests.query.conftest import START, Caller, Rows

CHANGES: list[dict[str, Any]] = [
    {"field": "status", "old": 4, "new": 6},
    {"field": "customer.last_name", "old": "Vorher", "new": "Nachher"},
]


@pytest.fixture
def inquiry(rows: Rows) -> Callable[..., str]:
    """Make an inquiry that a first broker told of and a second one told anew; return the second event's id."""
    source, made = rows.source("s"), iter(range(1, 99))

    def make(first: str | None, second: str, told_anew: list[dict[str, Any]] = CHANGES) -> str:
        number = next(made)
        record = rows.inquiry(source, number, number, broker_external_id=second)
        event: Any = None
        for minutes, broker, changes in ((1, first, []), (2, second, told_anew)):
            at = number + minutes / 10
            event = rows.event(
                source,
                rows.delivery(source, at, brokers=[broker] if broker else []),
                at,
                subject=f"inquiry/{number}",
                broker=broker,
                record_kind="inquiry",
                record_id=record,
                changes=changes,
            )
        return str(event)

    return make


def test_what_others_told_before_is_not_named(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    originals = {}
    for minutes, broker in enumerate(("B-1", "B-2", None)):
        told = rows.event(source, rows.delivery(source, minutes), minutes, broker=broker)
        again = rows.event(source, rows.delivery(source, minutes + 0.5), minutes + 0.5, broker="B-1", duplicate_of=told)
        originals[str(again)] = str(told)
    own, *hidden = originals
    caller, key = open_caller(), rows.key(Scope.READ, brokers=["B-1"])
    shown = {one["id"]: one for one in caller.found(key, "/v1/events")}
    assert shown[own]["duplicate_of"] == originals[own]
    assert shown[own]["links"]["duplicate_of"] == f"/v1/events/{originals[own]}"
    for one in hidden:
        assert (shown[one]["duplicate_of"], shown[one]["links"]["duplicate_of"]) == (None, None)
        assert caller.found(key, f"/v1/events?duplicate_of={originals[one]}") == []
        assert len(caller.found(key, f"/v1/events?duplicate_of[ne]={originals[one]}")) == len(shown)
    assert [one["id"] for one in caller.found(key, "/v1/events?duplicate_of[null]=false")] == [own]
    assert len(caller.found(key, "/v1/events?duplicate_of[null]=true")) == len(shown) - 1
    assert len(caller.found(rows.key(Scope.READ), "/v1/events?duplicate_of[null]=false")) == len(originals)


def test_old_values_are_shown_to_who_may_see_who_told_them(
    rows: Rows, inquiry: Callable[..., str], open_caller: Callable[[], Caller]
) -> None:
    own, taken_over, of_nobody = (inquiry(first, "B-1") for first in ("B-1", "B-2", None))
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
    assert shown(walled, of_nobody) == [(hidden, ["changes"])] * 3
    documents = {"field": "documents", "old": {"h": {"name": "Alt.pdf"}}, "new": {"h": {"name": "Neu.pdf"}}}
    assert shown(walled, inquiry("B-2", "B-1", [documents])) == [([documents | {"old": None}], ["changes"])] * 3


def test_what_others_told_of_a_record_is_not_there(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    """The inquiry has passed to a broker, and a customer whom nobody named goes with it."""
    source = rows.source("s")
    customer = rows.customer(source, 0, identity="c:1", last_name="Nachher", brokers=["B-1"])
    known = {"h": {"hash": "h", "name": "Antrag.pdf"}}
    record = rows.inquiry(source, 1, broker_external_id="B-1", customer_record_id=customer, documents=known)
    foreign = rows.inquiry(source, 2, broker_external_id="B-2", customer_record_id=customer)
    rows.document(source, 1, hash="h", name="Antrag.pdf", broker_external_id="B-2")
    made = []
    for minutes, broker, name, status, one in (
        (1, "B-2", "Vorher", 3, record),
        (2, None, "Vorher", 4, record),
        (3, "B-2", "Vorher", 4, foreign),
        (4, "B-1", "Nachher", 6, record),
    ):
        fields = {"inquiry_id": 1, "status": status, "customer_key": "c:1", "documents": known}
        made.append(
            rows.event(
                source,
                rows.delivery(source, minutes, brokers=[broker] if broker else []),
                minutes,
                type=f"thinksurance.inquiry.{STATUS_NAMES[status]}",
                broker=broker,
                record_kind="inquiry",
                record_id=one,
                customer_id=customer,
                changes=[{"field": "status", "old": None, "new": status}],
                parts=[
                    {"kind": "inquiry", "keys": ["1"], "fields": fields},
                    {"kind": "customer", "keys": ["c:1"], "fields": {"last_name": name}},
                ],
            )
        )
    key, walled = (rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=one) for one in (None, ["B-1"]))
    caller = open_caller()

    def told(key: str) -> list[int]:
        paths = (f"inquiries/{record}", f"customers/{customer}")
        return [len(caller.found(key, f"/v1/{path}/history")) for path in paths]

    assert told(key) == [3, 2]  # of the same name again nothing changed
    assert told(walled) == [1, 1]
    (entry,) = caller.found(walled, f"/v1/customers/{customer}/history")
    assert entry["event_id"] == str(made[-1])
    assert [(one["old"], one["new"]) for one in entry["changes"]] == [(None, "Nachher")]

    for who, entered in ((key, 1), (walled, 0)):
        found = caller.found(who, "/v1/stats/funnel?from=3&to=6")
        assert sum(one["entered"] for one in found) == entered
    blind = rows.key(Scope.READ)

    def then(key: str, minutes: int) -> Any:
        moment = to_text(START + timedelta(minutes=minutes, seconds=1))
        return caller.get(key, f"/v1/inquiries/{record}?as_of={moment}").json()

    assert (then(key, 2)["status"], then(walled, 2)["status"]) == (4, 404)
    for who, expected in ((key, (3, 2, 1)), (walled, (1, 1, 0))):
        shown = then(who, 4)
        assert (shown["event_count"], shown["customer"]["inquiry_count"], len(shown["documents"])) == expected
    assert [(one["name"], one["redacted"]) for one in then(key, 4)["documents"]] == [("Antrag.pdf", [])]
    hidden = [(one["name"], one["redacted"]) for one in then(blind, 4)["documents"]]
    assert hidden == [(None, ["full_name", "name"])]


def test_who_belongs_to_others_too_finds_no_inquiry(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    shared = rows.customer(source, 0, company="Muster GmbH", customer_id=7, brokers=["B-1", "B-2"])
    rows.inquiry(source, 1, broker_external_id="B-1", customer_record_id=shared)
    key, walled = (rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=one) for one in (None, ["B-1"]))
    caller = open_caller()
    (inquiry,) = caller.found(walled, "/v1/inquiries")
    assert inquiry["customer"] is None
    for asked in (
        "company=Muster GmbH",
        "company[prefix]=mu",
        "customer_id=7",
        f"id={shared}",
        "customer_id[null]=false",
    ):
        assert len(caller.found(key, f"/v1/inquiries?customer.{asked}")) == 1, asked
        assert caller.found(walled, f"/v1/inquiries?customer.{asked}") == [], asked
    assert len(caller.found(walled, "/v1/inquiries?customer.customer_id[ne]=7")) == 1


def test_old_values_that_others_told_are_not_read_off_gaps(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    record = rows.inquiry(source, 1, broker_external_id="B-1")
    made: Any = None
    for minutes, broker, changes in ((1, "B-2", []), (2, "B-1", CHANGES)):
        delivery, told = rows.delivery(source, minutes, brokers=[broker]), {"broker": broker, "changes": changes}
        made = rows.event(source, delivery, minutes, record_kind="inquiry", record_id=record, **told)
    gap = {"subject": "inquiry/1", "delivery_id": delivery, "missed_since": START, "found_at": START, "content": b""}
    rows.insert(gaps, id=made, source_id=source, broker="B-1", **gap)
    walled = rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=["B-1"])
    caller = open_caller()
    for shown in (caller.get(walled, f"/v1/gaps/{made}").json(), *caller.found(walled, "/v1/gaps")):
        assert (shown["changes"], shown["redacted"]) == ([CHANGES[0], CHANGES[1] | {"old": None}], ["changes"])


def test_an_inquiry_is_not_found_by_a_call_that_an_event_of_others_answered(
    rows: Rows, open_caller: Callable[[], Caller]
) -> None:
    source, asked = rows.source("s"), rows.id_at(0)
    record = rows.inquiry(source, 1, broker_external_id="B-1")
    delivery = rows.delivery(source, 1, brokers=["B-2"])
    rows.event(source, delivery, 1, broker="B-2", record_kind="inquiry", record_id=record, submission_id=asked)
    key, walled = (rows.key(Scope.READ, brokers=one) for one in (None, ["B-1"]))
    caller = open_caller()
    for question, answered in (("[null]=false", 1), (f"={asked}", 1), ("[null]=true", 0), (f"[ne]={asked}", 0)):
        found = [len(caller.found(one, f"/v1/inquiries?submission_id{question}")) for one in (key, walled)]
        assert found == [answered, 1 - answered], question


def test_events_are_not_found_by_a_customer_of_others(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    """An inquiry's own customer was found to be one whom others know: that both are one is not to be learnt."""
    source = rows.source("s")
    shared = rows.customer(source, 0, customer_id=7, brokers=["B-1", "B-2"])
    once = rows.customer(source, 0, brokers=["B-1"], merged_into=shared)
    rows.event(source, rows.delivery(source, 1, brokers=["B-1"]), 1, broker="B-1", customer_id=shared)
    key, walled = (rows.key(Scope.READ, brokers=one) for one in (None, ["B-1"]))
    caller = open_caller()
    for question, answered in ((f"={once}", 1), (f"={shared}", 1), ("[null]=false", 1), ("[null]=true", 0)):
        found = [len(caller.found(one, f"/v1/events?customer.id{question}")) for one in (key, walled)]
        assert found == [answered, 1 - answered if "null" in question else 0], question


def test_signatures_that_differ_are_counted_within_the_wall(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s", recipe_proven_at=START)
    for number, broker in enumerate(("B-1", "B-2", "B-2")):
        told = {
            "delivery_id": rows.delivery(source, number, brokers=[broker]),
            "pulled_at": now(),
            "deviated_at": now(),
        }
        rows.insert(pulled, source_id=source, subject=f"inquiry/{number}", content=b"", body=b"", **told)
    caller = open_caller()
    for brokers, count in ((None, 3), (["B-1"], 1), (["B-1", "B-2"], 3), (["B-3"], 0)):
        found = caller.found(rows.key(Scope.READ, brokers=brokers), "/v1/attention")
        assert sum(one["count"] for one in found if one["kind"] == "signature-deviates") == count, brokers
