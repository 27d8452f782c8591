"""Shows how tolerantly answers are read, and what is still not taken for one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
import pytest
import stamina

from app.providers.calling import RefusedError, UnusableAnswerError
from app.providers.thinksurance.calls import ThinksuranceClient
from tests.doubles.asking import CREDENTIALS

FORWARD = {"type": 1, "bExternalId": "42"}
BROKER = {"type": 1, "bExternalId": "43", "bEmail": "erika@makler.example.test", "bLastName": "Beispiel"}
NUMBER = {"agencyNumber": "V-1", "defaultForTenders": False, "defaultForCalculations": True, "active": True}
NUMBERS = {"agencyNumberSets": [{"insurerId": "5036", "agencyNumbers": [NUMBER]}]}
URL = "https://switch.example.test/secret"

Answered = TypeVar("Answered")


def ask(call: Callable[[ThinksuranceClient], Awaitable[Answered]], answer: Any = None, **how: Any) -> Answered:
    """Return what a call makes of an answer: JSON, or httpx's arguments."""

    def transport(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/ipn/tokens"):
            return httpx2.Response(200, json={"token": "t"})
        return httpx2.Response(200, **(how or {"json": answer}))

    async def asked() -> Answered:
        async with ThinksuranceClient(CREDENTIALS, transport=httpx2.MockTransport(transport)) as client:
            return await call(client)

    with stamina.set_testing(True):
        return asyncio.run(asked())


@pytest.mark.parametrize(
    ("answer", "inquiry_id", "inquiry_hash"),
    [
        ({"url": URL}, None, None),
        ({"url": URL, "inquiryId": 5, "inquiryHash": "abc"}, 5, "abc"),
        ({"url": URL, "inquiryId": "5", "inquiryHash": 77, "more": {"a": 1}}, 5, "77"),
        ({"url": f" {URL}\n", "inquiryId": None, "inquiryHash": ""}, None, None),
        ({"url": URL, "inquiryId": "none", "inquiryHash": []}, None, None),
        ({"url": URL, "error": ""}, None, None),
        ({"url": URL, "error": None}, None, None),
    ],
)
def test_a_forward_s_answer(answer: dict[str, Any], inquiry_id: int | None, inquiry_hash: str | None) -> None:
    forwarded = ask(lambda client: client.forward(FORWARD), answer)
    assert (forwarded.url, forwarded.inquiry_id, forwarded.inquiry_hash) == (URL, inquiry_id, inquiry_hash)


@pytest.mark.parametrize("answer", [{}, [], {"inquiryId": 5}, {"url": ""}, {"url": None}, [URL], "text"])
def test_a_forward_without_url_may_have_happened(answer: object) -> None:
    with pytest.raises(UnusableAnswerError) as caught:
        ask(lambda client: client.forward(FORWARD), answer)
    assert caught.value.may_have_happened


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "no"}, "no"),
        ({"error": ""}, ""),
        ({"error": None}, "null"),
        ({"error": {"code": 5}}, '{"code":5}'),
        ({"error": ["a", "b"], "url": URL}, '["a","b"]'),
        ({"error": "x" * 2000}, "x" * 1000),
        ({"error": "at https://hooks.example.test/cbt_" + "a" * 43}, None),
    ],
)
def test_an_error_is_one_in_every_form(answer: object, said: str | None) -> None:
    with pytest.raises(RefusedError) as caught:
        ask(lambda client: client.forward(FORWARD), answer)
    assert caught.value.said is not None
    assert "a" * 43 not in caught.value.said
    assert said is None or caught.value.said == said


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        ({"status": "added"}, ("added",)),
        ([{"status": "one"}, {"status": "two", "more": 1}], ("one", "two")),
        ({"0": {"status": "one"}, "1": {"status": "two"}}, ("one", "two")),
        ([], ()),
        ({}, ()),
    ],
)
def test_agency_numbers_are_answered_once_or_in_a_list(answer: object, statuses: tuple[str, ...]) -> None:
    assert ask(lambda client: client.add_agency_numbers(NUMBERS), answer).statuses == statuses


def test_one_error_among_statuses_is_a_refusal_of_which_a_part_may_have_happened() -> None:
    with pytest.raises(RefusedError) as caught:
        ask(lambda client: client.add_agency_numbers(NUMBERS), [{"status": "one"}, {"error": "no"}])
    assert caught.value.said == "no"
    assert caught.value.may_have_happened


def test_a_created_broker_s_answer_is_unknown_so_little_is_asked_of_it() -> None:
    created = ask(lambda client: client.create_broker(BROKER), {"status": "ok"})
    assert (created.token, created.status) == (None, "ok")
    assert ask(lambda client: client.create_broker(BROKER), [{"bToken": "b"}]).token == "b"
    with pytest.raises(UnusableAnswerError):
        ask(lambda client: client.create_broker(BROKER), "created")


@pytest.mark.parametrize("answer", [{}, [], {"status": "ok"}, [{"bToken": ""}], {"aToken": None}, 5])
def test_tokens_without_a_token_are_unusable(answer: object) -> None:
    with pytest.raises(UnusableAnswerError):
        ask(lambda client: client.get_broker_tokens(BROKER), answer)
    with pytest.raises(UnusableAnswerError):
        ask(lambda client: client.get_account_tokens(), answer)


@pytest.mark.parametrize(
    ("answer", "entries"),
    [
        ([{"id": 81, "name": "A"}, {"id": "88", "name": "B", "more": 1}], [(81, "A"), (88, "B")]),
        ({"0": {"id": 81, "name": "A"}}, [(81, "A")]),
        ([{"id": None, "name": "A"}, {"id": 1}, {"name": "B"}, 7, None], []),
        ([], []),
        ({}, []),
    ],
)
def test_catalogs_keep_what_has_id_and_name(answer: object, entries: list[tuple[int, str]]) -> None:
    for call in (ThinksuranceClient.get_products, ThinksuranceClient.get_professions):
        assert [(one.id, one.name) for one in ask(call, answer)] == entries


@pytest.mark.parametrize("answer", [{"products": []}, "none", 5])
def test_what_is_no_list_is_no_catalog(answer: object) -> None:
    with pytest.raises(UnusableAnswerError):
        ask(lambda client: client.get_products(), answer)


def test_what_holds_no_notification_is_no_pull() -> None:
    with pytest.raises(UnusableAnswerError):
        ask(lambda client: client.pull_inquiries(), {"something": 1})
    with pytest.raises(UnusableAnswerError):
        ask(lambda client: client.pull_inquiry(5), "text")


def test_a_pull_keeps_the_bytes_as_they_came() -> None:
    body = b' {"5": {"sHash": "x", "data": {"iId": 5 }}} '
    pulled = ask(lambda client: client.pull_inquiries(), content=body, headers={"Content-Type": "text/html"})
    assert (pulled.body, pulled.content_type, pulled.count) == (body, "text/html", 1)
