"""Sorting by a field: stable pages, what is not known last, only by fields with an index; and asking inside items."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from app.accounts.model import Scope
from app.query.routes import RESOURCES
from tests.query.conftest import START, Caller, Rows, World


def _walk(caller: Caller, key: str, path: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = caller.get(key, path, params=parameters)
        assert page.status_code == 200, page.text
        found += page.json()["data"]
        if page.json()["next_cursor"] is None:
            return found
        parameters["cursor"] = page.json()["next_cursor"]


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_rows_come_in_the_order_of_a_field(rows: Rows, open_caller: Callable[[], Caller], order: str) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    premiums = (7, None, 5, 7, None, 9, 7, 5, None, -2)
    for number, premium in enumerate(premiums):
        rows.inquiry(source, number, number, premium_yearly_cents=premium, status=4)
    caller = open_caller()
    expected = [one["id"] for one in _walk(caller, key, "/v1/inquiries", order=order, limit=500)]
    premium_of = {one["id"]: one["premium_yearly_cents"] for one in caller.found(key, "/v1/inquiries")}
    known = [one for one in expected if premium_of[one] is not None]
    known.sort(key=lambda one: premium_of[one], reverse=order == "desc")  # stable: those of one value stay by id
    expected = known + [one for one in expected if premium_of[one] is None]
    for limit in (1, 2, 3, 7, 8, 10, 50):
        found = _walk(caller, key, "/v1/inquiries", sort="premium_yearly_cents", order=order, limit=limit, status=4)
        assert [one["id"] for one in found] == expected, limit


@pytest.mark.parametrize("sort", ["last_received_at", "changed_at", "updated_on"])
def test_rows_come_in_the_order_of_times(rows: Rows, open_caller: Callable[[], Caller], sort: str) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number, at in enumerate((3, 1, 4, 1, 5)):
        rows.inquiry(
            source, number, number, **{sort: date(2026, 1, at) if sort == "updated_on" else START.replace(day=at)}
        )
    found = _walk(open_caller(), key, "/v1/inquiries", sort=sort, limit=2, order="asc")
    assert [one["inquiry_id"] for one in found] == [1, 3, 0, 2, 4]


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_rows_of_one_millisecond_are_all_walked_by(rows: Rows, open_caller: Callable[[], Caller], order: str) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number, micros in enumerate((500_001, 500_999, 500_000, 500_500)):
        rows.inquiry(source, number, number, changed_at=START.replace(microsecond=micros))
    found = _walk(open_caller(), key, "/v1/inquiries", sort="changed_at", limit=1, order=order)
    assert [one["inquiry_id"] for one in found] == ([1, 3, 0, 2] if order == "desc" else [2, 0, 3, 1])
    assert len({one["changed_at"] for one in found}) == 1


def test_every_field_to_sort_by_is_a_field_with_an_index(rows: Rows, asking: Caller, world: World) -> None:
    leading = "SELECT tablename, substring(indexdef FROM '\\((\\w+), id\\)') FROM pg_indexes"
    indexed = {(row[0], row[1]) for row in rows.connection.execute(text(leading))}
    for resource in RESOURCES:
        for sort in resource.sorts:
            assert (resource.table.name, sort) in indexed
            assert sort in resource.fields
            found = {row["id"] for row in asking.found(world.keys["full"], f"{resource.path}?limit=500&sort={sort}")}
            assert {str(world.ids[where][resource.kind]) for where in ("inside", "outside")} <= found
            (inside,) = asking.found(world.keys["by-source"], f"{resource.path}?sort={sort}")
            assert inside["id"] == str(world.ids["inside"][resource.kind])


def test_what_sorting_refuses(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number in range(3):
        rows.inquiry(source, number, number)
    caller = open_caller()
    wrong = ("inquiries?sort=inquiry_id", "inquiries?sort=changed_at&sort=changed_at", "events?sort=seq", "leads?sort=")
    for path in wrong:
        response = caller.get(key, f"/v1/{path}")
        assert (response.status_code, response.json()["errors"][0]["name"]) == (422, "sort"), path
    cursor = caller.get(key, "/v1/inquiries?sort=changed_at&limit=1").json()["next_cursor"]
    for other in ("", "sort=last_received_at&", "sort=changed_at&order=asc&"):
        response = caller.get(key, f"/v1/inquiries?{other}cursor={cursor}")
        assert response.json()["code"] == "cursor-invalid", other


def test_items_can_be_asked_for_what_they_hold(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    items: list[dict[str, Any]] = [
        {"data": {"productId": 81, "tags": [1, 2]}},
        {"data": {"productId": "81"}},
        {"data": {}},
    ]
    ids = [str(rows.event(source, rows.delivery(source, n), n, data=item)) for n, item in enumerate(items)]
    caller = open_caller()

    def found(*asked: str) -> list[str]:
        page = caller.get(key, "/v1/events", params={"data[contains]": list(asked), "order": "asc"})
        assert page.status_code == 200, page.text
        return [one["id"] for one in page.json()["data"]]

    assert found('{"data":{"productId":81}}') == ids[:1]
    assert found('{"data":{"tags":[2]}}') == ids[:1]
    assert found('{"data":{"productId":81}}', '{"data":{"productId":"81"}}') == ids[:2]
    assert found('{"data":{}}') == ids
    assert found('{"data":{"productId":{"x":1}}}') == []
    body = {"data[contains]": {"data": {"productId": 81}}, "received_at[gte]": "2020-01-01"}
    posted = caller.client.post("/v1/events/query", json=body, headers={"Authorization": f"Bearer {key}"})
    assert [one["id"] for one in posted.json()["data"]] == ids[:1]


def test_what_asking_inside_items_refuses(asking: Caller, world: World) -> None:
    def answered(key: str, **parameters: str) -> tuple[int, str]:
        response = asking.get(world.keys[key], "/v1/events", params=parameters)
        return response.status_code, response.json()["errors"][0]["code"]

    asked = '{"data":{"lastName":"Brandt-Muster"}}'
    assert answered("plain", **{"data[contains]": asked}) == (403, "field-hidden")
    for value, code in (("81", "not-json"), ("{", "not-json"), ('{"a":"\\u0000"}', "unusable-text")):
        assert answered("full", **{"data[contains]": value}) == (422, code)
    for name in ("data", "data[eq]", "data[prefix]", "type[contains]"):
        assert answered("full", **{name: asked}) == (422, "unknown-operator"), name
