"""Shows what all calls to platforms share: what is tried again, what an error says, and what it never says."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
import stamina
import stamina.instrumentation
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.providers.calling import (
    MAX_ANSWER_BYTES,
    Answer,
    Caller,
    CallError,
    NotJsonAnswerError,
    PermanentCallError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    TransientCallError,
    UnreachableError,
    UnusableAnswerError,
)
from tests.doubles.quirks import Quirks
from tests.doubles.serving import Served, serve

PERSON = "erika.beispiel@example.test"
TRIES = 3


class Platform:
    """Counts what it is asked and answers from a list, the last one again and again."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.asked: list[httpx2.Request] = []
        self._answers = answers

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self._answers[min(len(self.asked), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, *, repeatable: bool = True, wants_json: bool = True, **how: Any) -> Answer:
        async def asked() -> Answer:
            async with Caller("https://api.example.test", transport=httpx2.MockTransport(self)) as caller:
                return await caller.send(
                    "test.call",
                    "POST",
                    "/x",
                    json={"email": PERSON},
                    repeatable=repeatable,
                    wants_json=wants_json,
                    **how,
                )

        with stamina.set_testing(True, attempts=TRIES):
            return asyncio.run(asked())


def test_an_answer_is_read_and_shows_nothing_of_itself() -> None:
    platform = Platform(httpx2.Response(200, json={"email": PERSON}))
    answer = platform.ask(headers={"X-One": "1"}, params={"q": 5})
    assert answer.value == {"email": PERSON}
    assert PERSON not in repr(answer)
    (request,) = platform.asked
    assert (request.method, str(request.url)) == ("POST", "https://api.example.test/x?q=5")
    assert request.headers["x-one"] == "1"
    assert request.headers["content-type"] == "application/json"
    assert request.read() == b'{"email":"erika.beispiel@example.test"}'


def test_json_is_read_as_tolerantly_as_a_delivery() -> None:
    assert Platform(httpx2.Response(200, content=b'\xef\xbb\xbf{"a": 1}')).ask().value == {"a": 1}


def test_a_form_is_sent_as_one() -> None:
    platform = Platform(httpx2.Response(200, json={}))

    async def asked() -> None:
        async with Caller("https://api.example.test", transport=httpx2.MockTransport(platform)) as caller:
            await caller.send("test.call", "POST", "https://login.example.test/t", form={"a": "b"}, repeatable=True)

    asyncio.run(asked())
    assert platform.asked[0].url.host == "login.example.test"
    assert platform.asked[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert platform.asked[0].read() == b"a=b"


PAGE = "<!doctype html><h1>Bad gateway</h1>"
TRANSIENT = [
    (httpx2.Response(500, json={}), ServerFailedError, True),
    (httpx2.Response(503, text=PAGE), ServerFailedError, True),
    (httpx2.Response(408, json={}), ServerFailedError, True),
    (httpx2.Response(429, json={}), ServerFailedError, False),
    (httpx2.Response(425, json={}), ServerFailedError, False),
    (httpx2.Response(200, html=PAGE), NotJsonAnswerError, True),
    (httpx2.Response(200, content=b""), NotJsonAnswerError, True),
    (httpx2.ConnectError("x"), UnreachableError, False),
    (httpx2.ProxyError("x"), UnreachableError, False),
    (httpx2.ConnectTimeout("x"), TimedOutError, False),
    (httpx2.PoolTimeout("x"), TimedOutError, False),
    (httpx2.ReadTimeout("x"), TimedOutError, True),
    (httpx2.WriteTimeout("x"), TimedOutError, True),
    (httpx2.ReadError("x"), UnreachableError, True),
    (httpx2.RemoteProtocolError("x"), UnreachableError, True),
]


@pytest.mark.parametrize(("answer", "kind", "happened"), TRANSIENT, ids=lambda value: str(value)[:60])
def test_what_could_pass_is_tried_again_only_where_a_repeat_is_harmless(
    answer: httpx2.Response | Exception, kind: type[CallError], happened: bool
) -> None:
    for repeatable, tries in ((True, TRIES), (False, 1 if happened else TRIES)):
        platform = Platform(answer)
        with pytest.raises(kind) as caught:
            platform.ask(repeatable=repeatable)
        assert isinstance(caught.value, TransientCallError)
        assert caught.value.retry_could_help
        assert caught.value.may_have_happened is happened
        assert len(platform.asked) == tries


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(403, html=PAGE),
        httpx2.Response(503, json={}, headers={"Retry-After": "11"}),
        httpx2.Response(429, json={}, headers={"Retry-After": "9" * 400}),
    ],
    ids=lambda answer: answer.status_code,
)
def test_who_says_no_or_wants_to_be_left_alone_is_not_asked_again_at_once(answer: httpx2.Response) -> None:
    platform = Platform(answer)
    with pytest.raises(TransientCallError) as caught:
        platform.ask()
    assert caught.value.retry_could_help
    assert len(platform.asked) == 1


def test_a_401_is_a_refusal_whatever_page_it_brings() -> None:
    platform = Platform(httpx2.Response(401, html=PAGE))
    with pytest.raises(RefusedError):
        platform.ask()
    assert len(platform.asked) == 1


def test_a_later_try_can_succeed() -> None:
    platform = Platform(httpx2.Response(503, json={}), httpx2.ReadError("x"), httpx2.Response(200, json=[1]))
    assert platform.ask().value == [1]
    assert len(platform.asked) == TRIES


@pytest.mark.parametrize("last", [httpx2.ConnectError("x"), httpx2.Response(400, json={"error": "exists already"})])
def test_an_earlier_try_may_have_happened_whatever_is_said_to_the_last(last: httpx2.Response | Exception) -> None:
    with pytest.raises(CallError) as caught:
        Platform(httpx2.ReadTimeout("x"), last).ask()
    assert caught.value.may_have_happened
    with pytest.raises(CallError) as caught:
        Platform(httpx2.ConnectTimeout("x"), last).ask()
    assert not caught.value.may_have_happened


PERMANENT = [
    (httpx2.Response(400, json={"error": PERSON}), RefusedError, True),
    (httpx2.Response(404, content=b""), RefusedError, True),
    (httpx2.Response(422, json={"detail": {"errors": []}}), RefusedError, True),
    (httpx2.Response(302, headers={"Location": "https://elsewhere.example.test"}), UnusableAnswerError, True),
    (httpx2.Response(200, content=b"1" * (MAX_ANSWER_BYTES + 1)), UnusableAnswerError, True),
]


@pytest.mark.parametrize(("answer", "kind", "has_answer"), PERMANENT, ids=["400", "404", "422", "redirect", "too long"])
def test_what_will_not_pass_is_not_tried_again(
    answer: httpx2.Response, kind: type[CallError], has_answer: bool
) -> None:
    platform = Platform(answer)
    with pytest.raises(kind) as caught:
        platform.ask()
    assert isinstance(caught.value, PermanentCallError)
    assert not caught.value.retry_could_help
    assert caught.value.status == answer.status_code
    assert (caught.value.answer is not None) is has_answer
    assert len(platform.asked) == 1


def test_an_empty_204_is_an_answer() -> None:
    assert Platform(httpx2.Response(204)).ask().value is None


def test_where_no_json_is_wanted_an_error_is_still_one() -> None:
    assert Platform(httpx2.Response(200, content=b"JVBERi0=")).ask(wants_json=False).body == b"JVBERi0="
    with pytest.raises(RefusedError):
        Platform(httpx2.Response(404, json={"error": "no"})).ask(wants_json=False)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("3", 3.0),
        ("0", None),
        ("9" * 400, 86_400.0),
        ("-1", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:07 GMT", 7.0),
        ("Wednesday, 21-Oct-26 07:28:07 GMT", 7.0),
        ("Wed Oct 21 07:28:07 2026", 7.0),
        ("Wed, 21 Oct 2026 07:27:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
    ],
)
def test_a_told_wait_is_read_as_seconds_or_as_a_date(told: str, kept: float | None) -> None:
    headers = {"Retry-After": told, "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    with pytest.raises(ServerFailedError) as caught:
        Platform(httpx2.Response(503, json={}, headers=headers)).ask()
    assert caught.value.wait_seconds == kept


def test_a_date_is_compared_with_our_clock_where_the_answer_has_none() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    with pytest.raises(ServerFailedError) as caught:
        Platform(httpx2.Response(429, json={}, headers={"Retry-After": until})).ask()
    assert 500 < (caught.value.wait_seconds or 0) <= 600


def test_what_an_answer_quotes_of_the_secrets_is_not_shown() -> None:
    basic = base64.b64encode("käthe:pass wörd/1".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "X-Broker-Token": "tok+en/4711=="}
    said = {
        "error": f"Basic {basic} is not good",
        "password": "pass wörd/1",
        "next": ["https://x.test/?p=pass%20w%C3%B6rd%2F1&t=tok%2Ben%2F4711%3D%3D", "?t=tok%2ben%2f4711%3d%3d", 7],
        "of tok+en/4711==": None,
        "content": "application/json",
    }
    with pytest.raises(RefusedError) as caught:
        Platform(httpx2.Response(403, json=said)).ask(headers=headers)
    answer = caught.value.answer
    assert answer is not None
    assert answer.value == said
    assert answer.shown == {
        "error": "*** is not good",
        "password": "***",
        "next": ["https://x.test/?p=***&t=***", "?t=***", 7],
        "of ***": None,
        "content": "application/json",
    }
    assert "4711" not in repr(answer)


def test_json_that_takes_long_to_read_keeps_nothing_else_waiting() -> None:
    ticks = 0

    async def asked() -> None:
        reading = asyncio.create_task(platform_call())
        nonlocal ticks
        while not reading.done():
            await asyncio.sleep(0)
            ticks += 1
        with pytest.raises(NotJsonAnswerError):
            await reading

    async def platform_call() -> None:
        answers = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"[" * 300_000))
        async with Caller("https://api.example.test", transport=answers) as caller:
            await caller.send("test.call", "GET", "/x", repeatable=False)

    asyncio.run(asked())
    assert ticks > 20


@pytest.fixture
def retries() -> Iterator[list[stamina.instrumentation.RetryDetails]]:
    """What stamina would log of each retry."""
    seen: list[stamina.instrumentation.RetryDetails] = []

    def note(details: stamina.instrumentation.RetryDetails) -> None:
        seen.append(details)

    stamina.instrumentation.set_on_retry_hooks([note])
    yield seen
    stamina.instrumentation.set_on_retry_hooks(None)


def test_nothing_personal_is_in_errors_or_in_what_is_logged(
    retries: list[stamina.instrumentation.RetryDetails],
) -> None:
    said = {"error": f"{PERSON} is unknown"}
    for answer in (httpx2.Response(400, json=said), httpx2.Response(500, json=said), httpx2.ReadError(PERSON)):
        with pytest.raises(CallError) as caught:
            Platform(answer).ask()
        assert PERSON not in f"{caught.value} {caught.value!r} {caught.value.answer!r}"
        assert caught.value.__suppress_context__ or caught.value.__cause__ is None
    assert len(retries) == 2 * (TRIES - 1)
    assert PERSON not in repr(retries)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ftp://example.test",
        "example.test",
        "https://user:word@example.test",
        "https://",
        "https://a:x",
        "https://[x",
    ],
)
def test_a_base_address_must_be_one(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Caller(address)


async def _hello(_request: Request) -> Response:
    return JSONResponse({"hello": True})


@pytest.fixture(scope="module")
def double() -> Iterator[tuple[Quirks, Served]]:
    """A double that can misbehave."""
    app = Quirks(Starlette(routes=[Route("/hello", _hello)]))
    with serve(app) as served:
        yield app, served


Ask = Callable[..., Answer]


@pytest.fixture
def ask(double: tuple[Quirks, Served]) -> Ask:
    """Ask the double over real HTTP."""

    def ask(url: str | None = None, **how: Any) -> Answer:
        async def asked() -> Answer:
            async with Caller(url or double[1].url, **how) as caller:
                return await caller.send("test.call", "GET", "/hello", repeatable=True)

        with stamina.set_testing(True, attempts=TRIES):
            return asyncio.run(asked())

    double[0].clear()
    return ask


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/hello", {"X-A": "a\r\nX-B: b"}), ("/hello", {"X-A": "ü"}), ("ftp://example.test/", {}), ("/\0", {})],
)
def test_what_cannot_be_sent_is_not_tried_again(
    double: tuple[Quirks, Served], path: str, headers: dict[str, str]
) -> None:
    async def asked() -> None:
        async with Caller(double[1].url) as caller:
            await caller.send("test.call", "GET", path, headers=headers, repeatable=True)

    with stamina.set_testing(True, attempts=TRIES), pytest.raises(PermanentCallError) as caught:
        asyncio.run(asked())
    assert not caught.value.may_have_happened


@pytest.mark.parametrize("kind", ["server-error", "busy", "html", "html-error", "cut", "empty"])
def test_what_passes_over_real_http_is_waited_out(double: tuple[Quirks, Served], ask: Ask, kind: str) -> None:
    double[0].add(kind, times=TRIES - 1)
    assert ask().value == {"hello": True}
    double[0].add(kind, times=TRIES)
    with pytest.raises(TransientCallError):
        ask()


def test_who_is_slow_is_not_waited_for(double: tuple[Quirks, Served], ask: Ask) -> None:
    double[0].add("slow", times=2 * TRIES, seconds=10.0)
    with pytest.raises(TimedOutError) as caught:
        ask(answer_seconds=0.05)
    assert caught.value.may_have_happened
    with pytest.raises(TimedOutError):
        ask(try_seconds=0.05)


def test_a_redirect_is_not_followed(double: tuple[Quirks, Served], ask: Ask) -> None:
    double[0].add("moved")
    with pytest.raises(UnusableAnswerError, match="302"):
        ask()


def test_who_is_not_there_surely_did_nothing(ask: Ask) -> None:
    with pytest.raises(UnreachableError) as caught:
        ask("http://127.0.0.1:9")
    assert not caught.value.may_have_happened
