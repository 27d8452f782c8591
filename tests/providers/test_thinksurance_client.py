"""Shows each call of the client against a double of Thinksurance over real HTTP, quirks included."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.ingest.contract import Mode, Verdict
from app.providers.calling import (
    CallError,
    NotJsonAnswerError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    TransientCallError,
    UnreachableError,
    UnusableAnswerError,
)
from app.providers.checking import InvalidRequestError
from app.providers.thinksurance import find
from app.providers.thinksurance.calls import ThinksuranceClient, client_for
from app.providers.thinksurance.calls.session import Credentials, LoginRefusedError
from app.providers.thinksurance.calls.v1 import ThinksuranceV1, find_v1_base_url
from tests.doubles.asking import CREDENTIALS, Stage, Stand, staged
from tests.doubles.serving import Served, serve
from tests.doubles.thinksurance_documents import PDF
from tests.doubles.thinksurance_world import ACCOUNT_TOKEN, BROKER_TOKEN, USER_HASH, USER_SECRET

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

TOKENS = "/api/ipn/tokens"
FORWARD = "/api/ipn/brokers/forward"
SMALL: dict[str, Any] = {"type": 1, "bExternalId": "42"}
INSTANT = SMALL | {
    "cExternalId": "K-1001",
    "cLastName": "Probeweiß",
    "productId": 88,
    "professionId": 311,
    "instantInquiryCreation": "True",
    "cExternalReferences": [{"origin": "crm", "paramKey": "oV-Kunden-Nr", "paramValue": "900017"}],
    "iExternalReferences": [{"origin": "broker_crm", "paramKey": "Vorgang", "paramValue": "A-77"}],
}
BROKER = {"type": 1, "bExternalId": "43", "bEmail": "erika@makler.example.test", "bLastName": "Beispiel"}
NUMBER = {"agencyNumber": "V-1", "defaultForTenders": False, "defaultForCalculations": True, "active": True}
NUMBERS = {
    "agencyNumberSets": [
        {
            "insurerId": "5036",
            "agencyNumbers": [NUMBER | {"externalUniqueId": "U-1"}, NUMBER | {"externalUniqueId": "U-2"}],
        }
    ]
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One server for all."""
    with staged() as stage:
        yield stage


@pytest.fixture
def stand(stage: Stage) -> Stand:
    """A fresh double."""
    return stage.fresh()


class Callbox:
    """Hears what is called back."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def hear(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        return JSONResponse({})


@pytest.fixture(scope="module")
def listening() -> Iterator[tuple[Callbox, Served]]:
    """Something that can be called back."""
    callbox = Callbox()
    with serve(Starlette(routes=[Route("/callbacks/{name}", callbox.hear, methods=["POST"])])) as served:
        yield callbox, served


@pytest.fixture
def callbox(listening: tuple[Callbox, Served]) -> Callbox:
    """What heard nothing yet."""
    listening[0].bodies.clear()
    return listening[0]


def test_a_forward_brings_the_address_of_the_switch_and_never_follows_it(stand: Stand) -> None:
    forwarded = stand.ask(lambda client: client.forward(SMALL))
    assert forwarded.url.startswith(f"{stand.url}/switch/")
    assert (forwarded.inquiry_id, forwarded.inquiry_hash, forwarded.warnings) == (None, None, ())
    assert stand.heard(FORWARD) == [SMALL]
    assert [one.path for one in stand.double.heard] == [TOKENS, FORWARD]
    assert not any(switch["used"] for switch in stand.double.world.switches.values())


def test_calls_carry_session_and_broker_as_headers(stand: Stand) -> None:
    stand.ask(lambda client: client.forward(SMALL))
    login, forward = stand.double.heard
    assert login.body == {"hash": USER_HASH, "secret": USER_SECRET}
    assert "authorization" not in login.headers
    (token,) = stand.double.world.sessions
    assert forward.headers["authorization"] == f"Bearer {token}"
    assert forward.headers["x-broker-token"] == BROKER_TOKEN
    assert forward.headers["content-type"] == forward.headers["accept"] == "application/json"


def test_a_forward_registers_where_to_call_back(stand: Stand) -> None:
    url, test_url = "https://hooks.example.test/callbacks/a", "https://hooks.example.test/callbacks/b"
    stand.ask(lambda client: client.forward(SMALL, callback_url=url))
    broker = stand.double.world.brokers[BROKER_TOKEN]
    assert broker.callback_urls() == [url]
    stand.ask(lambda client: client.forward(SMALL, callback_url=url, test_callback_url=test_url))
    assert broker.callback_urls() == [url, test_url]
    assert broker.callbacks == {
        "fullCallback": 0,
        "callbackUrl": url,
        "mvpFullCallback": 0,
        "mvpCallbackUrl": test_url,
    }


def test_an_instant_inquiry_is_called_back_signed_and_with_its_references(
    stand: Stand, callbox: Callbox, listening: tuple[Callbox, Served], bench: "Bench"
) -> None:
    stand.double.settings.callback_first = True
    url = f"{listening[1].url}/callbacks/one"
    forwarded = stand.ask(lambda client: client.forward(INSTANT, callback_url=url))
    (inquiry,) = stand.double.world.inquiries.values()
    assert (forwarded.inquiry_id, forwarded.inquiry_hash) == (inquiry.id, inquiry.hash)
    (body,) = callbox.bodies
    source = bench.source(mode=Mode.ENFORCE, secrets=(USER_SECRET,))
    (item,) = find(body, "application/json", source, datetime.now(UTC)).items
    assert item.verdict is Verdict.VERIFIED
    assert item.subject == f"inquiry/{forwarded.inquiry_id}"
    assert item.value["data"]["iExternalReferences"] == INSTANT["iExternalReferences"]
    assert item.value["customer"]["cExternalReferences"] == INSTANT["cExternalReferences"]


def test_an_inquiry_can_be_advanced_and_is_told_again(
    stand: Stand, callbox: Callbox, listening: tuple[Callbox, Served], bench: "Bench"
) -> None:
    stand.double.settings.callback_first = True
    url = f"{listening[1].url}/callbacks/one"
    forwarded = stand.ask(lambda client: client.forward(INSTANT, callback_url=url, test_callback_url=url))
    assert forwarded.inquiry_id is not None
    assert len(callbox.bodies) == 2
    stand.ask(lambda client: client.add_agency_numbers(NUMBERS))

    async def advance() -> list[Any]:
        inquiry = stand.double.world.inquiries[forwarded.inquiry_id or 0]
        inquiry.status = 6
        return [one.answered for one in await stand.double.world.call_back(inquiry)]

    assert asyncio.run(advance()) == [200, 200]
    (statement,) = bench.read("thinksurance", callbox.bodies[-1])
    assert statement.type == "thinksurance.inquiry.ordered"
    inquiry = next(part for part in statement.parts if part.kind == "inquiry")
    assert inquiry.fields["premium_yearly_cents"] == 48790
    assert inquiry.fields["agency_number_external_id"] == "U-2"
    assert any(part.kind == "document" for part in statement.parts)


def test_an_empty_reference_deletes_at_the_platform(stand: Stand) -> None:
    later = INSTANT | {"instantInquiryCreation": "False"}
    gone = later | {"cExternalReferences": [INSTANT["cExternalReferences"][0] | {"paramValue": ""}]}
    stand.ask(lambda client: client.forward(later))
    (customer,) = stand.double.world.customers.values()
    assert customer.references == INSTANT["cExternalReferences"]
    stand.ask(lambda client: client.forward(gone))
    assert customer.references == []


def test_a_wrong_forward_costs_no_call(stand: Stand) -> None:
    with pytest.raises(InvalidRequestError, match="cEmail"):
        stand.ask(lambda client: client.forward(SMALL | {"cEmail": "a@example.test;"}))
    assert stand.double.heard == []


def test_agency_numbers(stand: Stand) -> None:
    added = stand.ask(lambda client: client.add_agency_numbers(NUMBERS))
    assert added.statuses == ("Broker Api: agency number added succesfully.",)
    assert [warning.reason for warning in added.warnings] == ["second-default"]
    assert stand.heard("/api/ipn/agency-numbers") == [NUMBERS]
    assert len(stand.double.world.brokers[BROKER_TOKEN].agency_numbers) == 2
    stand.double.settings.statuses_as_list = True
    other = {"agencyNumberSets": [{"baFinId": "5405", "agencyNumbers": [NUMBER]}]}
    assert stand.ask(lambda client: client.add_agency_numbers(other)).statuses == added.statuses
    with pytest.raises(RefusedError) as caught:
        stand.ask(lambda client: client.add_agency_numbers(NUMBERS))
    assert caught.value.said == "externalUniqueId is used already."


def test_create_broker_and_get_its_token(stand: Stand) -> None:
    created = stand.ask(lambda client: client.create_broker(BROKER))
    assert created.status == "Broker created."
    assert stand.heard("/api/ipn/brokers") == [BROKER]
    for as_list in (False, True):
        stand.double.settings.tokens_as_list = as_list
        (token,) = stand.ask(lambda client: client.get_broker_tokens(BROKER))
        assert (token.token, token.status) == (created.token, "Broker found.")
    assert token.token not in f"{created!r}{token!r}"
    assert stand.ask(lambda client: client.forward(SMALL | {"bExternalId": "43"}, broker_token=token.token)).url
    assert stand.double.heard[-1].headers["x-broker-token"] == token.token
    assert stand.double.heard[-2].path == TOKENS
    with pytest.raises(RefusedError, match="404") as caught:
        stand.ask(lambda client: client.get_broker_tokens(BROKER | {"bExternalId": "44"}))
    assert caught.value.said == "Broker not found."


def test_account_tokens(stand: Stand) -> None:
    (token,) = stand.ask(lambda client: client.get_account_tokens())
    assert (token.token, token.name) == (ACCOUNT_TOKEN, None)
    assert ACCOUNT_TOKEN not in repr(token)
    stand.double.settings.tokens_as_list = True
    (token,) = stand.ask(lambda client: client.get_account_tokens())
    assert (token.token, token.name) == (ACCOUNT_TOKEN, "Musterpool")
    stand.double.settings.account_tokens_by_post = True
    assert stand.ask(lambda client: client.get_account_tokens()) == (token,)


def test_products_and_professions(stand: Stand) -> None:
    products = stand.ask(lambda client: client.get_products())
    assert [(one.id, one.name) for one in products] == [(81, "Betriebshaftpflicht"), (88, "Firmenrechtsschutz")]
    assert len(stand.ask(lambda client: client.get_products(profession_id=311))) == 1
    assert stand.double.heard[-1].query == {"professionId": "311"}
    professions = stand.ask(lambda client: client.get_professions())
    assert [(one.id, one.name) for one in professions] == [(311, "Tischlerei"), (455, "Gasthof")]


def test_pulls_in_all_forms(stand: Stand, bench: "Bench") -> None:
    for form in ("object", "list"):
        stand.double.settings.empty_form = form
        assert stand.ask(lambda client: client.pull_inquiries(last_days=1)).count == 0
    number = stand.ask(lambda client: client.forward(INSTANT)).inquiry_id
    assert number is not None
    stand.ask(lambda client: client.forward(INSTANT))
    for form in ("dictionary", "list"):
        stand.double.settings.pull_form = form
        pulled = stand.ask(lambda client: client.pull_inquiries(last_days=1))
        assert pulled.count == 2
        assert len(bench.read("thinksurance", pulled.body)) == 2
        assert "Probeweiß" not in repr(pulled)
        assert stand.double.heard[-1].query == {"lastDays": "1"}
    assert stand.ask(lambda client: client.pull_inquiries(inquiry_id=number)).count == 1
    assert stand.double.heard[-1].query == {"inquiryId": str(number)}
    pulled = stand.ask(lambda client: client.pull_inquiry(number))
    (statement,) = bench.read("thinksurance", pulled.body)
    assert statement.subject == f"inquiry/{number}"
    with pytest.raises(RefusedError):
        stand.ask(lambda client: client.pull_inquiry(1))


@pytest.mark.parametrize("form", ["base64", "lines", "json", "quoted", "bytes"])
def test_a_document_is_unwrapped(stand: Stand, form: str) -> None:
    stand.double.settings.document_form = form
    number = stand.ask(lambda client: client.forward(INSTANT)).inquiry_id
    came: list[bytes] = []
    stand.ask(lambda client: client.get_document(f"{number:x}a90c17ff", came.append))
    assert b"".join(came) == PDF
    came.clear()
    older = partial(ThinksuranceV1.get_document, broker_token=BROKER_TOKEN)
    stand.ask(lambda client: older(client.v1, f"{number:x}a90c17ff", came.append))
    assert b"".join(came) == PDF
    assert stand.heard("/api/token") == [{"hash": USER_HASH, "secret": USER_SECRET}]
    with pytest.raises(RefusedError):
        stand.ask(lambda client: client.get_document("unknown", came.append))


def test_a_session_that_expired_is_renewed_for_a_document(stand: Stand) -> None:
    number = stand.ask(lambda client: client.forward(INSTANT)).inquiry_id
    came: list[bytes] = []

    async def twice(client: ThinksuranceClient) -> None:
        await client.get_document(f"{number:x}a90c17ff", came.append)
        stand.double.world.expire_sessions()
        await client.get_document(f"{number:x}a90c17ff", came.append)

    stand.ask(twice)
    assert b"".join(came) == PDF + PDF


@pytest.mark.parametrize("document_id", ["", "../tokens", "a/b", "a?b", "..", "ä", "a" * 201])
def test_what_is_no_hash_is_never_put_into_a_path(stand: Stand, document_id: str) -> None:
    came: list[bytes] = []
    with pytest.raises(InvalidRequestError, match="documentId"):
        stand.ask(lambda client: client.get_document(document_id, came.append))
    with pytest.raises(InvalidRequestError, match="documentId"):
        stand.ask(lambda client: client.v1.get_document(document_id, came.append, broker_token="b"))
    assert stand.double.heard == []


@pytest.mark.parametrize(
    ("base_url", "older"),
    [
        ("https://ipn.thinksurance.de", "https://app.thinksurance.de"),
        ("https://ipn.dev.thinksurance.de", "https://app.dev.thinksurance.de"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_where_v1_is(base_url: str, older: str) -> None:
    assert find_v1_base_url(base_url) == older


Call = Callable[[ThinksuranceClient], Awaitable[object]]
CALLS: dict[str, tuple[str, Call, bool]] = {
    "forward": (FORWARD, lambda client: client.forward(SMALL), True),
    "forward that creates": (FORWARD, lambda client: client.forward(INSTANT), False),
    "agency numbers": ("/api/ipn/agency-numbers", lambda client: client.add_agency_numbers(NUMBERS), False),
    "create broker": ("/api/ipn/brokers", lambda client: client.create_broker(BROKER), False),
    "broker tokens": (
        "/api/ipn/brokers/tokens",
        lambda client: client.get_broker_tokens(BROKER | {"bExternalId": "42"}),
        True,
    ),
    "account tokens": ("/api/ipn/account/tokens", lambda client: client.get_account_tokens(), True),
    "products": ("/api/ipn/products", lambda client: client.get_products(), True),
    "professions": ("/api/ipn/professions", lambda client: client.get_professions(), True),
    "pull": ("/api/ipn/inquiries", lambda client: client.pull_inquiries(), True),
    "log in": (TOKENS, lambda client: client.log_in(), True),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["error", "refused", "not-found"])
def test_an_error_is_one_whatever_its_status_and_its_words_are_for_the_caller_alone(
    stand: Stand, name: str, kind: str
) -> None:
    path, call, _ = CALLS[name]
    stand.double.quirks.add(kind, path, times=9)
    with pytest.raises(RefusedError) as caught:
        stand.ask(call)
    assert caught.value.status == {"error": 200, "refused": 400, "not-found": 404}[kind]
    assert caught.value.said == "Something is wrong with erika.beispiel@example.test."
    assert "erika" not in f"{caught.value} {caught.value!r} {caught.value.answer!r}"
    assert not caught.value.may_have_happened
    assert isinstance(caught.value, LoginRefusedError) is (name == "log in")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["server-error", "html", "html-error", "cut"])
def test_what_may_have_happened_is_repeated_only_where_it_does_no_harm(stand: Stand, name: str, kind: str) -> None:
    path, call, repeatable = CALLS[name]
    stand.double.quirks.add(kind, path, acted=True)
    if repeatable:
        stand.ask(call)
        assert len(stand.heard(path)) == 2
        return
    outcome = {"html": NotJsonAnswerError, "cut": UnreachableError}.get(kind, ServerFailedError)
    with pytest.raises(outcome) as caught:
        stand.ask(call)
    assert isinstance(caught.value, TransientCallError)
    assert caught.value.may_have_happened
    assert len(stand.heard(path)) == 1


@pytest.mark.parametrize("name", CALLS)
def test_what_surely_did_not_happen_is_repeated_for_all(stand: Stand, name: str) -> None:
    path, call, _ = CALLS[name]
    stand.double.quirks.add("busy", path, times=2)
    stand.ask(call)
    assert len(stand.heard(path)) == 1


def test_a_slow_creation_is_of_unknown_outcome_and_sent_once(stand: Stand) -> None:
    stand.double.quirks.add("slow", FORWARD, seconds=20.0)
    with pytest.raises(TimedOutError) as caught:
        stand.ask(lambda client: client.forward(INSTANT), answer_seconds=1.0)
    assert caught.value.may_have_happened


def test_nobody_there(stand: Stand) -> None:
    nobody = Stand(stand.double, "http://127.0.0.1:9")
    with pytest.raises(UnreachableError) as caught:
        nobody.ask(lambda client: client.get_products())
    assert not caught.value.may_have_happened


def test_whose_token_is_sent(stand: Stand) -> None:
    def ask(call: Call, b_tokens: tuple[str, ...], a_tokens: tuple[str, ...]) -> tuple[str | None, str | None]:
        credentials = Credentials(USER_HASH, USER_SECRET, b_tokens, a_tokens)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stand.double.world, "account_token", "a")
            stand.ask(call, credentials=credentials)
        headers = stand.double.heard[-1].headers
        return headers.get("x-broker-token"), headers.get("x-account-token")

    def pull(client: ThinksuranceClient) -> Awaitable[object]:
        return client.pull_inquiries()

    assert ask(pull, (BROKER_TOKEN,), ("a",)) == (BROKER_TOKEN, None)
    assert ask(pull, (), ("a",)) == (None, "a")
    assert ask(pull, (BROKER_TOKEN, "other"), ("a",)) == (None, "a")
    assert ask(lambda client: client.pull_inquiries(account_token="a"), (BROKER_TOKEN,), ()) == (None, "a")
    both = ask(lambda client: client.pull_inquiries(broker_token=BROKER_TOKEN, account_token="a"), (), ())
    assert both == (BROKER_TOKEN, "a")
    assert ask(lambda client: client.forward(SMALL, broker_token=BROKER_TOKEN), ("x", "y"), ()) == (BROKER_TOKEN, None)


@pytest.mark.parametrize(
    ("call", "held", "header"),
    [
        (lambda client: client.forward(SMALL), ((), ("a",)), "X-Broker-Token"),
        (lambda client: client.forward(SMALL), (("x", "y"), ()), "X-Broker-Token"),
        (lambda client: client.create_broker(BROKER), (("x",), ()), "X-Account-Token"),
        (lambda client: client.pull_inquiries(), ((), ()), "X-Broker-Token"),
        (lambda client: client.forward(SMALL, broker_token="a\r\nX: b"), ((), ()), "X-Broker-Token"),
        (lambda client: client.forward(SMALL, broker_token="ä"), ((), ()), "X-Broker-Token"),
    ],
)
def test_a_token_that_is_lacking_or_unclear_is_asked_for(
    stand: Stand, call: Call, held: tuple[tuple[str, ...], tuple[str, ...]], header: str
) -> None:
    with pytest.raises(InvalidRequestError, match=header):
        stand.ask(call, credentials=Credentials(USER_HASH, USER_SECRET, *held))
    assert stand.double.heard == []


def test_a_client_is_made_of_a_source(stand: Stand, bench: "Bench") -> None:
    credentials = {"hash": (USER_HASH,), "secret": (USER_SECRET,), "b_token": (BROKER_TOKEN,)}
    source = bench.source(credentials=credentials, settings={"base_url": stand.url})

    async def asked() -> str:
        async with client_for(source) as client:
            return (await client.forward(SMALL)).url

    assert asyncio.run(asked()).startswith(stand.url)
    for name in ("hash", "secret"):
        for value in ((), ("one", "two")):
            with pytest.raises(ValueError, match=name):
                client_for(bench.source(credentials=credentials | {name: value}))
    with pytest.raises(ValueError, match="base_url"):
        client_for(bench.source(credentials=credentials, settings={"base_url": "nowhere"}))


def test_credentials_show_nothing() -> None:
    assert repr(CREDENTIALS) == "Credentials()"


def test_a_double_refuses_as_the_pages_say_without_the_client_s_help(stand: Stand) -> None:
    wrong: list[tuple[Call, str]] = [
        (lambda client: client._call("x", "POST", FORWARD, json={}, headers=HEAD, repeatable=False), "type"),
        (
            lambda client: client._call(
                "x", "POST", FORWARD, json=SMALL | {"fullCallback": 0}, headers=HEAD, repeatable=False
            ),
            "callbackUrl",
        ),
        (
            lambda client: client._call(
                "x", "POST", FORWARD, json=SMALL | {"instantInquiryCreation": "True"}, headers=HEAD, repeatable=False
            ),
            "cExternalId",
        ),
        (lambda client: client.forward(SMALL, broker_token="other"), "Broker"),
        (lambda client: client.create_broker(BROKER, account_token="other"), "Account"),
        (lambda client: client.create_broker(BROKER | {"bExternalId": "42"}), "exists"),
    ]
    for call, said in wrong:
        with pytest.raises(CallError) as caught:
            stand.ask(call)
        assert said in (caught.value.said or "")


HEAD = {"X-Broker-Token": BROKER_TOKEN}


def test_a_redirect_of_the_api_is_told(stand: Stand) -> None:
    stand.double.quirks.add("moved", FORWARD)
    with pytest.raises(UnusableAnswerError):
        stand.ask(lambda client: client.forward(SMALL))
