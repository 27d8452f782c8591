"""Shows the WeGroup client before its double over real HTTP, and before a transport where single answers count."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import orjson
import pytest
import stamina
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.ingest.contract import Source
from app.providers import wegroup as receiver
from app.providers.calling import (
    CallError,
    NotJsonAnswerError,
    PermanentCallError,
    ServerFailedError,
    TimedOutError,
    TransientCallError,
    UnreachableError,
    UnusableAnswerError,
)
from app.providers.checking import InvalidRequestError
from app.providers.wegroup.client import LeadRefusedError, PushedLead, WeGroupClient, client_for
from tests.doubles.serving import serve
from tests.doubles.wegroup import ACCESS_TOKEN, API_TOKEN, DISTRIBUTION_ID, WeGroup
from tests.providers.conftest import Bench

PERSON: dict[str, Any] = {
    "origin": "CRM",
    "prospect": {"first_name": "Marieke", "last_name": "Vandevoorbeeld", "email": "marieke@example.test"},
}
FIRM: dict[str, Any] = {"origin": "CRM", "prospect": {"name": "Bakkerij Voorbeeld BV"}}
BAD_HOME: dict[str, Any] = {
    "prospect": {
        "last_name": "Vandevoorbeeld",
        "risk_objects": {"residences": [{"address": {"zipcode": "ERROR", "city": "Gent"}}]},
    }
}

ROOT = Path(__file__).parents[2]

Answered = TypeVar("Answered")


class Listener:
    """A receiver of callbacks that only notes them."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        if scope["type"] != "http":
            await receive()
            return
        self.bodies.append(orjson.loads(await Request(scope, receive).body()))
        await Response(status_code=200)(scope, receive, send)


class Stage:
    """A running server whose application can be replaced."""

    url = ""

    def __init__(self) -> None:
        self.double = WeGroup()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        await self.double(scope, receive, send)


@dataclass
class Stand:
    """A fresh double and a way to ask it."""

    double: WeGroup
    url: str

    def ask(self, call: Callable[[WeGroupClient], Awaitable[Answered]], **given: Any) -> Answered:
        """Return what `call` brings; no waits between tries."""
        arguments = {"distribution_id": DISTRIBUTION_ID, "api_token": API_TOKEN, "base_url": self.url} | given

        async def asked() -> Answered:
            async with WeGroupClient(**arguments) as client:
                return await call(client)

        with stamina.set_testing(True, attempts=3, cap=True):
            return asyncio.run(asked())

    def push(self, data: Any = PERSON, **given: Any) -> PushedLead:
        """Push a person."""
        return self.ask(lambda client: client.push_customer(data, own_ref="S-1", **given))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A server for the doubles of this module."""
    stage = Stage()
    with serve(stage) as served:
        stage.url = served.url
        yield stage


@pytest.fixture
def stand(stage: Stage) -> Stand:
    """A fresh double."""
    stage.double = WeGroup()
    return Stand(stage.double, stage.url)


@pytest.fixture
def listener() -> Iterator[tuple[Listener, str]]:
    """Something to call back, and its address."""
    listener = Listener()
    with serve(listener) as served:
        yield listener, f"{served.url}/callbacks/wegroup/cbt_{'a' * 43}"


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is so; what is asserted afterwards decides."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def mocked(
    answers: Callable[[httpx2.Request], httpx2.Response],
    call: Callable[[WeGroupClient], Awaitable[Answered]],
    **given: Any,
) -> Answered:
    """Return what `call` brings before a transport."""
    stand = Stand(WeGroup(), "https://api.example.test")
    return stand.ask(call, **({"transport": httpx2.MockTransport(answers)} | given))


def test_a_customer_lead_is_created(stand: Stand) -> None:
    pushed = stand.push()
    assert pushed.lead_id in stand.double.leads
    assert pushed.external_ref == "S-1"
    (heard,) = stand.double.heard
    assert (heard.method, heard.path) == ("POST", f"/v1/api/distributions/{DISTRIBUTION_ID}/leads/customers")
    assert heard.headers["authorization"] == f"apikey {API_TOKEN}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.body["prospect"]["external_ref"] == {"external_ref": "S-1", "external_ref_company": "callbox"}


def test_a_company_lead_is_created_with_the_callers_own_access_token(stand: Stand) -> None:
    lead = stand.ask(lambda client: client.push_company(FIRM, own_ref="S-2", access_token=ACCESS_TOKEN))
    (heard,) = stand.double.heard
    assert heard.path.endswith("/leads/companies")
    assert heard.headers["authorization"] == f"bearer {ACCESS_TOKEN}"
    assert lead.lead_id in stand.double.leads


def test_an_access_token_is_used_once_and_not_kept(stand: Stand) -> None:
    async def act(client: WeGroupClient) -> None:
        await client.push_company(FIRM, own_ref="S-2", access_token=ACCESS_TOKEN)
        assert ACCESS_TOKEN not in repr(vars(client))
        await client.push_company(FIRM, own_ref="S-2")

    stand.ask(act)
    assert [heard.headers["authorization"][:6] for heard in stand.double.heard] == ["bearer", "apikey"]


def test_sending_again_updates_the_same_lead(stand: Stand) -> None:
    first = stand.push()
    again = stand.push({"prospect": {"email": "neu@example.test"}})
    assert again.lead_id == first.lead_id
    (lead,) = stand.double.leads.values()
    assert lead["prospect"]["last_name"] == "Vandevoorbeeld"
    assert lead["prospect"]["email"] == "neu@example.test"


def test_the_double_calls_back_after_creation_and_after_each_update(
    stand: Stand, listener: tuple[Listener, str], bench: Bench
) -> None:
    heard, url = listener
    pushed = stand.push(callback_url=url)
    wait_for(lambda: heard.bodies)
    stand.push({"prospect": {"first_name": "Anke"}}, callback_url=url)
    wait_for(lambda: len(heard.bodies) == 2)
    assert [body["prospect"]["first_name"] for body in heard.bodies] == ["Marieke", "Anke"]
    assert {one.answered for one in stand.double.called_back} == {200}
    body = orjson.dumps(heard.bodies[1])
    source = bench.source("wegroup")
    (item,) = receiver.find(body, "application/json", source, bench.now).items
    (part,) = receiver.read(item, source, bench.receipt).parts
    assert part.fields["lead_id"] == pushed.lead_id
    assert part.fields["first_name"] == "Anke"
    assert "ref:callbox\x1fS-1" in part.keys


@pytest.mark.parametrize("form", list("ABCDEF"))
def test_the_double_tells_a_change_in_any_form(stand: Stand, listener: tuple[Listener, str], form: str) -> None:
    heard, url = listener
    stand.double.settings.calls_back = "never"
    pushed = stand.push(callback_url=url)
    answer = httpx2.post(
        f"{stand.url}/double/advance",
        json={"lead_id": pushed.lead_id, "event": "signed", "form": form},
        trust_env=False,
    )
    assert [one["answered"] for one in answer.json()] == [200]
    (body,) = heard.bodies
    if form == "F":
        assert body == {"hello": "world"}
    else:
        assert pushed.lead_id in orjson.dumps(body).decode()


def test_a_callback_may_come_before_the_answer(stand: Stand, listener: tuple[Listener, str]) -> None:
    heard, url = listener
    stand.double.settings.calls_back = "first"
    stand.push(callback_url=url)
    assert len(heard.bodies) == 1


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("answers", ["lead", "id-only"])
def test_any_success_with_an_id_counts(stand: Stand, status: int, answers: str) -> None:
    stand.double.settings.status = status
    stand.double.settings.answers = answers
    assert stand.push().lead_id in stand.double.leads


def test_an_id_may_be_a_number(stand: Stand) -> None:
    stand.double.settings.answers = "id-as-number"
    assert stand.push().lead_id == "4711"


def test_a_success_without_an_id_is_an_error(stand: Stand) -> None:
    stand.double.settings.answers = "without-id"
    with pytest.raises(UnusableAnswerError) as caught:
        stand.push()
    assert caught.value.may_have_happened


def test_a_refusal_names_the_callers_own_field(stand: Stand) -> None:
    with pytest.raises(LeadRefusedError) as caught:
        stand.push(BAD_HOME)
    error = caught.value
    assert error.status == 422
    assert error.type == "ValidationError"
    assert [problem.dotted for problem in error.problems] == ["prospect.risk_objects.residences.0.address.zipcode"]
    assert str(error) == (
        "wegroup.customer-lead: answered 422: risk_objects.residences.0.address.zipcode (ValidationError)"
    )
    assert error.said is not None
    assert "zipcode" in error.said
    assert isinstance(error, PermanentCallError)
    assert len(stand.double.heard) == 1


@pytest.mark.parametrize(
    ("form", "paths", "said"),
    [
        ("framework", ["prospect.risk_objects.residences.0.address.zipcode"], "Error for 'zipcode'"),
        ("text", [], "validation errors"),
        ("without-errors", [], "validation errors"),
    ],
)
def test_other_forms_of_refusal_are_read(stand: Stand, form: str, paths: list[str], said: str) -> None:
    stand.double.settings.refuses_in = form
    with pytest.raises(LeadRefusedError) as caught:
        stand.push(BAD_HOME)
    assert [problem.dotted for problem in caught.value.problems] == paths
    assert said in (caught.value.said or "")


@pytest.mark.parametrize("form", ["object", "framework", "text", "without-errors"])
def test_no_text_of_the_platform_is_in_an_error_or_a_log(
    stand: Stand, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    stand.double.settings.refuses_in = form
    data = {"prospect": BAD_HOME["prospect"] | {"email": "marieke@example.test"}}
    with caplog.at_level(logging.DEBUG, "app"), pytest.raises(LeadRefusedError) as caught:
        stand.push(data)
    shown = f"{caught.value} {caught.value!r} {caught.value.refusals!r} {caplog.text}"
    for secret in ("marieke", "Vandevoorbeeld", "ERROR", "Gent", API_TOKEN, "validation errors for"):
        assert secret not in shown


def test_a_wrong_token_is_refused_and_not_tried_again(stand: Stand) -> None:
    with pytest.raises(LeadRefusedError) as caught:
        stand.ask(lambda client: client.push_customer(PERSON, own_ref="S-1"), api_token="wrong")
    assert caught.value.status == 401
    assert caught.value.said == "Could not validate credentials"
    assert caught.value.problems == ()
    assert len(stand.double.heard) == 1


def test_an_unknown_distribution_is_refused(stand: Stand) -> None:
    with pytest.raises(LeadRefusedError) as caught:
        stand.push(distribution_id="other")
    assert caught.value.status == 404


@pytest.mark.parametrize("kind", ["server-error", "html", "html-error", "busy", "cut", "empty"])
def test_what_may_pass_is_tried_again_and_makes_one_lead(stand: Stand, kind: str) -> None:
    stand.double.quirks.add(kind, "/v1/", times=2, acted=True)
    pushed = stand.push()
    assert list(stand.double.leads) == [pushed.lead_id]
    assert len(stand.double.heard) == 3


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("server-error", ServerFailedError),
        ("busy", ServerFailedError),
        ("html", NotJsonAnswerError),
        ("html-error", ServerFailedError),
        ("cut", UnreachableError),
    ],
)
def test_what_does_not_pass_is_a_transient_error_in_the_end(stand: Stand, kind: str, error: type[CallError]) -> None:
    stand.double.quirks.add(kind, "/v1/", times=9)
    with pytest.raises(error) as caught:
        stand.push()
    assert isinstance(caught.value, TransientCallError)


@pytest.mark.parametrize("kind", ["refused", "not-found", "moved"])
def test_what_will_not_pass_is_not_tried_again(stand: Stand, kind: str) -> None:
    stand.double.quirks.add(kind, "/v1/", times=1)
    with pytest.raises(PermanentCallError) as caught:
        stand.push()
    assert "erika" not in str(caught.value)


def test_a_slow_platform_is_waited_for_so_long_and_no_longer(stand: Stand) -> None:
    stand.double.quirks.add("slow", "/v1/", times=9, seconds=10.0)
    with pytest.raises(TimedOutError):
        stand.ask(lambda client: client.push_customer(PERSON, own_ref="S-1"), answer_seconds=0.1)
    stand.double.quirks.clear()
    stand.double.quirks.add("slow", "/v1/", seconds=0.2)
    assert stand.push().lead_id


def test_nobody_at_the_address_is_a_transient_error() -> None:
    with pytest.raises(UnreachableError) as caught:
        Stand(WeGroup(), "http://127.0.0.1:9").push()
    assert not caught.value.may_have_happened


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_statuses_that_are_tried_again(status: int) -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(status, json={}) if len(asked) == 1 else httpx2.Response(201, json={"id": "x"})

    assert mocked(answer, lambda client: client.push_customer(PERSON, own_ref="S-1")).lead_id == "x"
    assert len(asked) == 2
    assert asked[0].read() == asked[1].read()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 422])
def test_statuses_that_are_not_tried_again(status: int) -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(status, json={"detail": "No."})

    with pytest.raises(LeadRefusedError):
        mocked(answer, lambda client: client.push_customer(PERSON, own_ref="S-1"))
    assert len(asked) == 1


def test_retry_after_is_honoured() -> None:
    asked = []

    def answer(_request: httpx2.Request) -> httpx2.Response:
        asked.append(time.monotonic())
        return httpx2.Response(429 if len(asked) == 1 else 200, headers={"Retry-After": "1"}, json={"id": "x"})

    async def act() -> None:
        transport = httpx2.MockTransport(answer)
        async with WeGroupClient("t", distribution_id="d", transport=transport) as client:
            await client.push_customer(PERSON, own_ref="S-1")

    asyncio.run(act())
    assert asked[1] - asked[0] >= 1.0


def test_few_calls_are_made_at_a_time() -> None:
    at_once: list[int] = []
    running = 0

    async def answer(_request: httpx2.Request) -> httpx2.Response:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(0)
        running -= 1
        return httpx2.Response(200, json={"id": "x"})

    async def act() -> None:
        async with WeGroupClient("t", distribution_id="d", transport=httpx2.MockTransport(answer)) as client:
            pushes = [client.push_customer(PERSON, own_ref=str(number)) for number in range(12)]
            assert len(await asyncio.gather(*pushes)) == 12

    asyncio.run(act())
    assert max(at_once) == 4


def test_a_call_does_not_wait_for_good_for_those_before_it() -> None:
    asked = []

    async def act() -> None:
        all_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            if len(asked) == 4:
                all_asked.set()
            await may_answer.wait()
            return httpx2.Response(200, json={"id": "x"})

        transport = httpx2.MockTransport(answer)
        async with WeGroupClient("t", distribution_id="d", transport=transport, answer_seconds=0.2) as client:
            before = [asyncio.create_task(client.push_customer(PERSON, own_ref="S")) for _ in range(4)]
            await all_asked.wait()
            with pytest.raises(TimedOutError) as caught:
                await client.push_customer(PERSON, own_ref="S-5")
            assert (caught.value.may_have_happened, len(asked)) == (False, 4)
            may_answer.set()
            await asyncio.gather(*before)
            await client.push_customer(PERSON, own_ref="S-5")

    asyncio.run(act())
    assert len(asked) == 5


def test_the_default_host_is_productions() -> None:
    hosts = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        hosts.append(str(request.url))
        return httpx2.Response(200, json={"id": "x"})

    source = Bench().source("wegroup", credentials={"api_token": ("t",)}, settings={"distribution_id": "a/b ?"})

    async def act() -> None:
        async with client_for(source, transport=httpx2.MockTransport(answer)) as client:
            await client.push_company(FIRM, own_ref="S-1")

    asyncio.run(act())
    assert hosts == ["https://api.wegroup.be/v1/api/distributions/a%2Fb%20%3F/leads/companies"]


def test_a_source_brings_its_settings(stand: Stand, bench: Bench) -> None:
    settings = {"base_url": stand.url, "distribution_id": DISTRIBUTION_ID, "external_ref_company": "leadhub"}
    source: Source = bench.source("wegroup", credentials={"api_token": (API_TOKEN,)}, settings=settings)

    async def act() -> PushedLead:
        async with client_for(source) as client:
            return await client.push_customer(PERSON, own_ref="S-1")

    pushed = asyncio.run(act())
    assert stand.double.leads[pushed.lead_id]["prospect"]["external_ref"]["external_ref_company"] == "leadhub"


def test_a_wrong_address_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(ValueError, match="base_url"):
        client_for(bench.source("wegroup", settings={"base_url": "api.wegroup.be"}))


@pytest.mark.parametrize(
    ("client", "call", "field", "code"),
    [
        ({"api_token": None}, {}, "Authorization", "missing"),
        ({"api_token": "a b"}, {}, "Authorization", "not-a-token"),
        ({}, {"access_token": "a\r\nX-Evil: 1"}, "Authorization", "not-a-token"),
        ({}, {"access_token": ""}, "Authorization", "not-a-token"),
        ({"distribution_id": None}, {}, "distribution_id", "missing"),
        ({}, {"distribution_id": ".."}, "distribution_id", "not-an-id"),
        ({}, {"distribution_id": "x" * 201}, "distribution_id", "not-an-id"),
    ],
)
def test_what_cannot_be_sent_is_refused_before(
    stand: Stand, client: dict[str, Any], call: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        stand.ask(lambda asked: asked.push_customer(PERSON, own_ref="S-1", **call), **client)
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [((field,), code)]
    assert "Evil" not in str(caught.value)
    assert stand.double.heard == []


def test_a_dangling_link_costs_no_call(stand: Stand) -> None:
    lead = {"prospect": {"name": "X", "insurance_policies": [{"policy_package_id": DISTRIBUTION_ID}]}}
    with pytest.raises(InvalidRequestError, match="policy_package_id"):
        stand.ask(lambda client: client.push_company(lead, own_ref="S-1"))
    assert stand.double.heard == []


def test_the_double_is_driven_over_http(stand: Stand) -> None:
    def post(path: str, said: Any) -> httpx2.Response:
        return httpx2.post(stand.url + path, json=said, trust_env=False)

    assert post("/double/settings", {"calls_back": "never"}).json()["calls_back"] == "never"
    assert post("/double/settings", {"nothing": 1}).status_code == 422
    assert post("/double/advance", {"lead_id": "nobody"}).status_code == 404
    assert post("/double/quirks", {"kind": "server-error", "path": "/v1/", "times": 9}).status_code == 200
    with pytest.raises(ServerFailedError):
        stand.push()


def test_the_double_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "tests.doubles.wegroup", "--port", "0", "--api-token", "one"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            pushed = Stand(WeGroup(), url).ask(
                lambda client: client.push_customer(PERSON, own_ref="S-1"), api_token="one"
            )
            state = httpx2.get(f"{url}/double/state", trust_env=False).json()
            assert list(state["leads"]) == [pushed.lead_id]
        finally:
            process.terminate()
