"""That callbacks of other brokers change no answer: all that a key of one broker may ask is asked before and after.

The OpenAPI document says what there is to ask: every parameter of every path that only reads. The values are those of
the key's own rows and of what the others send afterwards. At last somebody else tells of an inquiry of the key's own
broker, which does change answers: none may name what the key cannot see.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from app.accounts import keys
from app.accounts.model import Mode, Scope
from app.api import build_api
from app.config import load_settings
from tests.security.service import Service, running
from tests.security.test_silence import signed
from tests.server.test_supervisor import until

pytestmark = pytest.mark.process

OURS, OTHERS = "42", "77"
LISTS = ("deliveries", "events", "inquiries", "customers", "documents", "leads", "gaps", "drift", "submissions")
OTHER_PATHS = ("/v1/brokers", "/v1/attention", "/v1/sources")
STATISTICS = {
    "/v1/stats/deliveries": "?",
    "/v1/stats/inquiries": "?",
    "/v1/stats/leads": "?",
    "/v1/stats/funnel": "?from=4&to=6",
}
OF_OTHERS = {
    "status": "9",
    "type": "thinksurance.inquiry.ordered",
    "broker_external_id": OTHERS,
    "broker": OTHERS,
    "customer.last_name": "Schnabeltier",
    "last_name": "Schnabeltier",
    "inquiry_id": "9001",
    "subject": "inquiry/9001",
    "customer_id": "5001",
    "customer.customer_id": "5001",
    "city": "Moorhausen",
    "reason": "signature-mismatch",
    "verdict": "mismatch",
    "data": '{"data":{"bExternalId":"77"}}',
    "changed_to": "status:9",
    "changed": "customer.last_name",
    "ref": "crm:Konto:77",
}
"""By field: what only others send."""
WORDS = ("Schnabeltier", "Quastenflosser", "Moorhausen", "9001", "Konto 77", "zephyrine@quastenflosser.example")
NEVER_THE_SAME = ("next_cursor", "follow_cursor", "lag_seconds", "caught_up", "as_of")

Question = tuple[str, str]


def ours() -> Iterator[bytes]:
    """Yield what the key's own broker sends."""
    for number, status in ((1, 6), (2, 4), (2, 6), (3, 1)):
        yield signed(number, status=status, productId=81, premiumYearly=500 + number)


def theirs() -> Iterator[bytes]:
    """Yield what others send: alike, of other persons, and one that is not well signed."""
    for number, status in ((9001, 4), (9001, 9), (9002, 6)):
        body = json.loads(signed(number, status=status, productId=81, bExternalId=OTHERS, premiumYearly=501))
        body["customer"] |= {
            "cId": 5001 if number == 9001 else 5002,
            "cLastName": "Schnabeltier",
            "cCity": "Moorhausen",
        }
        body["customer"]["externalReferences"] = [{"origin": "crm", "key": "Konto", "value": "77"}]
        yield json.dumps(body).encode()
    yield json.dumps(json.loads(signed(9003, bExternalId=OTHERS)) | {"sHash": "0" * 32}).encode()


def mixed() -> Iterator[bytes]:
    """Yield what nobody says he sent about an own inquiry, and the same from its broker."""
    body = json.loads(signed(2, status=8, productId=81))
    del body["data"]["bExternalId"]
    yield json.dumps(body).encode()
    yield signed(2, status=8, productId=81)


def _flat(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, (str, int, float)):
            yield before + name, json.dumps(value) if isinstance(value, bool) else str(value)


def _values(parameter: Mapping[str, Any], known: Mapping[str, list[str]]) -> list[str]:
    """Return with which values a parameter is asked."""
    name, _, rest = parameter["name"].partition("[")
    if rest == "null]":
        return ["true", "false"]
    others = [OF_OTHERS[name]] if name in OF_OTHERS else []
    found = [*others, *known.get(name, [])[:1]]
    found += parameter["schema"].get("enum", [])[:2] or [str(parameter["example"])] if "example" in parameter else []
    if rest in ("in]", "nin]"):
        return [",".join(found[:3])] if found else []
    if rest == "prefix]":
        found = [one[:3] for one in found]
    return list(dict.fromkeys(found))[: 1 if rest else 3]


class Asking:
    """Asks a service everything with one key."""

    def __init__(self, service: Service, key: str) -> None:
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{service.port}", headers={"Authorization": f"Bearer {key}"}, timeout=60
        )
        self.questions: list[str] = []

    def find_questions(self, paths: Mapping[str, Any]) -> None:
        """Settle what is asked, by what the key sees now."""
        for name in LISTS:
            path = f"/v1/{name}"
            rows = self.client.get(path).raise_for_status().json()["data"]
            known: dict[str, list[str]] = {}
            for field, value in itertools.chain.from_iterable(map(_flat, rows)):
                known.setdefault(field, []).append(value)
            self.questions += [f"{path}?{one}" for one in _parameters(paths[path], known)]
            if f"/v1/export/{name}.ndjson" in paths:  # its filters are the list's
                self.questions += [f"/v1/export/{name}.ndjson", f"/v1/export/{name}.csv"]
            for row in rows:
                self.questions += [f"{path}/{row['id']}"]
                if f"{path}/{{id}}/history" in paths:
                    self.questions += [f"{path}/{row['id']}/history", f"{path}/{row['id']}?as_of=-0m"]
        self.questions += [*OTHER_PATHS, *(f"/v1/search?q={quote(word)}" for word in WORDS)]

    def find_statistics(self, paths: Mapping[str, Any]) -> None:
        """Settle which statistics are asked."""
        for path, asked in STATISTICS.items():
            self.questions += [f"{path}{asked}&{one}" for one in _parameters(paths[path], {})]

    def answers(self) -> dict[str, tuple[int, str]]:
        """Return what is answered now."""
        return {question: self._answer(question) for question in self.questions}

    def _answer(self, question: str) -> tuple[int, str]:
        answer = self.client.get(question)
        told = answer.text
        for name in NEVER_THE_SAME:
            told = re.sub(rf'"{name}":("[^"]*"|[^,}}]*)', "", told)
        if answer.status_code >= 400:
            told = answer.json()["code"]
        return answer.status_code, told


def _parameters(operations: Mapping[str, Any], known: Mapping[str, list[str]]) -> Iterator[str]:
    for parameter in operations["get"].get("parameters", ()):
        if parameter["in"] == "query" and parameter["name"] not in ("cursor", "q", "from", "to", "as_of"):
            for value in _values(parameter, known):
                yield f"{quote(parameter['name'])}={quote(value)}"


@dataclass
class Asked:
    """What was answered: for each key before and after others sent, and once somebody told of an own inquiry."""

    before_and_after: dict[str, tuple[dict[str, Any], dict[str, Any]]]
    mixed: dict[str, tuple[int, str]]
    own: list[dict[str, Any]]
    """The events of that inquiry, as the key sees them."""
    all: list[dict[str, Any]]
    """All events, as a key without walls sees them."""


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    """Give all that was answered."""
    paths = build_api(load_settings()).openapi()["paths"]
    with running() as service:
        token = service.add_source("thinksurance", "shared", Mode.OBSERVE)
        with service.database() as database:
            made = {
                name: keys.add_key(database, name, scopes, brokers=[OURS]).key
                for name, scopes in (("plain", [Scope.READ]), ("personal", [Scope.READ, Scope.READ_PERSONAL]))
            }
            everything = keys.add_key(database, "everything", [Scope.READ]).key
        until(lambda: all(service.get("/v1/events", key).status == 200 for key in made.values()), "keys that are known")
        _send(service, token, ours())
        asking = {name: Asking(service, key) for name, key in made.items()}
        before = {}
        for name, one in asking.items():
            one.find_questions(paths)
            if name == "personal":
                one.find_statistics(paths)
            before[name] = one.answers()
        _send(service, token, theirs())
        before_and_after = {name: (before[name], one.answers()) for name, one in asking.items()}
        _send(service, token, mixed())
        yield Asked(
            before_and_after,
            asking["plain"].answers(),
            service.get("/v1/events?subject=inquiry/2", made["plain"]).json["data"],
            service.get("/v1/events?limit=500", everything).json["data"],
        )
        for one in asking.values():
            one.client.close()


def _send(service: Service, token: str, bodies: Iterator[bytes]) -> None:
    for body in bodies:
        sent = service.ask("POST", f"/callbacks/thinksurance/{token}", body, {"Content-Type": "application/json"})
        assert sent.status in (200, 202)
    service.await_processed()


@pytest.mark.parametrize("key", ["plain", "personal"])
def test_no_answer_is_another_for_what_others_sent(asked: Asked, key: str) -> None:
    before, after = asked.before_and_after[key]
    assert sum(status == 200 for status, _ in before.values()) > 1000
    assert {question: (told, after[question]) for question, told in before.items() if told != after[question]} == {}


def test_no_answer_names_an_event_that_the_key_cannot_see(asked: Asked) -> None:
    told = asked.all[1]
    assert asked.all[0]["duplicate_of"] == told["id"]
    seen = {one["id"]: one for one in asked.own}
    assert seen[asked.all[0]["id"]]["duplicate_of"] is None
    assert told["id"] not in seen
    hidden = (told["id"], told["delivery_id"])
    assert [question for question, (_, text) in asked.mixed.items() if any(one in text for one in hidden)] == []
