"""That every path answers exactly what its schema says, and shows nothing beyond walls and scopes."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from app.query.personal import PARTLY, PERSONAL
from app.query.routes import RESOURCES
from app.query.schemas.parts import History, Shown
from app.query.schemas.receipts import Source
from tests.query.conftest import Caller, World

OF_ID = {
    "/v1/deliveries/{id}": ["delivery"],
    "/v1/deliveries/{id}/body": ["delivery"],
    "/v1/events/{id}": ["event", "lead-event"],
    "/v1/inquiries/{id}": ["inquiry"],
    "/v1/inquiries/{id}/history": ["inquiry"],
    "/v1/customers/{id}": ["customer"],
    "/v1/customers/{id}/history": ["customer"],
    "/v1/documents/{id}": ["document"],
    "/v1/drift/{id}": ["shape"],
    "/v1/gaps/{id}": ["gap"],
    "/v1/leads/{id}": ["lead"],
    "/v1/leads/{id}/history": ["lead"],
}
"""Which rows of the world each path is tried with; a new path must be added here."""

ENDLESS = "/v1/events/stream"
"""Is tried in test_stream."""

QUESTIONS = {
    "/v1/search": "?q=A-1",
    "/v1/stats/deliveries": "?group_by=source",
    "/v1/stats/inquiries": "?group_by=source,broker",
    "/v1/stats/leads": "?group_by=source",
    "/v1/stats/funnel": "?from=4&to=6&group_by=source",
}
"""What must be asked at all, for a path to answer."""

LISTS = {resource.path for resource in RESOURCES}
"""What is asked for the other way round, too: that may be a feed."""

PERSONAL_TEXTS = (
    "Brandt",
    "Nele",
    "Muster",
    "1984-05-17",
    "@",
    "5550100",
    "555 01 00",
    "Lindenstra",
    "Werkweg",
    "Antrag",
    "Lotte",
    "Voorbeeld",
    "1991-08-23",
    "Veldstraat",
    "crm-4711",
    "ZZZSYNTHET",
    "PK-100",
    "P-889900",
    "crm-1",
    "bmVsZTpnZWhlaW0",
)


def _get_paths(asking: Caller) -> list[str]:
    document = asking.client.get("/openapi.json").json()
    return [path for path, methods in document["paths"].items() if "get" in methods and path != ENDLESS]


def _paths_of(asking: Caller, world: World, where: str) -> Iterator[tuple[str, str]]:
    """Every path of the OpenAPI document, also filled in with the ids of one half of the world."""
    for path in _get_paths(asking):
        if "{id}" in path:
            for kind in OF_ID[path]:
                yield path, path.replace("{id}", str(world.ids[where][kind]))
        elif "{name}" in path:
            yield path, path.replace("{name}", "ts-one" if where == "inside" else "ts-two")
        else:
            yield path, path + QUESTIONS.get(path, "")
            if path in LISTS:
                yield path, f"{path}?order=asc"


@pytest.mark.parametrize("key", ["full", "plain", "admin"])
@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_answers_have_the_shape_of_their_schemas(asking: Caller, world: World, resource: Any, key: str) -> None:
    page = asking.get(world.keys[key], resource.path).json()
    assert page["data"]
    resource.page.model_validate(page)
    if resource.name == "sources":
        Source.model_validate(asking.get(world.keys[key], "/v1/sources/ts-one").json())
        return
    schema: type[BaseModel] = resource.detail_schema or resource.schema
    for row in page["data"]:
        detail = asking.get(world.keys[key], f"{resource.path}/{row['id']}").json()
        schema.model_validate(detail)
        assert list(detail) == list(schema.model_fields)


@pytest.mark.parametrize("name", ["deliveries", "events"])
def test_feeds_have_the_shape_of_their_schemas(asking: Caller, world: World, name: str) -> None:
    (resource,) = (one for one in RESOURCES if one.name == name)
    assert resource.feed is not None
    resource.feed.model_validate(asking.get(world.keys["full"], f"/v1/{name}?order=asc").json())


@pytest.mark.parametrize("name", ["inquiry", "customer", "lead"])
@pytest.mark.parametrize("key", ["full", "plain"])
def test_histories_have_the_shape_of_their_schema(asking: Caller, world: World, name: str, key: str) -> None:
    (resource,) = (one for one in RESOURCES if one.kind == name)
    path = f"{resource.path}/{world.ids['inside'][name]}/history"
    history = History.model_validate(asking.get(world.keys[key], path).json())
    assert history.data


@pytest.mark.parametrize("key", ["by-source", "by-broker"])
def test_no_path_shows_rows_outside_a_wall(asking: Caller, world: World, key: str) -> None:
    outside = {str(one) for one in world.ids["outside"].values()}
    for template, path in _paths_of(asking, world, "outside"):
        response = asking.get(world.keys[key], path)
        if path.startswith("/v1/sources") and key == "by-broker":
            continue  # sources name no broker
        if "{" in template:
            assert response.status_code == 404, path
        else:
            assert response.status_code == 200, path
            assert not [one for one in outside if one in response.text], path
            assert "ts-two" not in response.text, path


def test_walled_keys_see_what_lies_inside(asking: Caller, world: World) -> None:
    lead_event = f"/v1/events/{world.ids['inside']['lead-event']}"
    for key, unnamed in (("by-source", 200), ("by-broker", 404)):  # WeGroup names no broker, nor do forms of items
        for _, path in _paths_of(asking, world, "inside"):
            is_nobodys = path.startswith(("/v1/leads/", "/v1/drift/", lead_event))
            expected = unnamed if is_nobodys else 200
            assert asking.get(world.keys[key], path).status_code == expected, (key, path)
    found = asking.found(world.keys["by-broker"], "/v1/leads")
    assert found == []


def test_no_path_shows_personal_fields_without_the_scope(asking: Caller, world: World) -> None:
    for _, path in _paths_of(asking, world, "inside"):
        response = asking.get(world.keys["plain"], path)
        if path.endswith("/body"):
            assert response.status_code == 403
            assert response.json()["code"] == "field-hidden"
        else:
            assert response.status_code == 200
        found = [text for text in PERSONAL_TEXTS if text in response.text]
        assert not found, path


def test_with_the_scope_they_are_shown(asking: Caller, world: World) -> None:
    """Guards the test above: the texts it looks for are there."""
    everything = "".join(asking.get(world.keys["full"], path).text for _, path in _paths_of(asking, world, "inside"))
    masked = {"bmVsZTpnZWhlaW0"}
    assert [text for text in PERSONAL_TEXTS if text not in everything and text not in masked] == []
    assert "bmVsZTpnZWhlaW0" not in everything


def test_hidden_fields_are_null_and_named(asking: Caller, world: World) -> None:
    ids = world.ids["inside"]
    for resource in RESOURCES:
        names = sorted(PERSONAL[resource.kind])
        if not names:
            continue
        path = f"{resource.path}/{ids[resource.kind]}"
        hidden = asking.get(world.keys["plain"], path).json()
        assert [name for name in hidden["redacted"] if name != "changes"] == names
        for name in names:
            first, _, rest = name.partition(".")
            values = [inner[rest] for inner in hidden[first]] if rest else [hidden[first]]
            assert values
            assert set(values) == {None}, name
        assert asking.get(world.keys["full"], path).json()["redacted"] == []


def test_a_customer_within_an_inquiry_is_hidden_like_any_other(asking: Caller, world: World) -> None:
    path = f"/v1/inquiries/{world.ids['inside']['inquiry']}"
    hidden = asking.get(world.keys["plain"], path).json()
    assert hidden["customer"]["last_name"] is None
    assert hidden["customer"]["customer_id"] == 301
    assert "last_name" in hidden["customer"]["redacted"]
    assert hidden["documents"][0]["name"] is None
    assert hidden["documents"][0]["redacted"] == ["full_name", "name"]
    assert hidden["redacted"] == []


def test_old_and_new_of_personal_fields_are_hidden_in_events_and_histories(asking: Caller, world: World) -> None:
    ids = world.ids["inside"]
    event = asking.get(world.keys["plain"], f"/v1/events/{ids['event']}").json()
    history = asking.get(world.keys["plain"], f"/v1/inquiries/{ids['inquiry']}/history").json()["data"][0]
    for shown in (event, history):
        assert {change["field"]: change["new"] for change in shown["changes"]} == {
            "status": 4,
            "customer.last_name": None,
            "customer.address.city": None,
            "documents": None,
        }
    assert event["redacted"] == ["changes", "data"]
    assert history["redacted"] == ["changes"]


def test_personal_fields_are_marked_in_the_document_by_the_one_table(asking: Caller) -> None:
    schemas = asking.client.get("/openapi.json").json()["components"]["schemas"]
    marked, tables = set(), (PERSONAL, PARTLY)
    for model in Shown.__subclasses__() + [deep for one in Shown.__subclasses__() for deep in one.__subclasses__()]:
        described = schemas.get(model.__name__, {}).get("properties", {})
        for name, about in described.items():
            if about.get("x-personal"):
                marked.add(f"{model.personal_as}.{name}")
    own = {resource.kind for resource in RESOURCES} | PARTLY.keys()
    assert marked == {f"{kind}.{name}" for table in tables for kind in own for name in table.get(kind, ())}


def test_a_count_is_told_of_only_where_there_may_be_one(asking: Caller) -> None:
    schemas = asking.client.get("/openapi.json").json()["components"]["schemas"]
    uncounted = {"History", "FoundPage", "NoticePage", "QueuedPage"}
    assert {name for name in uncounted if "count" in schemas[name]["properties"]} == set()
    assert {"next_cursor", "count"} < schemas["EventPage"]["properties"].keys()


def _holds_schemas(about: dict[str, Any]) -> bool:
    """Tell whether the field is of schemas with examples of their own."""
    return all("$ref" in one for one in about.get("anyOf", [about.get("items", {})]))


def test_every_field_of_every_schema_has_an_example(asking: Caller) -> None:
    schemas = asking.client.get("/openapi.json").json()["components"]["schemas"]
    missing = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, about in schema.get("properties", {}).items()
        if not {"examples", "$ref"} & about.keys() and not _holds_schemas(about)
    ]
    assert [one for one in missing if not one.startswith("Problem.")] == []


def test_the_document_names_each_allowed_filter_and_each_problem(asking: Caller, world: World) -> None:
    document = asking.client.get("/openapi.json").json()
    for resource in RESOURCES:
        described = document["paths"][resource.path]["get"]
        names = {parameter["name"] for parameter in described["parameters"]}
        assert {"limit", "cursor", "order"} < names
        given = {
            parameter["name"]: str(value).lower() if isinstance(value, bool) else str(value)
            for parameter in described["parameters"]
            if parameter["name"] not in ("cursor", "limit", "order") and (value := parameter.get("example")) is not None
        }
        for start in range(0, len(given), 8):
            some = dict(list(given.items())[start : start + 8])
            response = asking.get(world.keys["full"], resource.path, params=some)
            assert response.status_code == 200, (some, response.text)
        for status in ("401", "403", "422", "503"):
            assert "application/problem+json" in described["responses"][status]["content"]
        assert described["security"] == [{"apiKey": []}]
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
