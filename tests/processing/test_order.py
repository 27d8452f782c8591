"""The order rule: whatever the order, repetition and grouping in which deliveries are processed, the records agree.

So they do whatever the deliveries were taken for before: how they are read today decides.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.ids import IdSource, first_id_at
from app.processing.order import order_key, receipt_key
from app.processing.records import Account, State, Told, fold_events
from tests.examples import examples
from tests.processing.conftest import Desk

_TABLES = (
    *("inquiries", "customers", "documents", "leads", "events", "outcomes"),
    *("aliases", "later_aliases", "brokers", "seen", "inbox"),
)
_SNAPSHOT = {
    "inquiries": "to_jsonb(t) - 'id' - 'customer_record_id' || jsonb_build_object('customer',"
    " (SELECT identity FROM customers c WHERE c.id = t.customer_record_id))",
    "customers": "to_jsonb(t) - 'id' - 'merged_into'",
    # Nothing is encrypted twice alike. Documents have no history, so nobody asks for the other three.
    "documents": "to_jsonb(t) - 'id' - 'link_encrypted' - 'token_encrypted' - 'broker_token_encrypted' - 'event_count'"
    " - 'changed_at' - 'last_change_id' || jsonb_build_object('field_keys', field_keys - 'broker_token_encrypted')",
    "leads": "to_jsonb(t) - 'id' - 'merged_into'",
    "aliases": "to_jsonb(t)",
    "events": "jsonb_build_object('id', id, 'changes', changes, 'duplicate_of', duplicate_of, 'stale', stale)",
}

_maybe = st.none() | st.sampled_from(["", "a", "b"])
_CUSTOMERS = st.fixed_dictionaries(
    {},
    optional={
        "cId": st.sampled_from([5, 6]),
        "cExternalId": st.sampled_from(["K1", "K2"]),
        "cLastName": _maybe,
        "cCity": _maybe,
        "cExternalReferences": st.just([{"origin": "crm", "paramKey": "Nr", "paramValue": "1"}]),
    },
)
_ITEMS = st.builds(
    lambda inquiry, day, status, name, customer, references, documents, note: {
        "sHash": "x",
        "data": {
            "bToken": "b",
            "bExternalId": "42",
            "iId": inquiry,
            "iUpdated": f"2026-01-0{day}",
            "status": status,
            "productName": name,
            "externalReferences": references,
            "note": note,
        },
        **({"customer": customer} if customer is not None else {}),
        "docs": {"files": [{"hash": h, "name": n, "fullName": n} for h, n in documents]},
    },
    st.sampled_from([7, 8]),
    st.integers(1, 3),
    st.sampled_from([2, 4, 6, 15]),
    _maybe,
    st.none() | _CUSTOMERS,
    st.lists(
        st.fixed_dictionaries(
            {"origin": st.just("crm"), "paramKey": st.sampled_from("pq"), "paramValue": st.sampled_from("12")}
        ),
        max_size=2,
    ),
    st.lists(st.tuples(st.sampled_from("hi"), st.sampled_from("xy")), max_size=2),
    st.sampled_from("xy"),  # by which the event says something else, but no record
)
_REFERENCES = st.lists(
    st.fixed_dictionaries({"company": st.just("hub"), "ref": st.sampled_from(["L1", "L2"])}), min_size=1, max_size=2
)
_LEADS = st.fixed_dictionaries(
    {"external_refs": _REFERENCES},
    optional={
        "id": st.sampled_from(["lead-1", "lead-2"]),
        "first_name": _maybe,
        "email": _maybe,
        "risk_objects": st.sampled_from([{}, {"cars": [{"vin": "ZZZSYNTHET1C00042"}]}]),
    },
).filter(lambda lead: len(lead) > 1)


@pytest.fixture(scope="module")
def start() -> IdSource:
    return IdSource(first_id_at(datetime(2026, 6, 1, tzinfo=UTC)))


def _processed(desk: Desk, source: UUID, *steps: dict[UUID, Any]) -> dict[str, list[Any]]:
    """Process deliveries in steps (bodies as they are read by then) from an empty database; return what is in it."""
    desk.database.execute("TRUNCATE deliveries, " + ", ".join(_TABLES))
    for step in steps:
        for delivery_id, body in step.items():
            desk.lay(body, source, delivery_id)
            desk.database.execute("UPDATE deliveries SET body = %s WHERE id = %s", (orjson.dumps(body), delivery_id))
        desk.process()
    assert desk.rows("SELECT 1 FROM outcomes WHERE reason = 'processing-failed'") == []
    return {
        table: desk.rows(f"SELECT {columns} AS row FROM {table} t {_left(table)} ORDER BY 1")  # noqa: S608
        for table, columns in _SNAPSHOT.items()
    }


def _left(table: str) -> str:
    return "WHERE merged_into IS NULL" if table in {"customers", "leads"} else ""


@st.composite
def _orders(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> tuple[list[Any], list[list[int]]]:
    """Bodies, and steps in which each is processed at least once."""
    bodies = draw(st.lists(items, min_size=2, max_size=6))
    order = draw(st.permutations([*range(len(bodies)), *draw(st.lists(st.integers(0, len(bodies) - 1), max_size=3))]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=3)))
    steps = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return bodies, steps


_rule = settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])


@_rule
@given(case=_orders(_ITEMS))
def test_inquiries_come_out_the_same_in_any_order(
    desk: Desk, start: IdSource, case: tuple[list[Any], list[list[int]]]
) -> None:
    _assert_same(desk, desk.thinksurance, start, case)


@_rule
@given(case=_orders(_LEADS))
def test_leads_come_out_the_same_in_any_order(
    desk: Desk, start: IdSource, case: tuple[list[Any], list[list[int]]]
) -> None:
    _assert_same(desk, desk.wegroup, start, case)


def _assert_same(desk: Desk, source: UUID, start: IdSource, case: tuple[list[Any], list[list[int]]]) -> None:
    bodies, steps = case
    deliveries = [(start.next(), body) for body in bodies]
    in_order = _processed(desk, source, dict(deliveries))
    assert _processed(desk, source, *(dict(deliveries[position] for position in step) for step in steps)) == in_order


def _readings(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[int, Any]]]:
    """Steps in which some of five deliveries are read, for the first time or otherwise than before."""
    return st.lists(st.dictionaries(st.integers(0, 4), items, min_size=1, max_size=2), min_size=3, max_size=9)


def _assert_last_counts(desk: Desk, source: UUID, start: IdSource, readings: list[dict[int, Any]]) -> None:
    ids = [start.next() for _ in range(5)]
    steps = [{ids[position]: body for position, body in step.items()} for step in readings]
    last = {delivery_id: body for step in steps for delivery_id, body in step.items()}
    assert _processed(desk, source, *steps) == _processed(desk, source, dict(sorted(last.items())))


@_rule
@given(readings=_readings(_ITEMS))
def test_inquiries_are_what_is_read_of_them_today(desk: Desk, start: IdSource, readings: list[dict[int, Any]]) -> None:
    _assert_last_counts(desk, desk.thinksurance, start, readings)


@_rule
@given(readings=_readings(_LEADS))
def test_leads_are_what_is_read_of_them_today(desk: Desk, start: IdSource, readings: list[dict[int, Any]]) -> None:
    _assert_last_counts(desk, desk.wegroup, start, readings)


def test_a_later_customer_id_joins_what_was_known_without_it(desk: Desk, item: Callable[..., dict[str, Any]]) -> None:
    desk.lay(item(7, customer={"cLastName": "Beispiel"}))
    desk.lay(item(8, customer={"cExternalId": "K1", "cFirstName": "Erika"}))
    desk.process()
    before = dict(desk.rows("SELECT identity, id FROM customers"))
    assert len(before) == 2
    desk.lay(item(7, customer={"cExternalId": "K1", "cId": 5}))
    desk.process()
    ((identity, survivor, first, last),) = desk.rows(
        "SELECT identity, id, first_name, last_name FROM customers WHERE merged_into IS NULL"
    )
    assert (identity, first, last) == ("c:5", "Erika", "Beispiel")
    assert survivor in before.values()
    assert desk.rows("SELECT DISTINCT customer_record_id FROM inquiries") == [(survivor,)]
    assert desk.rows("SELECT DISTINCT customer_id FROM events") == [(survivor,)]
    assert desk.rows("SELECT merged_into FROM customers WHERE id <> %s", survivor) == [(survivor,)]


_LATE: tuple[list[list[int]], ...] = ([[0, 1, 3], [2]], [[0], [1], [3], [2]], [[1, 0], [3, 2]], [[3], [2], [1], [0]])
"""Orders of four deliveries, in most of which the third comes when the fourth has joined the first two."""


@pytest.mark.parametrize("steps", _LATE)
def test_a_late_item_parts_customers_that_were_joined_wrongly(
    desk: Desk, start: IdSource, item: Callable[..., dict[str, Any]], steps: list[list[int]]
) -> None:
    theirs = {"cExternalId": "K"}
    customers = ({"cId": 1}, {**theirs, "cLastName": "Eins"}, {"cId": 2, **theirs}, {"cId": 1, **theirs})
    bodies = [item(7 + number, customer=customer) for number, customer in enumerate(customers)]
    _assert_same(desk, desk.thinksurance, start, (bodies, steps))
    named = desk.rows("SELECT customer_id, last_name, event_count FROM customers WHERE merged_into IS NULL ORDER BY 1")
    assert named == [(1, None, 2), (2, "Eins", 2)]


@pytest.mark.parametrize("steps", _LATE)
def test_a_late_item_parts_leads_that_were_joined_wrongly(desk: Desk, start: IdSource, steps: list[list[int]]) -> None:
    ours = {"external_refs": [{"company": "hub", "ref": "L1"}]}
    bodies = [{"id": "a"}, {**ours, "first_name": "Lotte"}, {"id": "b", **ours}, {"id": "a", **ours}]
    _assert_same(desk, desk.wegroup, start, (bodies, steps))
    named = desk.rows("SELECT lead_id, first_name FROM leads WHERE merged_into IS NULL ORDER BY 1")
    assert named == [("a", None), ("b", "Lotte")]


def _told(number: int, day: int, minute: int, said: dict[str, Any]) -> Told:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    delivery = UUID(int=minute << 64)
    return Told(
        UUID(int=number),
        order_key(moment + timedelta(days=day), delivery, number),
        receipt_key(delivery, number),
        moment + timedelta(minutes=minute),
        said,
    )


_SAID = st.dictionaries(st.sampled_from(["status", "name", "premium"]), st.integers(0, 2), min_size=1)


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), _SAID), max_size=8), st.randoms())
@example([(0, 1, {"status": 1}), (0, 0, {"status": 1})], None)
def test_folding_depends_on_the_set_alone_and_the_newest_value_wins(
    cases: list[tuple[int, int, dict[str, Any]]], random: Any
) -> None:
    events = [_told(number, day, minute, said) for number, (day, minute, said) in enumerate(cases)]
    account, marks = fold_events(events)
    mixed = list(events)
    if random is not None:
        random.shuffle(mixed)
    assert fold_events(mixed) == (account, marks)
    for name in ("status", "name", "premium"):
        saying = [told for told in events if name in told.said]
        newest = max(saying, key=lambda told: told.key, default=None)
        assert account.state.values.get(name) == (newest.said[name] if newest else None)
    for told in events:
        overtaken = any(other.key > told.key and other.receipt < told.receipt for other in events)
        assert marks[told.event_id].stale == overtaken
        assert bool(marks[told.event_id].changes) != bool(marks[told.event_id].duplicate_of)


def test_an_event_costs_the_same_however_much_its_record_says() -> None:
    class Counted(dict[str, str]):
        looks = 0

        def values(self) -> Any:
            Counted.looks += 1
            return super().values()

    account = Account(State(keys=Counted()))
    fold_events([_told(number, number, number, {f"name{number}": 1, "status": 1}) for number in range(20)], account)
    assert account.state.values == {"status": 1} | {f"name{number}": 1 for number in range(20)}
    assert Counted.looks == 0, "nothing of it is looked through for one event"


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001
def test_order_keys_compare_as_their_times_do(one: datetime, other: datetime) -> None:
    one, other = one.replace(tzinfo=UTC, microsecond=0), other.replace(tzinfo=UTC, microsecond=0)
    low, high = sorted((one, other))
    assert order_key(low, UUID(int=1), 0) <= order_key(high, UUID(int=1), 0)
    assert len(order_key(low, UUID(int=1), 0)) == len(order_key(high, UUID(int=1), 0))
