"""Filters: what they find, and what is said where they cannot be used."""

import hashlib
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import literal, select

from app.accounts.model import Scope
from app.processing.folding import fold
from app.query.beginnings import folded_here
from app.times import now
from tests.query.conftest import START, Caller, Rows, World

Ask = Callable[[str], list[Any]]


@pytest.fixture(scope="module")
def found_numbers(asking: Caller, stock: str) -> Ask:
    """Ask for inquiries of the stock and return their numbers, newest first."""

    def ask(question: str) -> list[Any]:
        path = f"/v1/inquiries?source=stock&{question}"
        return [row["inquiry_id"] for row in asking.found(stock, path)]

    return ask


@pytest.fixture(scope="module")
def stock(world: World) -> str:
    """Five inquiries in a source of their own, among the world's; return a key that sees everything."""
    rows = world.rows
    source = rows.source("stock")
    names = ["Müller", "Mueller", "Muller", "Bijlsma", "Bylsma"]
    for number, name in enumerate(names):
        customer = rows.customer(source, number, last_name=name, email=f"{number}@beispiel.example")
        rows.inquiry(
            source,
            10 + number,
            number,
            status=[2, 3, 4, 6, None][number],
            product_name=["Haft, Pflicht", "Haft", None, "HAFT", "100%_\\"][number],
            premium_yearly_cents=[100, 200, 300, None, 500][number],
            tax_percent=["19", "19.00", "7", None, "16.15"][number],
            updated_on=date(2026, 3, 9) + timedelta(days=number),
            digital_order_success=[True, False, None, None, True][number],
            customer_record_id=customer,
            broker_external_id=f"B-{number}",
        )
    return rows.key(Scope.READ, Scope.READ_PERSONAL)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("", [14, 13, 12, 11, 10]),
        ("order=asc", [10, 11, 12, 13, 14]),
        ("status=4", [12]),
        ("status=4,6", [13, 12]),
        ("status[in]=4,6", [13, 12]),
        ("status=4&status=6", [13, 12]),
        ("status[nin]=4,6", [14, 11, 10]),
        ("status[ne]=4", [14, 13, 11, 10]),
        ("status[gt]=3", [13, 12]),
        ("status[gte]=3&status[lt]=6", [12, 11]),
        ("status[lte]=2&status[lte]=3", [11, 10]),
        ("status[null]=true", [14]),
        ("status[null]=false", [13, 12, 11, 10]),
        ("status_name=calculated,ordered", [13, 12]),
        ("status_name=status_4", [12]),
        ("status_name[ne]=calculated", [14, 13, 11, 10]),
        ("product_name=Haft", [11]),
        ("product_name=Haft, Pflicht", [10]),
        ("product_name[in]=Haft,HAFT", [13, 11]),
        ("product_name[prefix]=haft", [13, 11, 10]),
        ("product_name[prefix]=100%25", [14]),
        ("product_name[prefix]=100%25_\\", [14]),
        ("product_name[prefix]=1%25", []),
        ("premium_yearly_cents[gt]=100&premium_yearly_cents[lt]=500", [12, 11]),
        ("premium_yearly_cents=9223372036854775807", []),
        ("status=9223372036854775807", []),
        ("status[lt]=9223372036854775807", [13, 12, 11, 10]),
        ("tax_percent=19", [11, 10]),
        ("tax_percent[lt]=19.0", [14, 12]),
        ("updated_on=2026-03-10", [11]),
        ("updated_on[gte]=2026-03-12", [14, 13]),
        ("updated_on[lt]=%2B1d", [14, 13, 12, 11, 10]),
        ("digital_order_success=true", [14, 10]),
        ("digital_order_success[ne]=true", [13, 12, 11]),
        ("customer.last_name=Müller", [10]),
        ("customer.last_name[prefix]=mülle", [12, 11, 10]),
        ("customer.last_name[prefix]=MUE", [12, 11, 10]),
        ("customer.last_name[prefix]=Bi", [13]),
        ("customer.last_name[prefix]=Bij", [14, 13]),
        ("customer.last_name[prefix]=By", [14, 13]),
        ("customer.email=2@beispiel.example", [12]),
        ("first_received_at[gte]=2026-03-09T10:03:00Z", [14, 13]),
        ("first_received_at[gt]=2026-03-09T10:03:00Z", [14]),
        ("first_received_at[lte]=2026-03-09T11:01:00%2B01:00", [11, 10]),
        ("first_received_at[lte]=2026-03-09T11:01:00+01:00", [11, 10]),
        ("first_received_at=2026-03-09T10:02:00.000Z", [12]),
        ("first_received_at=2026-03-09", [14, 13, 12, 11, 10]),
        ("first_received_at[gt]=2026-03-09", []),
        ("first_received_at[lte]=2026-03-09", [14, 13, 12, 11, 10]),
        ("first_received_at[lt]=2026-03-09", []),
        ("first_received_at[lt]=-15m", [14, 13, 12, 11, 10]),
        ("provider=thinksurance&status=4", [12]),
        ("limit=2", [14, 13]),
    ],
)
def test_what_filters_find(found_numbers: Ask, question: str, expected: list[int]) -> None:
    assert found_numbers(question) == expected


def test_a_date_begins_at_midnight_of_the_services_zone(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    for number, minutes in enumerate((-661, -660, 779, 780)):  # Berlin is an hour ahead of UTC in March
        rows.inquiry(source, number, minutes)
    key = rows.key(Scope.READ)
    found = open_caller().found(key, "/v1/inquiries?first_received_at=2026-03-09")
    assert [row["inquiry_id"] for row in found] == [2, 1]


@pytest.mark.parametrize(
    ("question", "name", "code"),
    [
        ("statsu=4", "statsu", "unknown-field"),
        ("data=4", "data", "unknown-field"),
        (f"xcbt_{'A' * 43}=4", f"xcbt_{'*' * 43}", "unknown-field"),
        ("status[like]=4", "status[like]", "unknown-operator"),
        ("status[eq]=4", "status[eq]", "unknown-operator"),
        ("status[prefix]=4", "status[prefix]", "unknown-operator"),
        ("status[]=4", "status[]", "unknown-operator"),
        ("status[gt", "status[gt", "unknown-field"),
        ("status=four", "status", "not-an-integer"),
        ("status=", "status", "not-an-integer"),
        ("status=4,", "status", "not-an-integer"),
        ("status=٤", "status", "not-an-integer"),
        ("status=9223372036854775808", "status", "out-of-range"),
        ("status=99999999999999999999999", "status", "not-an-integer"),
        ("status[null]=maybe", "status[null]", "not-a-boolean"),
        ("tax_percent=1e5", "tax_percent", "not-a-number"),
        ("tax_percent=NaN", "tax_percent", "not-a-number"),
        ("id=4711", "id", "not-an-id"),
        ("updated_on=2026-02-30", "updated_on", "not-a-date"),
        ("updated_on=09.03.2026", "updated_on", "not-a-date"),
        ("updated_on[gte]=-999999w", "updated_on[gte]", "out-of-range"),
        ("first_received_at[gte]=2026-03-09T10:00:00", "first_received_at[gte]", "no-zone"),
        ("first_received_at[gte]=yesterday", "first_received_at[gte]", "not-a-time"),
        ("first_received_at[gte]=2026-03-09T25:00:00Z", "first_received_at[gte]", "not-a-time"),
        ("first_received_at[gte]=0001-01-01T00:00:00%2B14:00", "first_received_at[gte]", "not-a-time"),
        ("first_received_at[gte]=9999-12-31", "first_received_at[gte]", "not-a-time"),
        ("first_received_at[gte]=-999999w", "first_received_at[gte]", "not-a-time"),
        ("first_received_at[gte]=0500-01-01", "first_received_at[gte]", "out-of-range"),
        ("source=nowhere", "source", "unknown-value"),
        ("provider=nobody", "provider", "unknown-value"),
        ("status_name=finished", "status_name", "unknown-value"),
        ("customer.salutation=ms", "customer.salutation", "unknown-field"),
        ("product_name=a%00b", "product_name", "unusable-text"),
        ("a%00b=1", "a?b", "unusable-text"),
        ("limit=0", "limit", "out-of-range"),
        ("limit=501", "limit", "out-of-range"),
        ("limit=ten", "limit", "out-of-range"),
        ("limit=1&limit=2", "limit", "repeated"),
        ("order=up", "order", "unknown-value"),
    ],
)
def test_what_cannot_be_used_is_named(asking: Caller, world: World, question: str, name: str, code: str) -> None:
    response = asking.get(world.keys["full"], f"/v1/inquiries?{question}")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == "invalid-request"
    (error,) = body["errors"]
    assert {key: error[key] for key in ("in", "name", "code")} == {"in": "query", "name": name, "code": code}
    assert error["detail"]


def test_all_slips_are_named_at_once_and_what_exists_is_listed(asking: Caller, world: World) -> None:
    response = asking.get(world.keys["full"], "/v1/inquiries?statsu=4&status[like]=1&limit=0&source=x")
    errors = {error["name"]: error["detail"] for error in response.json()["errors"]}
    assert set(errors) == {"statsu", "status[like]", "limit", "source"}
    assert "did you mean status?" in errors["statsu"]
    assert "premium_yearly_cents" in errors["statsu"]
    assert "[gte]" in errors["status[like]"]
    assert "ts-one" in errors["source"]


def _posted(asking: Caller, key: str, name: str, asked: dict[str, Any]) -> Any:
    return asking.client.post(f"/v1/{name}/query", headers={"Authorization": f"Bearer {key}"}, json=asked)


def test_of_many_slips_the_first_twenty_are_named(asking: Caller, world: World) -> None:
    response = _posted(asking, world.keys["full"], "inquiries", {f"k{n}": 1 for n in range(3000)})
    assert response.status_code == 422
    assert [error["name"] for error in response.json()["errors"]] == [f"k{n}" for n in range(20)]


def test_hidden_fields_are_named_within_bounds(asking: Caller, world: World) -> None:
    asked = {f"last_name[{'x' * 200}{n}]": 1 for n in range(100)}
    response = _posted(asking, world.keys["plain"], "customers", asked)
    assert (response.status_code, len(response.json()["errors"])) == (403, 20)
    assert len(response.content) < 10_000


@pytest.mark.parametrize("name", ["updated_on[ne]", "updated_on[gt]", "changed_at", "ref"])
def test_a_parameter_makes_a_hundred_conditions_at_most(asking: Caller, world: World, name: str) -> None:
    value = "a:b:c" if name == "ref" else "2026-03-09"
    for number, status in ((100, 200), (101, 422)):
        response = _posted(asking, world.keys["full"], "inquiries", {name: [value] * number})
        assert response.status_code == status, response.text
    assert response.json()["errors"][0]["code"] == "too-many-values"
    values = list(range(5000))
    assert _posted(asking, world.keys["full"], "inquiries", {"status": values}).status_code == 200


def test_values_are_not_repeated_in_problems(asking: Caller, world: World) -> None:
    response = asking.get(world.keys["full"], "/v1/customers?birth_date=Nele-Brandt&limit=Muster")
    assert response.status_code == 422
    assert "Nele" not in response.text
    assert "Muster" not in response.text


def test_a_source_outside_the_wall_is_unknown_like_any_other(asking: Caller, world: World) -> None:
    response = asking.get(world.keys["by-source"], "/v1/inquiries?source=ts-two")
    assert response.status_code == 422
    assert "ts-two" not in response.text
    assert "ts-one" in response.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers?last_name=X",
        "/v1/customers?last_name[null]=true",
        "/v1/customers?birth_date[gte]=-7d",
        "/v1/customers?last_name[nonsense]=X",
        "/v1/inquiries?customer.email=X",
        "/v1/documents?name[prefix]=X",
        "/v1/leads?backref=X",
    ],
)
def test_filtering_by_a_hidden_field_is_refused(asking: Caller, world: World, path: str) -> None:
    response = asking.get(world.keys["plain"], path)
    assert response.status_code == 403
    assert response.json()["code"] == "field-hidden"
    assert response.json()["errors"][0]["code"] == "field-hidden"


def test_customers_outside_the_wall_are_not_found_through_their_inquiries(
    rows: Rows, open_caller: Callable[[], Caller]
) -> None:
    source = rows.source("s")
    shared = rows.customer(source, last_name="Muster", brokers=["B-1", "B-2"])
    rows.inquiry(source, 1, broker_external_id="B-1", customer_record_id=shared)
    key = rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=["B-1"])
    caller = open_caller()
    (inquiry,) = caller.found(key, "/v1/inquiries")
    assert inquiry["customer"] is None
    assert inquiry["links"]["customer"] is None
    assert caller.found(key, "/v1/inquiries?customer.last_name=Muster") == []
    assert caller.found(key, "/v1/inquiries?customer.last_name[null]=true") == [inquiry]
    assert caller.get(key, f"/v1/customers/{shared}").status_code == 404


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("customer.company[null]=true", {2, 3}),
        ("customer.company[null]=false", {1}),
        ("customer.company[ne]=Muster GmbH", {2, 3}),
        ("customer.company[ne]=Beispiel AG", {1, 2, 3}),
        ("customer.company[nin]=Muster GmbH,Beispiel AG", {2, 3}),
        ("customer.company=Muster GmbH", {1}),
    ],
)
def test_of_a_customer_that_there_is_not_nothing_is_known(
    rows: Rows, open_caller: Callable[[], Caller], question: str, expected: set[int]
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    rows.inquiry(source, 1, customer_record_id=rows.customer(source, 1, company="Muster GmbH"))
    rows.inquiry(source, 2, customer_record_id=rows.customer(source, 2))
    rows.inquiry(source, 3)
    found = open_caller().found(key, f"/v1/inquiries?{question}")
    assert {row["inquiry_id"] for row in found} == expected


def test_deliveries_by_status_verdict_and_receipt(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    waiting = rows.delivery(source, 0, status=None, verdict="unsigned", token_id=rows.token(source))
    partial = rows.delivery(source, 1, status="partial", verdict="verified", brokers=["B-1"])
    bad = rows.delivery(source, 2, status="quarantined", reason="not-json", via=1, brokers=["B-1", "B-2"])
    key, walled = rows.key(Scope.READ), rows.key(Scope.READ, brokers=["B-1"])
    caller = open_caller()

    def ids(question: str) -> list[str]:
        return [row["id"] for row in caller.found(key, f"/v1/deliveries?{question}")]

    everything = [str(bad), str(partial), str(waiting)]
    assert ids("") == everything
    assert ids("status=pending") == [str(waiting)]
    assert ids("status=pending,partial") == [str(partial), str(waiting)]
    assert ids("status[ne]=pending") == [str(bad), str(partial)]
    assert ids("status[ne]=quarantined") == [str(partial), str(waiting)]
    assert ids("status[nin]=quarantined,partial") == [str(waiting)]
    assert ids("verdict=unsigned") == [str(waiting)]
    assert ids("reason=not-json") == [str(bad)]
    assert ids("via=pull") == [str(bad)]
    assert ids("via[ne]=pull") == [str(partial), str(waiting)]
    assert ids("method=POST") == everything
    assert ids("token=default") == ids("token[in]=default,other") == [str(waiting)]
    assert ids("token[ne]=default") == ids("token[null]=true") == [str(bad), str(partial)]
    assert ids("remote_addr=203.0.113.17") == everything
    assert ids("remote_addr=203.0.113.1") == []
    assert ids(f"body_sha256={hashlib.sha256(b'{}').hexdigest().upper()}") == everything
    assert caller.get(key, "/v1/deliveries?body_sha256=abc").json()["errors"][0]["code"] == "not-a-digest"
    assert ids("processed_at[null]=true") == [str(waiting)]
    assert ids("received_at[gte]=2026-03-09T10:01:00Z") == [str(bad), str(partial)]
    assert ids("received_at[lt]=2026-03-09T10:01:00Z") == [str(waiting)]
    assert ids("received_at[gte]=-24h") == []
    assert ids("received_at=2026-03-09") == everything
    assert [row["id"] for row in caller.found(walled, "/v1/deliveries")] == [str(partial)]
    response = caller.get(key, "/v1/deliveries?status=done")
    assert response.json()["errors"][0]["detail"].endswith("pending, accepted, partial, quarantined")


def test_events_by_type_subject_and_record(asking: Caller, world: World) -> None:
    ids, key = world.ids["inside"], world.keys["full"]

    def events(question: str) -> list[str]:
        return [row["id"] for row in asking.found(key, f"/v1/events?{question}")]

    event = [str(ids["event"])]
    assert events("subject=inquiry/1") == event
    assert events("subject[prefix]=inquiry/&source=ts-one") == event
    assert events("type[prefix]=wegroup.&source=wg-one") == [str(ids["lead-event"])]
    assert events("type[prefix]=WéGroup.Lead&source=wg-one") == [str(ids["lead-event"])]
    assert events("subject[prefix]=INQUIRY/1&source=ts-one") == event
    assert events("type[prefix]=w_group") == []
    assert events(f"record.id={ids['inquiry']}") == event
    assert events(f"customer.id={ids['customer']}") == event
    assert events(f"delivery_id={ids['delivery']}&record.kind=inquiry&stale=false") == event
    assert events("occurred_on=2026-03-09&source=ts-one") == event
    for link in asking.get(key, f"/v1/events/{event[0]}").json()["links"].values():
        if link is not None:
            assert asking.get(key, link).status_code == 200, link


def test_relative_times_count_from_now(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    ago = (now() - START) / timedelta(minutes=1)
    rows.inquiry(source, 1, ago - 50)
    rows.inquiry(source, 2, ago - 70)
    found = open_caller().found(rows.key(Scope.READ), "/v1/inquiries?last_received_at[gte]=-1h")
    assert [row["inquiry_id"] for row in found] == [1]


@pytest.mark.parametrize(
    "question",
    [
        "status=quarantined",
        "status=partial,quarantined",
        "status=accepted,quarantined",
        "status[ne]=accepted",
        "reason=not-json",
        "reason[null]=false",
        "reason=not-json&source=s",
        "status=quarantined&via=push",
    ],
)
def test_quarantine_within_a_wall_by_broker(rows: Rows, open_caller: Callable[[], Caller], question: str) -> None:
    source = rows.source("s")
    named = [[], ["B-9"], ["B-9", "B-1"], ["B-1", "B-9"], ["B-1"], ["B-2", "B-1"]]
    own = [
        str(rows.delivery(source, minutes, status="quarantined", reason="not-json", brokers=brokers))
        for minutes, brokers in enumerate(named)
    ][4:]
    key, caller = rows.key(Scope.READ, brokers=["B-1", "B-2"]), open_caller()
    path = f"/v1/deliveries?{question}"
    assert [row["id"] for row in caller.found(key, path)] == own[::-1]
    assert [row["id"] for row in caller.found(key, f"{path}&order=asc")] == own
    assert caller.get(key, f"{path}&count=exact").json()["count"] == len(own)
    assert caller.found(rows.key(Scope.READ, brokers=["B-7"]), path) == []


def test_the_database_folds_as_the_processor_does(rows: Rows) -> None:
    texts = ["Müller", "STRASSE ẞß", "Bĳlsma IJssel", "Œuvre Ægir", "Jørgensen łđðþħ", "Noël Goethe"]
    folded = rows.connection.execute(select(*(folded_here(literal(one)) for one in texts))).one()
    assert [*folded] == [fold(one) for one in texts]
