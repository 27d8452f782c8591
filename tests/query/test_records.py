"""How records are put together: neighbours, addresses, merged records, histories, the audit's entries."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from app.accounts.model import Scope
from app.query.customers import effective_address
from app.query.inquiries import status_name
from app.storage.models import audit, customers, inbox, leads
from tests.query.conftest import START, Caller, Rows, World

HOME = {"street": "Lindenstraße"}
WORK = {"street": "Werkweg"}


@pytest.mark.parametrize(
    ("same", "private", "company", "expected"),
    [
        (True, HOME, WORK, HOME),
        (True, None, WORK, None),
        (False, HOME, WORK, WORK),
        (False, HOME, None, None),
        (None, HOME, WORK, HOME),
        (None, None, WORK, WORK),
        (None, None, None, None),
    ],
)
def test_the_address_to_write_to(same: bool | None, private: Any, company: Any, expected: Any) -> None:
    assert effective_address(same, private, company) == expected


@pytest.mark.parametrize(("status", "name"), [(2, "tendering_lead"), (15, "proposal_created"), (7, "status_7")])
def test_names_of_statuses(status: int, name: str) -> None:
    assert status_name(status) == name
    assert status_name(None) is None


def test_addresses_have_all_keys_or_are_null(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    rows.customer(source, 0, address={"city": "Köln"}, company_address={"street": None})
    (customer,) = open_caller().found(rows.key(Scope.READ, Scope.READ_PERSONAL), "/v1/customers")
    expected = dict.fromkeys(("street", "house_number", "postal_code", "city", "country", "text")) | {"city": "Köln"}
    assert customer["address"] == expected
    assert list(customer["address"]) == list(expected)
    assert customer["company_address"] is None
    assert customer["effective_address"] == expected


def test_a_record_looks_the_same_in_its_list_and_alone(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, wegroup = rows.source("s"), rows.source("w", "wegroup")
    at = START.replace(microsecond=999_999)
    told = {"first_received_at": START.replace(microsecond=1), "last_received_at": at, "changed_at": at}
    customer = rows.customer(source, 0, customer_id=1, birth_date=date(1985, 4, 12), **told)
    days = {"created_on": date(2026, 1, 2), "updated_on": date(1999, 12, 31), "tax_percent": Decimal("19.50")}
    rows.inquiry(source, 1, 1, customer_record_id=customer, confirmed_at=at, **days, **told)
    rows.inquiry(source, 2, 2, tax_percent=Decimal("1E+3"))
    rows.document(source, 1, 3, hash="g", archived_at=at, state="archived", **told)
    rows.lead(wegroup, 4, lead_id="l", birth_date=date(1991, 8, 23), **told)
    delivery = rows.delivery(source)
    rows.event(source, delivery, occurred_at=at, revised_at=at, occurred_on=date(2026, 3, 1), data={"a": 1})
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    for name in ("inquiries", "customers", "documents", "leads", "events"):
        found = caller.found(key, f"/v1/{name}")
        assert found, name
        for one in found:
            assert caller.get(key, f"/v1/{name}/{one['id']}").json() == one
        assert caller.found(key, f"/v1/{name}?source[in]=s,w") == found
        assert caller.found(key, f"/v1/{name}?order=asc") == found[::-1]


def test_an_inquirys_documents_and_counts_are_its_own(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    one, two = rows.source("one"), rows.source("two")
    customer = rows.customer(one, 0, customer_id=1, brokers=["B-1"])
    for source, record in ((one, customer), (two, None)):
        for number in (1, 2):
            broker = f"B-{number}"
            rows.inquiry(source, number, number, customer_record_id=record, broker_external_id=broker)
    document = rows.document(one, 1, 5, hash="g", name="Antrag.pdf", broker_external_id="B-1")
    foreign = rows.document(one, 1, 6, hash="h", name="Police.pdf", broker_external_id="B-2")
    key, walled = rows.key(Scope.READ), rows.key(Scope.READ, brokers=["B-1"])
    caller = open_caller()

    def documents(key: str) -> dict[tuple[str, int], list[str]]:
        found = caller.found(key, "/v1/inquiries")
        return {(row["source"], row["inquiry_id"]): [one["id"] for one in row["documents"]] for row in found}

    assert documents(key) == {
        ("one", 1): [str(document), str(foreign)],
        ("one", 2): [],
        ("two", 1): [],
        ("two", 2): [],
    }
    assert documents(walled) == {("one", 1): [str(document)], ("two", 1): []}
    assert caller.found(key, "/v1/customers")[0]["inquiry_count"] == 2
    assert caller.found(walled, "/v1/customers")[0]["inquiry_count"] == 1


def test_an_inquirys_documents_do_not_tell_in_which_order_they_came(
    rows: Rows, open_caller: Callable[[], Caller]
) -> None:
    source = rows.source("s")
    rows.inquiry(source, 1, 9)
    for minutes, name in enumerate(("c", "B", "a")):
        rows.document(source, 1, minutes, hash=name)
    caller, key = open_caller(), rows.key(Scope.READ)
    (inquiry,) = caller.found(key, "/v1/inquiries")
    assert [one["hash"] for one in inquiry["documents"]] == ["B", "a", "c"]


def test_a_customer_exists_only_for_who_knows_all_its_brokers(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    for brokers in ([], ["B-1"], ["B-1", "B-2"], ["B-3"]):
        rows.customer(source, 0, external_id=",".join(brokers), brokers=brokers)
    key = rows.key(Scope.READ, brokers=["B-1", "B-2"])
    none = rows.key(Scope.READ, brokers=[])
    caller = open_caller()
    assert {row["external_id"] for row in caller.found(key, "/v1/customers")} == {"B-1", "B-1,B-2"}
    assert caller.found(none, "/v1/customers") == []


@pytest.mark.parametrize(("table", "path"), [(customers, "/v1/customers"), (leads, "/v1/leads")])
def test_a_merged_record_is_answered_by_the_one_it_turned_out_to_be(
    rows: Rows, open_caller: Callable[[], Caller], table: Any, path: str
) -> None:
    source = rows.source("s")
    more: dict[str, Any] = {"brokers": []} if table is customers else {}
    last = rows.record(table, source, 0, **more)
    middle = rows.record(table, source, 1, merged_into=last, **more)
    first = rows.record(table, source, 2, merged_into=middle, **more)
    lost = rows.record(table, source, 3, merged_into=rows.id_at(9), **more)
    inquiry = rows.inquiry(source, 1, customer_record_id=first)
    caller, key = open_caller(), rows.key(Scope.READ)
    assert [row["id"] for row in caller.found(key, path)] == [str(last)]
    for asked in (first, middle, last):
        assert caller.get(key, f"{path}/{asked}").json()["id"] == str(last)
        assert caller.get(key, f"{path}/{asked}/history").status_code == 200
    assert caller.get(key, f"{path}/{lost}").status_code == 404
    if table is customers:
        assert caller.get(key, f"/v1/inquiries/{inquiry}").json()["customer"]["id"] == str(last)


def test_ids_of_merged_records_that_somebody_kept_still_find(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    kept: dict[Any, list[str]] = {}
    for table in (customers, leads):
        more: dict[str, Any] = {"brokers": []} if table is customers else {}
        last = rows.record(table, source, 0, **more)
        middle = rows.record(table, source, 1, merged_into=last, **more)
        kept[table] = [str(one) for one in (last, middle, rows.record(table, source, 2, merged_into=middle, **more))]
    known: dict[str, Any] = {name: kept[table][0] for name, table in (("customer_id", customers), ("record_id", leads))}
    inquiry = str(rows.inquiry(source, 1, customer_record_id=known["customer_id"]))
    event = str(rows.event(source, rows.delivery(source), record_kind="lead", **known))
    other = str(rows.inquiry(source, 2))
    caller = open_caller()
    for path, table, found in (
        ("/v1/customers?id=", customers, kept[customers][0]),
        ("/v1/leads?id=", leads, kept[leads][0]),
        ("/v1/inquiries?customer.id=", customers, inquiry),
        ("/v1/events?customer.id=", customers, event),
        ("/v1/events?record.id=", leads, event),
    ):
        for asked in (*kept[table], ",".join(kept[table])):
            assert [row["id"] for row in caller.found(key, f"{path}{asked}")] == [found], path
        assert caller.found(key, f"{path}{rows.id_at(9)}") == []
    for asked in kept[customers]:
        assert [row["id"] for row in caller.found(key, f"/v1/inquiries?customer.id[nin]={asked}")] == [other]


def test_history_is_newest_first_by_order_key_and_in_pages(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    inquiry = rows.inquiry(source, 1)
    made = []
    for number in range(5):
        delivery = rows.delivery(source, number, via=number % 2)
        changes = [] if number == 3 else [{"field": "status", "old": number, "new": number + 1}]
        # The later they came, the older the news.
        made.append(
            rows.event(source, delivery, number, record_id=inquiry, record_kind="inquiry", changes=changes)
            if number
            else rows.event(
                source, delivery, 0, record_id=inquiry, record_kind="inquiry", changes=changes, order_key="f" * 20
            )
        )
    caller, key = open_caller(), rows.key(Scope.READ)
    path = f"/v1/inquiries/{inquiry}/history"
    entries = caller.found(key, path)
    assert [entry["event_id"] for entry in entries] == [str(made[number]) for number in (0, 4, 2, 1)]
    assert [entry["via"] for entry in entries] == ["push", "push", "push", "pull"]
    assert entries[1]["at"] == "2026-03-09T10:04:00.000Z"
    one = caller.get(key, f"{path}?limit=3")
    two = caller.get(key, one.headers["link"].partition(">")[0][1:])
    assert one.json()["data"] + two.json()["data"] == entries
    assert two.json()["next_cursor"] is None
    assert caller.found(key, f"{path}?order=asc") == entries[::-1]
    (unknown,) = caller.get(key, f"{path}?status=1").json()["errors"]
    assert (unknown["name"], unknown["detail"]) == ("status", "is not known here; there are: limit, cursor, order")


def test_a_customers_history_is_folded_in_the_order_of_receipt(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    customer = rows.customer(source, 0)
    said: list[dict[str, Any]] = [
        {"last_name": "Muster", "broker_external_id": "B-1", "address": {"city": "Köln", "street": None}},
        {"last_name": "Muster"},
        {
            "last_name": "Brandt-Muster",
            "address": {"city": "Bonn"},
            "external_references": {"crm\x1fno": {"origin": "crm", "key": "no", "value": "A-1"}},
        },
    ]
    made = []
    for number, fields in enumerate(said):
        delivery = rows.delivery(source, number)
        parts = [{"kind": "inquiry", "keys": ["1"], "fields": {"status": 4}}]
        parts.append({"kind": "customer", "keys": ["c:1"], "fields": fields})
        # The effective time says nothing about customers.
        key = f"{9 - number}"
        made.append(rows.event(source, delivery, number, customer_id=customer, parts=parts, order_key=key))
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    path = f"/v1/customers/{customer}/history"
    entries = caller.found(key, path)
    assert [entry["event_id"] for entry in entries] == [str(made[2]), str(made[0])]
    assert {change["field"]: (change["old"], change["new"]) for change in entries[0]["changes"]} == {
        "last_name": ("Muster", "Brandt-Muster"),
        "address.city": ("Köln", "Bonn"),
        "external_references": (None, {"origin": "crm", "key": "no", "value": "A-1"}),
    }
    assert {change["field"] for change in entries[1]["changes"]} == {"last_name", "address.city"}
    first = caller.get(key, f"{path}?limit=1")
    second = caller.get(key, first.headers["link"].partition(">")[0][1:])
    assert first.json()["data"] + second.json()["data"] == entries
    hidden = caller.found(rows.key(Scope.READ), path)[0]
    assert {change["field"]: change["new"] for change in hidden["changes"]} == {
        "last_name": None,
        "address.city": None,
        "external_references": {"origin": "crm", "key": "no", "value": "A-1"},
    }


def test_reading_personal_data_is_noted_before_it_is_answered(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    customer = rows.customer(source, 0, last_name="Muster")
    caller = open_caller()
    key, plain = rows.key(Scope.READ, Scope.READ_PERSONAL), rows.key(Scope.READ)
    caller.get(plain, "/v1/customers")
    caller.get(key, "/v1/deliveries")
    caller.get(key, "/v1/customers?last_name=Muster")
    caller.get(key, f"/v1/customers/{customer}")
    entries = rows.connection.execute(select(audit.c.actor, audit.c.action, audit.c.detail).order_by(audit.c.id)).all()
    assert [(entry.action, entry.detail) for entry in entries] == [
        ("personal.read", {"resource": "customers", "count": 1, "ids": [str(customer)]}),
        ("personal.read", {"resource": "customers", "count": 1, "ids": [str(customer)]}),
    ]
    assert all(entry.actor.startswith("key:") for entry in entries)
    assert "Muster" not in str(entries)


def test_a_delivery_is_replayed(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, other = rows.source("s"), rows.source("other")
    delivery, foreign = rows.delivery(source), rows.delivery(other)
    waiting = rows.delivery(source, 1, status=None)
    key = rows.key(Scope.READ, Scope.WRITE, source_ids=[source])
    caller = open_caller()
    for asked in (delivery, delivery, waiting):
        response = caller.post(key, f"/v1/deliveries/{asked}/replay")
        assert response.status_code == 202
        assert response.json() == {
            "id": str(asked),
            "status": "pending",
            "links": {"self": f"/v1/deliveries/{asked}"},
        }
    assert caller.post(key, f"/v1/deliveries/{foreign}/replay").status_code == 404
    assert set(rows.connection.execute(select(inbox.c.delivery_id)).scalars()) == {delivery, waiting}
    noted = rows.connection.execute(select(audit.c.detail).where(audit.c.action == "delivery.replay")).scalars().all()
    assert noted == [{"id": str(one)} for one in (delivery, delivery, waiting)]


def test_links_lead_to_answers(asking: Caller, world: World) -> None:
    for kind, path in (
        ("delivery", "deliveries"),
        ("inquiry", "inquiries"),
        ("customer", "customers"),
        ("document", "documents"),
        ("lead", "leads"),
    ):
        links = asking.get(world.keys["full"], f"/v1/{path}/{world.ids['inside'][kind]}").json()["links"]
        for name, link in links.items():
            if name == "content" and link is None:  # there is no file
                continue
            response = asking.get(world.keys["full"], link)
            assert response.status_code == (405 if name == "replay" else 200), link
            if "?" in link:
                assert response.json()["data"], link


def test_times_and_numbers_are_written_as_promised(asking: Caller, world: World) -> None:
    inquiry = asking.get(world.keys["full"], f"/v1/inquiries/{world.ids['inside']['inquiry']}").json()
    assert inquiry["first_received_at"] == f"{START + timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}.000Z"
    assert inquiry["updated_on"] == "2026-03-09"
    assert inquiry["tax_percent"] == "19"
    assert inquiry["premium_yearly_cents"] == 125_050


@pytest.mark.parametrize("path", ["deliveries/{}", "deliveries/{}/body", "events/{}"])
def test_an_id_beyond_all_times_is_not_there(asking: Caller, world: World, path: str) -> None:
    found = asking.get(world.keys["full"], "/v1/" + path.format("ffffffff-ffff-7fff-bfff-ffffffffffff"))
    assert found.status_code == 404
