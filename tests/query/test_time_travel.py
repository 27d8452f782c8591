"""Records as they were: by the real processor's folding, at every moment of a story, within walls and scopes."""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.accounts.model import Scope
from app.crypto import Vault
from app.ids import derived_id, first_id_at
from app.storage.database import connect
from app.storage.models import aliases, audit
from app.times import to_text
from tests.processing.conftest import Desk
from tests.query.conftest import START, Caller, Rows, World
from tests.query.test_processed import processed

__all__ = ["processed"]


def test_now_is_as_it_is(processed: str, open_caller: Callable[[], Caller]) -> None:
    """The same events, folded by the processor into the tables and by us at the question, come to the same."""
    caller = open_caller()
    for name in ("inquiries", "leads"):
        listed = caller.found(processed, f"/v1/{name}?limit=500")
        assert listed
        for row in listed:
            then = caller.get(processed, f"/v1/{name}/{row['id']}?as_of=%2B1h")
            assert then.status_code == 200, then.text
            assert then.json() == row


def _said(
    rows: Rows, ids: Any, minutes: int, said: dict[str, Any], of_customer: dict[str, Any] | None = None, **more: Any
) -> None:
    source, inquiry, customer = ids
    fields: dict[str, Any] = {"inquiry_id": 1, **said}
    parts: list[dict[str, Any]] = [{"kind": "inquiry", "keys": ["1"], "fields": fields}]
    if of_customer is not None:
        fields["customer_key"] = "c:1"
        parts.append({"kind": "customer", "keys": ["c:1"], "fields": of_customer})
    delivery = rows.delivery(source, minutes)
    rows.event(
        source,
        delivery,
        minutes,
        record_kind="inquiry",
        record_id=inquiry,
        customer_id=customer if of_customer is not None else None,
        broker="B-1",
        parts=parts,
        **more,
    )


@pytest.fixture
def story(rows: Rows) -> dict[str, Any]:
    """An inquiry of which news came at 1, 3, older news at 5, and a document at 7."""
    source = rows.source("s")
    customer = rows.customer(source, 1, identity="c:1", customer_id=1, last_name="Muster-Neu", brokers=["B-1"])
    known = {"hash": "h", "name": "Neu.pdf", "full_name": None, "purpose": "proposal"}
    inquiry = rows.inquiry(
        source, 1, 1, status=6, broker_external_id="B-1", customer_record_id=customer, documents={"h": known}
    )
    rows.document(source, 1, 7, hash="h", name="Neu.pdf", broker_external_id="B-1", state="archived")
    first = {"status": 3, "product_name": "Haftpflicht", "created_on": "2026-03-01", "tax_percent": "19"}
    ids = (source, inquiry, customer)
    _said(rows, ids, 1, first)
    _said(rows, ids, 3, {"status": 6}, {"last_name": "Muster"})
    _said(rows, ids, 5, {"status": 4, "insurer_name": "Beispiel AG"}, order_key="0")
    _said(rows, ids, 7, {"documents": {"h": {**known, "name": "Alt.pdf"}}}, {"last_name": "Muster-Neu"})
    return {"inquiry": inquiry, "customer": customer}


def test_the_customer_is_who_it_was_then(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    """An inquiry was passed from one customer to another, who was known already; the first turned out to have an id."""
    source, inquiry = rows.source("s"), rows.id_at(1)
    late = rows.customer(source, 0, identity="c:2", last_name="Spät")
    early = rows.customer(source, 1, identity="c:1", last_name="Früh")
    rows.customer(source, 1, identity="x:early", last_name="Früh", merged_into=early)
    rows.inquiry(source, 1, 1, id=inquiry, customer_record_id=late)
    alias = {"kind": "customer", "key": "x:early", "target": "c:1", "order_key": ""}
    rows.insert(aliases, source_id=source, **alias)
    stories = ((0, 9, late, "c:2", "Spät"), (1, 1, early, "x:early", "Früh"), (3, 1, late, "c:2", "Spät"))
    for minutes, number, customer, key, name in stories:
        fields = {"inquiry_id": number, "customer_key": key}
        parts = [
            {"kind": "inquiry", "keys": [str(number)], "fields": fields},
            {"kind": "customer", "keys": [key], "fields": {"last_name": name}},
        ]
        record = inquiry if number == 1 else None
        delivery = rows.delivery(source, minutes)
        told = {"record_kind": "inquiry", "record_id": record, "customer_id": customer}
        rows.event(source, delivery, minutes, parts=parts, **told)
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    for minutes, customer, name in ((2, early, "Früh"), (4, late, "Spät")):
        shown = caller.get(key, f"/v1/inquiries/{inquiry}?as_of={_at(minutes)}").json()
        assert (shown["customer"]["id"], shown["customer"]["last_name"]) == (str(customer), name)
        assert shown["links"]["customer"] == f"/v1/customers/{customer}"


def _moment(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def _at(minutes: float) -> str:
    return to_text(_moment(minutes))


def test_a_story_at_each_of_its_moments(rows: Rows, open_caller: Callable[[], Caller], story: dict[str, Any]) -> None:
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)

    def then(minutes: float) -> Any:
        return caller.get(key, f"/v1/inquiries/{story['inquiry']}?as_of={_at(minutes)}").json()

    assert caller.get(key, f"/v1/inquiries/{story['inquiry']}?as_of={_at(0.9)}").status_code == 404
    one = then(1)
    assert (one["status"], one["product_name"], one["created_on"], one["tax_percent"]) == (
        3,
        "Haftpflicht",
        "2026-03-01",
        "19",
    )
    assert (one["insurer_name"], one["customer"], one["documents"], one["event_count"]) == (None, None, [], 1)
    assert one["last_received_at"] == _at(1)
    three = then(4)
    assert (three["status"], three["customer"]["last_name"], three["changed_at"]) == (6, "Muster", _at(3))
    assert three["customer"]["inquiry_count"] == 1
    five = then(6)  # older news says what was not known, and nothing against what was
    assert (five["status"], five["insurer_name"], five["event_count"]) == (6, "Beispiel AG", 3)
    seven = then(8)
    assert seven["customer"]["last_name"] == "Muster-Neu"
    assert [(one["name"], one["state"]) for one in seven["documents"]] == [("Alt.pdf", "announced")]
    day = caller.get(key, f"/v1/inquiries/{story['inquiry']}?as_of=2026-03-09").json()
    assert day == seven
    assert list(one) == list(caller.get(key, f"/v1/inquiries/{story['inquiry']}").json())


def test_walls_and_scopes_hold(rows: Rows, open_caller: Callable[[], Caller], story: dict[str, Any]) -> None:
    caller = open_caller()
    path = f"/v1/inquiries/{story['inquiry']}?as_of={_at(4)}"
    assert caller.get(rows.key(Scope.READ, brokers=["B-2"]), path).status_code == 404
    assert caller.get(rows.key(Scope.READ, source_ids=[]), path).status_code == 404
    assert caller.get(rows.key(Scope.READ, brokers=["B-1"]), path).status_code == 200
    hidden = caller.get(rows.key(Scope.READ), path).json()
    assert hidden["customer"]["last_name"] is None
    assert "last_name" in hidden["customer"]["redacted"]


def test_it_is_noted(rows: Rows, open_caller: Callable[[], Caller], story: dict[str, Any]) -> None:
    key = rows.key(Scope.READ, Scope.READ_PERSONAL)
    open_caller().get(key, f"/v1/inquiries/{story['inquiry']}?as_of={_at(4)}")
    (detail,) = rows.connection.execute(select(audit.c.detail)).scalars().all()
    assert detail["ids"] == [str(story["inquiry"])]
    assert detail["as_of"].startswith("2026-03-09T10:04:00")


@pytest.mark.parametrize(
    "query", ["as_of=yesterday", "as_of=", "as_of=2026-03-09T10:00:00", "as_of=-1d&as_of=-2d", "as_of=-1d&x=1"]
)
def test_what_it_does_not_take(asking: Caller, world: World, query: str) -> None:
    ids = world.ids["inside"]
    response = asking.get(world.keys["full"], f"/v1/inquiries/{ids['inquiry']}?{query}")
    assert response.status_code == 422
    assert asking.get(world.keys["full"], f"/v1/customers/{ids['customer']}?as_of=-1d").status_code == 422
    for unknown in ("x=1", "as_of=-1d&x=1"):
        response = asking.get(world.keys["full"], f"/v1/inquiries/{ids['inquiry']}?{unknown}")
        assert [one["detail"] for one in response.json()["errors"]] == ["is not known here; there are: as_of"]


def test_what_belongs_to_it_is_as_it_was(
    rows: Rows, open_caller: Callable[[], Caller], database_url: str, vault: Vault
) -> None:
    """A document was announced anew with a later end, and a second inquiry turned out to be its customer's."""
    key = rows.key(Scope.READ, Scope.READ_PERSONAL)
    with closing(connect(database_url)) as connection:
        desk = Desk(connection, vault)

        def lay(minutes: int, inquiry_id: int, day: int, **more: Any) -> None:
            data = {"bToken": "b", "bExternalId": "42", "iId": inquiry_id, "iUpdated": f"2026-03-0{day}", "status": 4}
            desk.lay({"sHash": "0" * 32, "data": data, **more}, None, derived_id(first_id_at(_moment(minutes)), "x"))
            desk.process()

        def docs(expired: str, name: str | None) -> dict[str, Any]:
            return {"docToken": {"token": "t", "expired": expired}, "files": [{"hash": "h", "name": name}]}

        person, other = {"cId": 1, "cLastName": "Muster"}, {"cId": 2, "cLastName": "Beispiel"}
        lay(1, 1, 1, customer=person, docs=docs("2026-04-01 12:00:00", "A.pdf"))
        lay(2, 2, 1)
        lay(3, 2, 2, customer=other)
        lay(5, 1, 2, docs=docs("2026-05-01 12:00:00", None))
        lay(6, 2, 3, customer=person)
        desk.database.execute("UPDATE documents SET state = 'failed', attempted_at = %s", (_moment(7),))
    caller = open_caller()
    (inquiry,) = caller.found(key, "/v1/inquiries?inquiry_id=1")

    def then(minutes: float) -> Any:
        shown = caller.get(key, f"/v1/inquiries/{inquiry['id']}?as_of={_at(minutes)}").json()
        (document,) = shown["documents"]
        return document["token_expires_at"], document["name"], document["state"], shown["customer"]["inquiry_count"]

    early, late = "2026-04-01T10:00:00.000Z", "2026-05-01T10:00:00.000Z"
    assert then(4) == (early, "A.pdf", "announced", 1)
    assert then(5.5) == (late, "A.pdf", "announced", 1)
    assert then(6.5) == (late, "A.pdf", "announced", 2)
    assert then(8) == (late, "A.pdf", "failed", 2)
    (second,) = caller.found(key, "/v1/inquiries?inquiry_id=2")
    shown = caller.get(key, f"/v1/inquiries/{second['id']}?as_of={_at(4)}").json()
    assert (shown["customer"]["last_name"], shown["customer"]["inquiry_count"]) == ("Beispiel", 1)
    assert caller.get(key, f"/v1/inquiries/{inquiry['id']}?as_of=%2B1h").json() == inquiry
