"""That every operation of the OpenAPI document keeps to walls and scopes, and is described: the document drives it.

The whole application over real HTTP, with a stock of everything twice. A path that is new in the document fails here
until `ways` says how to try it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
from jsonschema_rs import validator_for
from sqlalchemy import create_engine, text

from app.accounts.model import Scope
from app.administration.entries import ENTRIES
from app.administration.keys import KEYS
from app.api import build_api
from app.config import load_settings
from app.crypto import Vault
from app.query.fields import Op
from app.query.routes import RESOURCES
from app.storage.engine import engine_url
from app.storage.models import api_keys, audit, source_secrets, submissions
from app.submissions.listing import SUBMISSIONS
from tests.query.conftest import START, Rows, World
from tests.query.test_schemas import PERSONAL_TEXTS
from tests.query.ways import WAYS, Way
from tests.whole import served_whole

STREAM = "GET /v1/events/stream"
METHODS = ("get", "put", "post", "delete", "patch")
OUTSIDE_NAMES = ("ts-two", "wg-two", "az-two", "B-2")
PROBLEM = "#/components/schemas/Problem"
BYTES = ({"type": "string"}, {"type": "string", "format": "binary"})
"""What has no example: a file, or the rows of an export."""
_numbers = count(1)


def _document() -> dict[str, Any]:
    found: dict[str, Any] = build_api(load_settings()).openapi()
    return found


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    """Every operation of the document, by method and path."""
    paths = _document()["paths"]
    return {
        f"{method.upper()} {path}": operation
        for path, found in paths.items()
        for method, operation in found.items()
        if method in METHODS
    }


@dataclass
class Whole:
    """The whole application over a stock of everything twice."""

    client: httpx2.Client
    world: World
    vault: Vault
    operations: Mapping[str, Mapping[str, Any]]
    keys: dict[str, str] = field(default_factory=dict)
    ids: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, world = self.world.rows, self.world
        self.ids = {where: dict(found) for where, found in world.ids.items()}
        for where, source_id, broker, number in (("inside", world.one, "B-1", 1), ("outside", world.two, "B-2", 2)):
            self._add(where, source_id, broker, number)
        rows.source("az-one", "allianz")
        rows.source("az-two", "allianz")
        own = [world.one, world.wegroup]
        self.keys = {
            "all": rows.key(*Scope),
            "plain": rows.key(Scope.READ, Scope.WRITE, Scope.ADMIN),
            "by-source": rows.key(*Scope, source_ids=own),
            "by-broker": rows.key(*Scope, brokers=["B-1"]),
        }

    def _add(self, where: str, source_id: UUID, broker: str, number: int) -> None:
        """Write what belongs to other rooms."""
        rows, ids = self.world.rows, self.ids[where]
        ids |= {name: rows.id_at(number) for name in ("submission", "entry", "secret", "key")}
        said = {"cLastName": "Brandt-Muster", "bExternalId": broker}
        rows.insert(
            submissions,
            id=ids["submission"],
            source_id=source_id,
            kind="forward",
            state="accepted",
            request=said,
            answer=said,
            broker=broker,
            request_sha256=b"",
            created_at=START,
            due_at=START + timedelta(days=9999),
        )
        name = "ts-one" if where == "inside" else "ts-two"
        rows.insert(audit, id=ids["entry"], actor="cli", action="source.set", detail={"source": name})
        rows.insert(
            source_secrets,
            id=ids["secret"],
            source_id=source_id,
            label="default",
            value_encrypted=self.vault.encrypt("geheim", "secret"),
        )
        rows.insert(
            api_keys,
            id=ids["key"],
            name=f"for {broker}",
            key_sha256=ids["key"].bytes,
            scopes=["read"],
            source_ids=[source_id],
            brokers=[broker],
        )
        job = "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES"
        args = orjson.dumps({"id": str(ids["document"])}).decode()
        made = text(f"{job} ('jobs', 'document', :args, 'failed') RETURNING id")
        ids["job"] = rows.connection.execute(made, {"args": args}).scalar_one()
        rows.connection.commit()

    def requests(self, label: str, where: str) -> Iterator[tuple[str, str, Any]]:
        """Yield an operation's requests about one half: method, path, body."""
        way = WAYS[label]
        method, path = label.split(" ")
        source = {"thinksurance": "ts", "wegroup": "wg", "allianz": "az"}[way.provider]
        source += "-one" if where == "inside" else "-two"
        body = way.body
        if body is None and "requestBody" in self.operations[label] and label.startswith("POST /v1/"):
            body = self.operations[label]["requestBody"]["content"]["application/json"]["example"]
            body = body | {"source": "SOURCE"}
        sent = orjson.dumps(body).decode().replace("SOURCE", source).replace("NEW", f"new-{next(_numbers)}")
        names = {"name": source, "token": "default", "secret": "default", "provider": "thinksurance"}
        for kind in way.kinds or ("",):
            filled = path.format(**({"id": self.ids[where][kind]} if kind else {}), **names)
            yield method, filled + way.query.replace("SOURCE", source), None if body is None else orjson.loads(sent)

    def ask(self, key: str | None, method: str, path: str, body: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.keys[key]}"} if key else {}
        return self.client.request(method, path, json=body, headers=headers)


@pytest.fixture(scope="module")
def whole(
    shared_database_url: str,
    encryption_key: str,
    vault: Vault,
    tmp_path_factory: pytest.TempPathFactory,
    operations: dict[str, dict[str, Any]],
) -> Iterator[Whole]:
    engine = create_engine(engine_url(shared_database_url))
    with engine.connect() as connection:
        world = World(Rows(connection))
        folder = tmp_path_factory.mktemp("whole")
        with (
            served_whole(shared_database_url, encryption_key, folder) as url,
            httpx2.Client(base_url=url, timeout=30) as client,
        ):
            yield Whole(client, world, vault, operations)
    engine.dispose()


def test_every_operation_has_a_way_to_be_tried(operations: dict[str, dict[str, Any]]) -> None:
    assert sorted(operations) == sorted(WAYS), "say in tests/query/ways.py how to try what is new"


def _answers(whole: Whole, key: str, where: str) -> Iterator[tuple[str, Way, httpx2.Response]]:
    for label, way in WAYS.items():
        if label == STREAM:
            continue
        for request in whole.requests(label, where):
            yield label, way, whole.ask(key, *request)


@pytest.mark.parametrize("key", ["by-source", "by-broker"])
def test_no_operation_shows_rows_outside_a_wall(whole: Whole, key: str) -> None:
    hidden = [str(found) for found in whole.ids["outside"].values() if isinstance(found, UUID)]
    hidden += [*OUTSIDE_NAMES] if key == "by-source" else ["B-2"]
    for label, way, answer in _answers(whole, key, "outside"):
        is_call = label.startswith("POST /v1/submissions") and not label.endswith("/query")
        is_named = "{" in label or "SOURCE" in f"{way.query}{way.body}" or is_call
        if label.split(" ")[1].startswith("/v1/"):
            refused = {way.refused} if is_named or way.for_all or way.refused == 403 else {way.seen}
            if way.of_source and key == "by-broker":
                refused |= {way.seen, 403}  # sources name no broker
            assert answer.status_code in refused, (label, answer.text)
        told = answer.text.replace(answer.request.url.path, "")
        if way.of_source and key == "by-broker":
            continue
        sent = answer.request.content.decode()
        assert not [found for found in hidden if found in told and found not in sent], (label, answer.text)


def test_what_walls_hide_is_there(whole: Whole) -> None:
    """Guards the test above: a key without walls is shown, or may do, all of it."""
    told = ""
    for label, way, answer in _answers(whole, "all", "outside"):
        if label.split(" ")[1].startswith("/v1/"):
            assert answer.status_code == way.seen, (label, answer.text)
        told += answer.text
    assert [found for found in OUTSIDE_NAMES if found not in told] == []


def test_no_operation_shows_personal_values_without_the_scope(whole: Whole) -> None:
    for label, _, answer in _answers(whole, "plain", "inside"):
        assert answer.status_code < 500, (label, answer.text)
        found = [one for one in PERSONAL_TEXTS if one in answer.text]
        assert not found, (label, found)


def test_with_the_scope_personal_values_are_shown(whole: Whole) -> None:
    """Guards the test above."""
    told = "".join(answer.text for _, _, answer in _answers(whole, "all", "inside"))
    assert [one for one in PERSONAL_TEXTS if one not in told and one != "bmVsZTpnZWhlaW0"] == []


@pytest.mark.parametrize("key", ["by-source", "by-broker", "plain"])
def test_the_stream_keeps_to_walls_and_scopes(whole: Whole, key: str) -> None:
    """Read on from the first event to one that was written after all others: what is between would have come before."""
    first = whole.ask(key, "GET", "/v1/events?order=asc&limit=1", None).json()["follow_cursor"]
    world, ids = whole.world, whole.ids["inside"]
    data = {"data": {"lastName": "Brandt-Muster"}}
    delivery = world.rows.delivery(world.one, 10 + next(_numbers), brokers=["B-1"])
    last = world.rows.event(world.one, delivery, 10, broker="B-1", record_kind="inquiry", data=data)
    outside = {str(whole.ids["outside"][kind]) for kind in ("event", "lead-event")}
    headers = {"Authorization": f"Bearer {whole.keys[key]}", "Last-Event-ID": first}
    seen: list[str] = []
    with whole.client.stream("GET", "/v1/events/stream", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen.append(line)
            if str(last) in line:
                break
    told = "\n".join(seen)
    assert str(ids["event"]) not in told  # it came before the first
    if key == "plain":
        assert outside <= set(re.findall(r'"id":"([^"]+)"', told))
        assert [one for one in PERSONAL_TEXTS if one in told] == []
    else:
        assert [one for one in (*outside, "ts-two", "B-2") if one in told] == []


def test_every_operation_is_described(operations: dict[str, dict[str, Any]]) -> None:
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    for label, operation in operations.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", operation["operationId"]), label
        assert operation["summary"], label
        assert operation["summary"].count("(") == operation["summary"].count(")"), label
        assert operation["tags"], label
        answers = {str(status): answer for status, answer in operation["responses"].items()}
        if label.split(" ")[1].startswith("/v1/"):
            assert {"401", "403", "422", "429", "503"} <= answers.keys(), label
            assert operation["security"] == [{"apiKey": []}], label
        for status, answer in answers.items():
            assert answer["description"], (label, status)
            for kind, content in answer.get("content", {}).items():
                if status >= "400":
                    assert (kind, content["schema"]["$ref"]) == ("application/problem+json", PROBLEM), (label, status)
                elif content["schema"] not in BYTES:
                    assert "example" in content, (label, status, kind)


def test_every_example_is_what_its_schema_says(operations: dict[str, dict[str, Any]]) -> None:
    components, tried = {"components": _document()["components"]}, 0
    for label, operation in operations.items():
        for answer in operation["responses"].values():
            content = answer.get("content", {}).get("application/json", {})
            if "example" in content:
                errors = validator_for(content["schema"] | components).iter_errors(content["example"])
                assert [(error.instance_path, error.message) for error in errors] == [], label
                tried += 1
    assert tried > len(RESOURCES)


def test_every_reference_leads_somewhere() -> None:
    document = _document()
    references = set(re.findall(r'"\$ref":"([^"]+)"', orjson.dumps(document).decode()))
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references <= known
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_operator_of_every_field_is_a_parameter(operations: dict[str, dict[str, Any]]) -> None:
    for resource in (*RESOURCES, SUBMISSIONS, KEYS, ENTRIES):
        names = {one["name"] for one in operations[f"GET /v1/{resource.name}"]["parameters"]}
        for name, found in resource.fields.items():
            expected = {name if op is Op.EQ else f"{name}[{op}]" for op in found.ops}
            assert expected
            assert expected <= names, (resource.name, name)
