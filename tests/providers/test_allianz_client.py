"""Shows the Allianz client before its double over real HTTP: the order of calls, the credentials, unknown outcomes."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import stamina
from starlette.types import Receive, Scope, Send

from app.providers import PROVIDERS, allianz
from app.providers.allianz.authorising import ClientCredentials
from app.providers.allianz.client import AllianzClient, OutcomeUnknownError, PassedOn, client_for
from app.providers.allianz.decision import Action
from app.providers.allianz.schemas import AltaDraft, AltaRequest, ClientDataRequest, LeadUpdateRequest
from app.providers.allianz.settings import SettingError
from app.providers.calling import (
    Caller,
    CallError,
    PermanentCallError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    TransientCallError,
    UnreachableError,
    UnusableAnswerError,
)
from app.providers.checking import InvalidRequestError
from tests.doubles.allianz import (
    AGENT,
    API_KEY,
    CLIENT,
    CLIENT_ID,
    CLIENT_OF_ALLIANZ,
    CLIENT_SECRET,
    PASSWORD,
    STRANGER,
    USERNAME,
    Allianz,
)
from tests.doubles.serving import serve
from tests.providers.conftest import Bench

LEAST: dict[str, Any] = {
    "acceptTerms": True,
    "agenteId": "0051245",
    "motivoLlamada": "2",
    "name": "Lucía Ejemplo Prueba",
    "phone": "600000000",
}
DRAFT = {name: value for name, value in LEAST.items() if name != "agenteId"} | {"email": "lucia@example.test"}
UPDATE = {"estado": 20, "observacion": "Closed by GAM: policy issued elsewhere"}
PERSONAL = ("Lucía", "lucia", "600000000", CLIENT, STRANGER)

AUTHS: dict[str, tuple[dict[str, str], dict[str, tuple[str, ...]]]] = {
    "none": ({}, {}),
    "basic": ({"auth": "basic"}, {"username": (USERNAME,), "password": (PASSWORD,)}),
    "header": ({"auth": "header", "auth_header": "X-Api-Key"}, {"header_value": (API_KEY,)}),
    "client-credentials": (
        {"auth": "client-credentials", "token_url": "/oauth/token"},
        {"client_id": (CLIENT_ID,), "client_secret": (CLIENT_SECRET,)},
    ),
}

ROOT = Path(__file__).parents[2]

Answered = TypeVar("Answered")


class Stage:
    """A running server whose application can be replaced."""

    url = ""

    def __init__(self) -> None:
        self.double = Allianz()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        await self.double(scope, receive, send)


@dataclass
class Stand:
    """A fresh double and a way to ask it."""

    double: Allianz
    url: str

    def ask(
        self,
        call: Callable[[AllianzClient], Awaitable[Answered]],
        settings: dict[str, str] | None = None,
        credentials: dict[str, tuple[str, ...]] | None = None,
        **given: Any,
    ) -> Answered:
        """Return what `call` brings; no waits between tries."""
        source = Bench().source(
            "allianz", settings={"base_url": self.url} | (settings or {}), credentials=credentials or {}
        )

        async def asked() -> Answered:
            async with client_for(source, **given) as client:
                return await call(client)

        with stamina.set_testing(True, attempts=3, cap=True):
            return asyncio.run(asked())

    def pass_on(self, settings: dict[str, str] | None = None, **fields: Any) -> PassedOn:
        """Pass a draft on."""
        draft = AltaDraft.model_validate(DRAFT | fields)
        return self.ask(lambda client: client.pass_on(draft), settings)

    def paths(self) -> list[str]:
        """Return the paths that were called."""
        return [heard.path for heard in self.double.heard]


def alta(client: AllianzClient) -> Awaitable[Any]:
    return client.alta(AltaRequest.model_validate(LEAST))


def check(client: AllianzClient) -> Awaitable[Any]:
    return client.get_client_data(ClientDataRequest(nif=CLIENT))


def update(client: AllianzClient) -> Awaitable[Any]:
    return client.update(LeadUpdateRequest.model_validate(UPDATE | {"leadId": "900123"}))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A server for the doubles of this module."""
    stage = Stage()
    with serve(stage) as served:
        stage.url = served.url
        yield stage


@pytest.fixture
def stand(stage: Stage) -> Stand:
    """A fresh double with one lead."""
    stage.double = Allianz()
    stage.double.leads["900123"] = {}
    return Stand(stage.double, stage.url)


def test_the_folder_is_a_platform_that_receives_nothing() -> None:
    assert allianz.name == "allianz"
    assert "allianz" not in PROVIDERS


def test_a_clients_lead_is_passed_on_with_the_clients_own_agent(stand: Stand) -> None:
    passed = stand.pass_on(dni=CLIENT)
    assert stand.paths() == ["/client-data", "/alta-lead"]
    assert [heard.method for heard in stand.double.heard] == ["POST", "POST"]
    assert stand.double.heard[0].body == {"nif": CLIENT}
    assert stand.double.heard[1].body == DRAFT | {"dni": CLIENT, "agenteId": AGENT}
    assert passed.answer is not None
    assert passed.answer.lead_id in stand.double.leads
    assert passed.answer.id_landing == f"LND-{passed.answer.lead_id}"
    assert passed.client_data is not None
    assert passed.client_data.multi_access is True
    assert not [value for value in PERSONAL if value in repr(passed)]


def test_the_clients_agent_may_be_named_but_not_replaced(stand: Stand) -> None:
    assert stand.pass_on(dni=CLIENT, agenteId=AGENT).answer is not None
    with pytest.raises(InvalidRequestError) as caught:
        stand.pass_on(dni=CLIENT, agenteId="0051245")
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [(("agenteId",), "other-agent")]
    assert stand.paths().count("/alta-lead") == 1


@pytest.mark.parametrize(
    ("settings", "fields", "agent"),
    [
        ({"agent_id": "0011111"}, {}, "0011111"),
        ({"agent_id": "0011111"}, {"agenteId": "0022222"}, "0022222"),
        ({}, {"agenteId": "0022222"}, "0022222"),
    ],
)
def test_a_strangers_lead_goes_to_the_agent_that_we_assign(
    stand: Stand, settings: dict[str, str], fields: dict[str, str], agent: str
) -> None:
    stand.pass_on(settings, dni=STRANGER, **fields)
    assert stand.double.heard[1].body["agenteId"] == agent


def test_without_an_agent_to_assign_nothing_is_registered(stand: Stand) -> None:
    with pytest.raises(InvalidRequestError, match="agent_id"):
        stand.pass_on(dni=STRANGER)
    assert stand.paths() == ["/client-data"]


@pytest.mark.parametrize(
    ("nif", "told", "action"),
    [
        (CLIENT_OF_ALLIANZ, {}, Action.CLOSE),
        (CLIENT, {"status": "KO"}, Action.REVIEW),
        (CLIENT, {"status": "absent"}, Action.REVIEW),
        (CLIENT, {"partnerManage": "absent"}, Action.REVIEW),
        (CLIENT, {"agentId": None}, Action.REVIEW),
        (CLIENT, {"nif": STRANGER}, Action.REVIEW),
    ],
)
def test_what_may_not_be_passed_on_is_not(stand: Stand, nif: str, told: dict[str, Any], action: Action) -> None:
    stand.double.settings.client_data = told
    passed = stand.pass_on(dni=nif)
    assert passed.decision.action is action
    assert passed.client_data is not None
    assert (passed.request, passed.answer) == (None, None)
    assert stand.paths() == ["/client-data"]


@pytest.mark.parametrize("status", [200, 400, 404, 422])
def test_a_ko_is_an_answer_whatever_its_http_code(stand: Stand, status: int) -> None:
    stand.double.settings.ko_status = status
    stand.double.settings.client_data = {"status": "KO", "message": f"NIF {CLIENT} not valid"}
    found = stand.ask(check)
    assert (found.status, found.message) == ("KO", f"NIF {CLIENT} not valid")


def test_if_client_data_is_not_reached_the_lead_is_kept_for_later(stand: Stand) -> None:
    stand.double.quirks.add("server-error", "/client-data", times=9)
    passed = stand.pass_on(dni=CLIENT)
    assert passed.decision.action is Action.RETRY_LATER
    assert isinstance(passed.problem, ServerFailedError)
    assert passed.problem.may_have_happened is False  # it only asked
    assert "/alta-lead" not in stand.paths()


def test_client_data_is_asked_again_for_it_only_reads(stand: Stand) -> None:
    stand.double.quirks.add("cut", "/client-data", times=2, acted=True)
    assert stand.pass_on(dni=CLIENT).answer is not None
    assert stand.paths() == ["/client-data"] * 3 + ["/alta-lead"]


def test_without_a_tax_number_nothing_is_registered_unless_the_source_says_so(stand: Stand) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        stand.pass_on(agenteId="0022222")
    assert [problem.path for problem in caught.value.problems] == [("dni",)]
    assert stand.paths() == []
    passed = stand.pass_on({"alta_without_client_data": "on"}, agenteId="0022222")
    assert passed.answer is not None
    assert passed.client_data is None
    assert stand.paths() == ["/alta-lead"]


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("loose", [True, False])
def test_answers_are_read_tolerantly(stand: Stand, wrapped: bool, loose: bool) -> None:
    stand.double.settings.wrapped, stand.double.settings.loose = wrapped, loose
    passed = stand.pass_on(dni=CLIENT)
    assert passed.answer is not None
    assert passed.answer.lead_id in stand.double.leads
    assert passed.request is not None
    assert passed.request.agent_id == AGENT
    assert stand.ask(update).lead_id == "900123"


def test_an_answer_without_a_lead_id_is_a_refusal(stand: Stand) -> None:
    stand.double.settings.lead = {"leadId": None, "idLanding": None, "message": "agenteId not valid for Lucía"}
    with pytest.raises(RefusedError) as caught:
        stand.ask(alta)
    assert caught.value.said == "agenteId not valid for Lucía"
    assert "Lucía" not in str(caught.value)
    assert caught.value.may_have_happened is False


@pytest.mark.parametrize("kind", ["server-error", "html", "html-error", "cut", "empty"])
@pytest.mark.parametrize("acted", [True, False])
def test_an_alta_of_unknown_outcome_is_never_repeated(stand: Stand, kind: str, acted: bool) -> None:
    stand.double.quirks.add(kind, "/alta-lead", times=1, acted=acted)
    with pytest.raises(OutcomeUnknownError) as caught:
        stand.ask(alta)
    assert isinstance(caught.value, PermanentCallError)
    assert caught.value.may_have_happened
    assert len(stand.paths()) == int(acted)
    assert not [value for value in PERSONAL if value in str(caught.value)]


def test_a_slow_alta_is_of_unknown_outcome_too(stand: Stand) -> None:
    stand.double.quirks.add("slow", "/alta-lead", times=9, seconds=10.0)
    with pytest.raises(OutcomeUnknownError):
        stand.ask(alta, answer_seconds=0.1)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"7", b'"ok"', b""])
def test_an_answer_that_says_nothing_leaves_the_outcome_unknown(stand: Stand, body: bytes) -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, content=body)

    with pytest.raises(OutcomeUnknownError):
        stand.ask(alta, transport=httpx2.MockTransport(answer))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("first", "calls"), [(httpx2.ConnectError("x"), 2), (httpx2.ConnectTimeout("x"), 2), (429, 2), (425, 2)]
)
def test_an_alta_that_surely_did_not_get_there_is_tried_again(stand: Stand, first: Any, calls: int) -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if len(asked) == 1 and isinstance(first, Exception):
            raise first
        return httpx2.Response(first if len(asked) == 1 else 200, json={"leadId": "1"})

    assert stand.ask(alta, transport=httpx2.MockTransport(answer)).lead_id == "1"
    assert len(asked) == calls


def test_nobody_there_is_no_unknown_outcome() -> None:
    with pytest.raises(UnreachableError) as caught:
        Stand(Allianz(), "http://127.0.0.1:9").ask(alta)
    assert not caught.value.may_have_happened


@pytest.mark.parametrize("kind", ["refused", "not-found", "moved"])
@pytest.mark.parametrize("call", [alta, check, update])
def test_what_will_not_pass_is_called_once(stand: Stand, kind: str, call: Callable[[AllianzClient], Any]) -> None:
    stand.double.quirks.add(kind)
    with pytest.raises(PermanentCallError) as caught:
        stand.ask(call)
    assert isinstance(caught.value, OutcomeUnknownError) is ((kind, call) == ("moved", alta))
    assert stand.paths() == []
    assert "erika" not in str(caught.value)


def test_an_update_is_sent_and_its_echo_checked(stand: Stand) -> None:
    assert stand.ask(update).lead_id == "900123"
    assert stand.double.updates == [UPDATE | {"leadId": "900123"}]


def test_an_update_is_tried_again(stand: Stand) -> None:
    stand.double.quirks.add("server-error", "/update-lead", times=2, acted=True)
    assert stand.ask(update).lead_id == "900123"


@pytest.mark.parametrize("told", [{"leadId": "900124"}, {"leadId": None, "message": "Lucía unknown"}])
def test_an_update_without_its_echo_proves_nothing(stand: Stand, told: dict[str, Any]) -> None:
    stand.double.settings.lead = told
    with pytest.raises(UnusableAnswerError) as caught:
        stand.ask(update)
    assert caught.value.may_have_happened
    assert "Lucía" not in str(caught.value)


def test_only_known_states_are_reported(stand: Stand) -> None:
    request = LeadUpdateRequest.model_validate(UPDATE | {"leadId": "900123", "estado": 30})
    with pytest.raises(InvalidRequestError, match="setting: 20"):
        stand.ask(lambda client: client.update(request))
    assert stand.paths() == []
    assert stand.ask(lambda client: client.update(request), {"estados": "20,30"}).lead_id == "900123"


@pytest.mark.parametrize("auth", AUTHS)
def test_each_way_to_authorise(stand: Stand, auth: str) -> None:
    stand.double.settings.auth = auth
    settings, credentials = AUTHS[auth]
    assert stand.ask(alta, settings, credentials).lead_id in stand.double.leads


@pytest.mark.parametrize("auth", [auth for auth in AUTHS if auth != "none"])
def test_a_missing_credential_is_named(stand: Stand, auth: str) -> None:
    settings, credentials = AUTHS[auth]
    for name in credentials:
        less = {one: value for one, value in credentials.items() if one != name}
        with pytest.raises(SettingError) as caught:
            stand.ask(alta, settings, less)
        assert caught.value.name == name


@pytest.mark.parametrize("auth", ["none", "basic", "header"])
def test_wrong_credentials_are_refused_once(stand: Stand, auth: str) -> None:
    stand.double.settings.auth = "client-credentials"
    with pytest.raises(RefusedError) as caught:
        stand.ask(alta, *AUTHS[auth])
    assert caught.value.status == 401
    assert len(stand.double.heard) == 1


def test_a_401_of_client_data_is_no_answer_about_a_person(stand: Stand) -> None:
    stand.double.settings.auth = "basic"
    with pytest.raises(RefusedError) as caught:
        stand.ask(check)
    assert caught.value.said == "Unauthorized"


def test_an_access_token_is_asked_for_once_and_renewed_once(stand: Stand) -> None:
    stand.double.settings.auth = "client-credentials"

    async def act(client: AllianzClient) -> list[int]:
        await asyncio.gather(check(client), check(client), update(client))
        given = [stand.double.tokens_given]
        stand.double.tokens.clear()
        await alta(client)
        return [*given, stand.double.tokens_given]

    assert stand.ask(act, *AUTHS["client-credentials"]) == [1, 2]
    assert len(stand.double.leads) == 2  # the 401 registered nothing


def test_id_and_secret_may_go_in_the_form(stand: Stand) -> None:
    stand.double.settings.auth = "client-credentials"
    settings, credentials = AUTHS["client-credentials"]
    more = settings | {"token_credentials": "body", "token_scope": "leads"}
    assert stand.ask(check, more, credentials).status == "OK"


def test_a_refused_token_is_asked_for_once_more_and_no_oftener(stand: Stand) -> None:
    stand.double.settings.auth = "basic"
    with pytest.raises(RefusedError):
        stand.ask(alta, *AUTHS["client-credentials"])
    assert stand.double.tokens_given == 2
    assert stand.paths() == ["/alta-lead"] * 2


@pytest.mark.parametrize("kind", ["cut", "server-error", "html", "refused"])
def test_if_no_token_can_be_had_the_alta_surely_did_not_happen(stand: Stand, kind: str) -> None:
    stand.double.settings.auth = "client-credentials"
    stand.double.quirks.add(kind, "/oauth/token", times=9)
    with pytest.raises(CallError) as caught:
        stand.ask(alta, *AUTHS["client-credentials"])
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert not caught.value.may_have_happened
    assert stand.paths() == []


@pytest.mark.parametrize(
    ("told", "asked"),
    [({"expires_in": 3600}, 1), ({"expires_in": "3600"}, 1), ({}, 1), ({"expires_in": 120}, 2), ({"expires_in": 0}, 2)],
)
def test_a_token_is_kept_until_shortly_before_its_end(told: dict[str, Any], asked: int) -> None:
    given = []
    now = 1000.0

    def answer(request: httpx2.Request) -> httpx2.Response:
        given.append(request)
        return httpx2.Response(200, json={"access_token": f"t{len(given)}", **told})

    async def act() -> None:
        nonlocal now
        async with Caller("https://api.example.test", transport=httpx2.MockTransport(answer)) as caller:
            token = ClientCredentials(caller, "https://login.example.test/token", "a", "b", clock=lambda: now)
            assert await token.headers() == {"Authorization": "Bearer t1"}
            now += 100
            await token.headers()
            assert len(given) == asked
            now += 3600
            assert await token.headers() == {"Authorization": f"Bearer t{asked + 1}"}

    asyncio.run(act())
    assert given[0].url.host == "login.example.test"


@pytest.mark.parametrize("token", [None, "", 7, "a\r\nb", "ü"])
def test_an_unusable_token_is_an_error(stand: Stand, token: Any) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"access_token": token}))
    with pytest.raises(UnusableAnswerError, match="no access token"):
        stand.ask(alta, *AUTHS["client-credentials"], transport=transport)


def test_paths_and_methods_are_settings() -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.method, str(request.url), request.read()))
        return httpx2.Response(200, json={"status": "OK", "leadId": "900123"})

    settings = {
        "base_url": "https://api.example.test/leads/v1",
        "client_data_path": "/cliente",
        "client_data_method": "GET",
        "alta_path": "/lead",
        "alta_method": "PUT",
        "update_path": "/lead/estado",
        "update_method": "PATCH",
    }

    async def act(client: AllianzClient) -> None:
        await check(client)
        await alta(client)
        await update(client)

    Stand(Allianz(), "").ask(act, settings, transport=httpx2.MockTransport(answer))
    assert [one[:2] for one in asked] == [
        ("GET", f"https://api.example.test/leads/v1/cliente?nif={CLIENT}"),
        ("PUT", "https://api.example.test/leads/v1/lead"),
        ("PATCH", "https://api.example.test/leads/v1/lead/estado"),
    ]
    assert asked[0][2] == b""


def test_consent_is_a_json_word_in_parameters_too() -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params["acceptTerms"])
        return httpx2.Response(200, json={"leadId": "900123"})

    settings = {"base_url": "https://api.example.test", "alta_method": "GET"}
    Stand(Allianz(), "").ask(alta, settings, transport=httpx2.MockTransport(answer))
    assert asked == ["true"]


def test_a_host_must_be_given_and_be_an_address(bench: Bench) -> None:
    for settings in ({}, {"base_url": "api.example.test"}):
        with pytest.raises(SettingError, match="base_url"):
            client_for(bench.source("allianz", settings=settings))


def test_no_person_and_no_credential_is_in_an_error_or_a_log(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.double.settings.auth = "basic"
    shown = []
    with caplog.at_level(logging.DEBUG, "app"):
        for kind in ("refused", "server-error", "html", "cut", "empty", "moved"):
            for call in (alta, check, update):
                stand.double.quirks.add(kind, times=3)
                with pytest.raises(CallError) as caught:
                    stand.ask(call, *AUTHS["basic"])
                shown += [str(caught.value), repr(caught.value)]
                stand.double.quirks.clear()
    text = caplog.text + " ".join(shown)
    assert not [value for value in (*PERSONAL, PASSWORD, "erika") if value in text]


def test_a_slow_client_data_is_a_transient_error(stand: Stand) -> None:
    stand.double.quirks.add("slow", "/client-data", times=9, seconds=10.0)
    with pytest.raises(TimedOutError) as caught:
        stand.ask(check, answer_seconds=0.1)
    assert isinstance(caught.value, TransientCallError)


def test_the_double_is_driven_over_http(stand: Stand) -> None:
    def post(path: str, said: Any = None) -> httpx2.Response:
        return httpx2.post(stand.url + path, json=said, trust_env=False)

    assert post("/double/settings", {"auth": "client-credentials"}).json()["auth"] == "client-credentials"
    assert post("/double/settings", {"nothing": 1}).status_code == 422
    stand.ask(check, *AUTHS["client-credentials"])
    post("/double/expire")
    assert stand.double.tokens == set()


def test_the_double_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "tests.doubles.allianz", "--port", "0", "--auth", "basic"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            lead_id = Stand(Allianz(), url).ask(alta, *AUTHS["basic"]).lead_id
            state = httpx2.get(f"{url}/double/state", trust_env=False).json()
            assert list(state["leads"]) == [lead_id]
        finally:
            process.terminate()
