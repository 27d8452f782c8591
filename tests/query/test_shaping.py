"""How an answer looks, and the filters that look into lists: fields, counts, bodies, tags, references, changes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.accounts.model import Scope
from app.providers.wegroup.identity import Reference, as_map
from app.query import shaping
from tests.query.conftest import Caller, Rows, World

NESTED: Any = json.loads('{"a":' * 400 + "1" + "}" * 400)
"""More objects within one another than items are kept with."""


def test_only_the_fields_asked_for(asking: Caller, world: World) -> None:
    key = world.keys["full"]
    found = asking.found(key, "/v1/customers?fields=last_name,redacted&fields=email")
    assert {tuple(sorted(row)) for row in found} == {("email", "id", "last_name", "redacted")}
    hidden = asking.found(world.keys["plain"], "/v1/customers?fields=last_name")
    assert {row["last_name"] for row in hidden} == {None}
    assert all("last_name" in row["redacted"] for row in hidden)
    plain = asking.found(world.keys["plain"], "/v1/customers?fields=source")
    assert {tuple(row) for row in plain} == {("id", "source")}
    first = asking.get(key, "/v1/events?fields=seq&limit=1&order=asc")
    assert set(first.json()["data"][0]) == {"id", "seq"}
    following = asking.get(key, first.headers["link"].partition(">")[0][1:])
    assert set(following.json()["data"][0]) == {"id", "seq"}
    refused = asking.get(key, "/v1/customers?fields=shoe_size")
    assert (refused.status_code, refused.json()["errors"][0]["name"]) == (422, "fields")


def test_rows_are_counted_over_all_pages(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number in range(7):
        rows.inquiry(source, number, status=4 + number % 2, broker_external_id=f"B-{number % 2}")
        rows.delivery(source, number)
    caller = open_caller()
    page = caller.get(key, "/v1/inquiries?limit=2&count=exact").json()
    assert (page["count"], len(page["data"])) == (7, 2)
    second = caller.get(key, "/v1/inquiries", params={"limit": "2", "count": "exact", "cursor": page["next_cursor"]})
    assert second.json()["count"] == 7
    assert caller.get(key, "/v1/inquiries?status=4&count=exact").json()["count"] == 4
    walled = rows.key(Scope.READ, brokers=["B-1"])
    assert caller.get(walled, "/v1/inquiries?count=exact").json()["count"] == 3
    rows.delivery(source, status=None)
    for query, count in (("&status=accepted&order=asc", 7), ("&order=asc", 7), ("", 8)):
        assert caller.get(key, f"/v1/deliveries?count=exact{query}").json()["count"] == count
    assert "count" not in caller.get(key, "/v1/inquiries").json()
    for question in ("deliveries?", "inquiries?status[gte]=4&broker_external_id[ne]=x&", "gaps?"):
        exact, estimate = (
            caller.get(key, f"/v1/{question}count={how}").json()["count"] for how in ("exact", "estimate")
        )
        assert estimate == exact, "what is few is counted"
    monkeypatch.setattr(shaping, "LITTLE", 0)
    rows.connection.exec_driver_sql("ANALYZE inquiries")
    rows.connection.commit()
    # No row has both; the database does not know that they hang together.
    estimate = caller.get(key, "/v1/inquiries?count=estimate&status=4&broker_external_id=B-1").json()["count"]
    assert 1 <= estimate <= 7
    for wrong in ("count=roughly", "count=exact&count=exact"):
        assert caller.get(key, f"/v1/inquiries?{wrong}").status_code == 422


def test_an_estimate_tells_a_key_with_walls_nothing_of_the_rows_of_others(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shaping, "LITTLE", 0)  # few rows would be counted for every key
    mine, other = rows.source("mine"), rows.source("other")
    for number in range(40):
        is_mine = number % 4 == 0
        theirs: dict[str, Any] = {} if is_mine else {"product_name": "Geheimschutz"}
        rows.inquiry(mine if is_mine else other, number, broker_external_id="B-1" if is_mine else "B-2", **theirs)
    rows.connection.exec_driver_sql("ANALYZE inquiries")
    rows.connection.commit()
    caller = open_caller()
    for key in (rows.key(Scope.READ, brokers=["B-1"]), rows.key(Scope.READ, source_ids=[mine])):
        for query, found in (("", 10), ("&product_name=Geheimschutz", 0), ("&premium_yearly_cents[gt]=1", 0)):
            assert caller.get(key, f"/v1/inquiries?count=estimate{query}").json()["count"] == found, query
        (broker,) = caller.get(key, "/v1/brokers?count=estimate").json()["data"]
        assert broker["broker_external_id"] == "B-1"
        assert caller.get(key, "/v1/brokers?count=estimate").json()["count"] == 1


def test_a_list_may_be_asked_for_in_the_body(asking: Caller, world: World) -> None:
    headers = {"Authorization": f"Bearer {world.keys['full']}"}

    def post(name: str, body: Any) -> Any:
        return asking.client.post(f"/v1/{name}/query", json=body, headers=headers)

    body = {"last_name": "Brandt-Muster", "limit": 1, "source": ["ts-one", "ts-two"], "count": "exact"}
    page = post("customers", body)
    query = "last_name=Brandt-Muster&limit=1&source=ts-one&source=ts-two&count=exact"
    assert page.json()["data"] == asking.found(world.keys["full"], f"/v1/customers?{query}")
    assert (page.json()["count"], "link" in page.headers) == (2, False)
    rest = post("customers", body | {"cursor": page.json()["next_cursor"]})
    assert rest.json()["data"][0]["id"] != page.json()["data"][0]["id"]
    for name in ("events", "deliveries", "inquiries", "documents", "leads", "sources"):
        assert post(name, {}).status_code == 200, name
    wrong = post("customers", {"shoe_size": 1})
    error = wrong.json()["errors"][0]
    assert (wrong.status_code, error["in"], error["name"], error["pointer"]) == (422, "body", "shoe_size", "/shoe_size")
    (error,) = post("customers", {"cursor": "nonsense"}).json()["errors"]
    assert (error["in"], error["pointer"], error["code"]) == ("body", "/cursor", "cursor-invalid")
    assert post("events", {"limit": 0}).json()["errors"][0]["in"] == "body"
    in_url = asking.get(world.keys["full"], "/v1/customers?shoe_size=1").json()["errors"][0]
    assert (in_url["in"], "pointer" in in_url) == ("query", False)
    plain = {"Authorization": f"Bearer {world.keys['plain']}"}
    hidden = asking.client.post("/v1/customers/query", json={"last_name": "x"}, headers=plain)
    assert (hidden.status_code, hidden.json()["code"]) == (403, "field-hidden")
    assert hidden.json()["errors"][0]["in"] == "body"
    assert asking.client.post("/v1/customers/query", json={}).status_code == 401


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"source": []}, "/source", "empty"),
        ({"shoe/~size": []}, "/shoe~1~0size", "empty"),
        ({"source": None}, "/source", "unusable-value"),
        ({"data[contains]": {"deep": NESTED}}, "/data[contains]", "too-deep"),
    ],
)
def test_what_a_body_cannot_ask_by(asking: Caller, world: World, body: Any, pointer: str, code: str) -> None:
    headers = {"Authorization": f"Bearer {world.keys['full']}"}
    refused = asking.client.post("/v1/events/query", json=body, headers=headers)
    assert refused.status_code == 422, refused.text
    (error,) = refused.json()["errors"]
    assert (error["in"], error["pointer"], error["code"]) == ("body", pointer, code)


def test_what_is_nested_too_deep_is_refused_in_a_url_too(asking: Caller, world: World) -> None:
    params = {"data[contains]": json.dumps(NESTED)}
    refused = asking.get(world.keys["full"], "/v1/events", params=params)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "too-deep")


@pytest.mark.parametrize(
    "path", ["inquiries/{inquiry}", "leads/{lead}", "events/{event}", "deliveries/{delivery}", "sources/ts-one"]
)
def test_who_has_it_already_is_not_sent_it_again(asking: Caller, world: World, path: str) -> None:
    path = "/v1/" + path.format(**{kind: str(one) for kind, one in world.ids["inside"].items()})
    tags = {}
    for name in ("full", "plain"):
        response = asking.get(world.keys[name], path)
        tags[name] = response.headers["etag"]
        headers = {"Authorization": f"Bearer {world.keys[name]}"}
        for known in (tags[name], f'"x", W/{tags[name]}', "*"):
            again = asking.client.get(path, headers=headers | {"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tags[name])
        assert asking.client.get(path, headers=headers | {"If-None-Match": '"x"'}).status_code == 200
    assert tags["full"] != tags["plain"]


def test_external_references_are_found(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, wegroup, key = rows.source("s"), rows.source("w", "wegroup"), rows.key(Scope.READ)

    def held(*entries: tuple[str, str, str]) -> dict[str, Any]:
        return {f"{o}\x1f{k}": {"origin": o, "key": k, "value": v} for o, k, v in entries}

    one = str(rows.inquiry(source, 1, external_references=held(("crm", "No", "A:1-Ä"), ("erp", "No", "7"))))
    two = str(rows.inquiry(source, 2, external_references=held(("crm", "No", "a:1-ä"))))
    three = str(rows.inquiry(source, 3, 1, external_references=held(("urn:crm", "No:1", "A:7"), ("", "No", "8"))))
    customer = str(rows.customer(source, 0, external_references=held(("crm", "No", "---"))))
    of_lead = as_map([Reference("demo", "crm-0"), Reference("demo", "crm-1"), Reference("other", "crm-2")])
    lead = str(rows.lead(wegroup, 0, external_references=of_lead))
    caller = open_caller()

    def found(name: str, **params: Any) -> list[str]:
        return [row["id"] for row in caller.found(key, f"/v1/{name}", params=params)]

    assert found("inquiries", ref="crm:No:A:1-Ä") == [one]
    assert found("inquiries", ref=["crm:No:A:1-Ä", "crm:No:a:1-ä"]) == [two, one]
    assert found("inquiries", ref="erp:No:7") == [one]
    assert found("inquiries", ref="erp:No:A:1-Ä") == []
    assert found("inquiries", ref="urn:crm:No:1:A:7") == [three]
    assert found("inquiries", ref="urn:crm:No:7") == []
    assert found("inquiries", ref=":No:8") == [three]
    assert found("inquiries", ref="crm:No:1:A:7") == []
    assert found("inquiries", **{"ref[ne]": "erp:No:7"}) == [three, two]
    assert found("customers", ref="crm:No:---") == [customer]
    assert found("leads", ref="demo:external_ref:crm-1") == [lead]
    assert found("leads", ref="other:external_ref:crm-2") == [lead]
    assert found("leads", ref="demo:external_ref:crm-2") == []
    assert found("leads", ref="demo:other:crm-1") == []
    for wrong in ("", "crm", "crm:No", "crm:No:"):
        assert caller.get(key, "/v1/inquiries", params={"ref": wrong}).status_code == 422


def test_events_are_found_by_what_they_changed(asking: Caller, world: World) -> None:
    key, plain = world.keys["full"], world.keys["plain"]
    ids = world.ids["inside"]

    def found(key: str, query: str) -> set[str]:
        return {row["id"] for row in asking.found(key, f"/v1/events?source=ts-one&source=wg-one&{query}")}

    event, of_lead = str(ids["event"]), str(ids["lead-event"])
    assert found(key, "changed=status") == {event}
    assert found(key, "changed=origin&changed=status") == {event, of_lead}
    assert found(key, "changed_to=status:4") == {event}
    assert found(plain, "changed_to=status:4") == {event}
    assert found(key, "changed_to=status:3") == set()
    assert found(key, "changed_to=origin:distribution") == {of_lead}
    assert found(plain, "changed=customer.last_name") == {event}
    assert found(key, "changed_to=customer.last_name:Brandt-Muster") == {event}
    for field in ("customer.last_name", "last_name", "address.city", "documents"):
        hidden = asking.get(plain, f"/v1/events?changed_to={field}:x")
        assert (hidden.status_code, hidden.json()["code"]) == (403, "field-hidden"), field
    for wrong in ("changed=", "changed_to=status", "changed_to=:4"):
        assert asking.get(key, f"/v1/events?{wrong}").status_code == 422
