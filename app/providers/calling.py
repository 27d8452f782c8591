"""Makes calls to platforms: time-outs, retries where a repeat is harmless, tolerant reading, one family of errors.

Requests are checked in `checking` before they come here; what is called and what an answer means is each platform's
client; what becomes of a call, the submissions room's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, ClassVar, Self, TypeVar

import httpx2
import orjson
import stamina

from app.ingest.lenient_json import NotJsonError, parse
from app.providers.masking import mask_secrets, secrets_in
from app.providers.tls import tls
from app.providers.waiting import wait_seconds

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
TRY_SECONDS = 60.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_TRIES = 3

_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.2, 10.0
_TOO_EARLY, _NOT_DONE, _NO_CONTENT, _MAY_BE_DONE = (408, 425, 429), (425, 429), (204, 205), (302, 303)
_REDIRECTS, _REFUSALS, _UNAUTHORISED, _SERVER_ERRORS = 300, 400, 401, 500

Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform answered: the status, the JSON value if there is one (else None), the bytes.

    Nothing of it is in its repr, for it may hold persons and tokens. `secrets` are those that the request carried;
    `may_have_happened` tells that an earlier try may have done what was asked, whatever this answer says.
    """

    status: int
    value: Any = field(repr=False)
    body: bytes = field(repr=False, default=b"")
    content_type: str = ""
    secrets: frozenset[str] = field(repr=False, default=frozenset())
    may_have_happened: bool = False

    @property
    def shown(self) -> Any:
        """Return the value as it may be kept and shown: what it quotes of the secrets is overwritten."""
        return mask_secrets(self.value, self.secrets)


class CallError(Exception):
    """A call to a platform that brought no usable answer.

    `call` names it, `detail` says why in our words; `status` and `answer` are the platform's, where there are some.
    `said` is the platform's own words: for the caller alone, they may name a person, so text and repr leave them out.
    `may_have_happened` is false only if the platform surely did not act on it; `wait_seconds` is the platform's wish.
    """

    retry_could_help: ClassVar[bool] = False

    def __init__(
        self,
        call: str,
        detail: str,
        *,
        answer: Answer | None = None,
        said: str | None = None,
        may_have_happened: bool = False,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{call}: {detail}")
        self.call = call
        self.detail = detail
        self.answer = answer
        self.status = None if answer is None else answer.status
        self.said = said
        self.may_have_happened = may_have_happened or (answer is not None and answer.may_have_happened)
        self.wait_seconds = wait_seconds


class TransientCallError(CallError):
    """A retry could help."""

    retry_could_help = True


class UnreachableError(TransientCallError):
    """The platform could not be reached, or the connection broke; `may_have_happened` says when."""


class TimedOutError(TransientCallError):
    """The platform took too long."""


class ServerFailedError(TransientCallError):
    """The platform failed (5xx) or had no time for us (408, 425, 429)."""


class NotJsonAnswerError(TransientCallError):
    """Something else answered, such as a proxy with an HTML page, or the answer was cut off."""


class PermanentCallError(CallError):
    """The same call again will not help."""


class RefusedError(PermanentCallError):
    """The platform said no; `said` has its words, `answer` the whole of it."""


class UnusableAnswerError(PermanentCallError):
    """The platform answered, but not with what its documents promise: it may well have done what was asked."""


class Caller:
    """Sends requests to one platform. Close it, or use it as an asynchronous context.

    `transport` is the seam for tests. Redirects are not followed and cookies not kept: credentials would get elsewhere.

    Raises:
        ValueError: `base_url` is no http address.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        answer_seconds: float = ANSWER_SECONDS,
        try_seconds: float = TRY_SECONDS,
        tries: int = MAX_TRIES,
    ) -> None:
        try:
            address = httpx2.URL(base_url)
        except httpx2.InvalidURL:
            address = httpx2.URL("")
        if address.scheme not in {"http", "https"} or not address.host or "%" in address.host or address.userinfo:
            raise ValueError("base_url: is an address such as https://api.example.com, without user and password")
        self._client = httpx2.AsyncClient(
            base_url=address,
            transport=transport,
            verify=tls(),
            timeout=httpx2.Timeout(answer_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={"Accept": "application/json", "User-Agent": "callbox"},
        )
        self._try_seconds = try_seconds
        self._tries = tries

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self,
        call: str,
        method: str,
        path: str,
        *,
        repeatable: bool,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        wants_json: bool = True,
    ) -> Answer:
        """Send a request and return the answer, if it is a 2xx with JSON, or a 204.

        Where JSON is not wanted any other body will do. `call` names it in errors. What is `repeatable` is tried again
        after any transient error; everything else only if the platform surely did not act on it. `path` may be a whole
        address.

        Raises:
            TransientCallError: also after the last try.
            RefusedError: a 4xx; its `answer` has the JSON value if there is one.
            PermanentCallError: otherwise; as UnusableAnswerError for a redirect, or a body that is too long.
        """
        content = None if json is None else orjson.dumps(json)
        sent = {"Content-Type": "application/json"} | dict(headers or {}) if content else dict(headers or {})
        happened = False
        # A context, not a decorated function: stamina logs the arguments of those.
        async for attempt in stamina.retry_context(
            partial(_again, repeatable=repeatable),
            attempts=self._tries,
            wait_initial=_FIRST_WAIT_SECONDS,
            wait_max=_MAX_WAIT_SECONDS,
        ):
            with attempt:
                try:
                    request = self.build(call, method, path, sent, params, content, form)
                    came = await self.exchange(call, request, partial(_read, call), self._try_seconds)
                    # In a thread: large and broken JSON takes seconds, and callbacks wait for this loop.
                    return await asyncio.to_thread(judged, call, came, wants_json=wants_json, happened=happened)
                except CallError as error:
                    happened = error.may_have_happened = happened or error.may_have_happened
                    raise
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def build(
        self,
        call: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
    ) -> httpx2.Request:
        """Return a request; raises PermanentCallError where it cannot be sent."""
        try:
            return self._client.build_request(method, path, headers=headers, params=params, content=content, data=form)
        except (UnicodeError, httpx2.InvalidURL):
            raise PermanentCallError(call, "cannot be sent, address or headers are wrong") from None

    async def exchange(
        self, call: str, request: httpx2.Request, take: Callable[[httpx2.Response], Awaitable[Taken]], seconds: float
    ) -> Taken:
        """Send once and return what `take` makes of the answer as it comes in.

        Errors are raised from None, for httpx's hold the request with its headers.
        """
        try:
            async with asyncio.timeout(seconds):
                async with aclosing(await self._client.send(request, stream=True)) as response:
                    return await take(response)
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise TimedOutError(call, f"no connection in time ({type(error).__name__})") from None
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise TimedOutError(call, f"no answer in time ({type(error).__name__})", may_have_happened=True) from None
        except (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol):
            raise PermanentCallError(call, "cannot be sent, address or headers are wrong") from None
        except (httpx2.ConnectError, httpx2.ProxyError) as error:
            raise UnreachableError(call, f"could not be reached ({type(error).__name__})") from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            detail = f"the connection broke ({type(error).__name__})"
            raise UnreachableError(call, detail, may_have_happened=True) from None


def _again(error: Exception, *, repeatable: bool) -> bool | float:
    """Tell whether to try again, or the seconds until then. Who says no, or wants a long wait, is not asked again."""
    says_no = isinstance(error, NotJsonAnswerError) and not error.may_have_happened
    if not isinstance(error, TransientCallError) or says_no or (error.may_have_happened and not repeatable):
        return False
    return True if error.wait_seconds is None else error.wait_seconds <= _MAX_WAIT_SECONDS and error.wait_seconds


async def _read(call: str, response: httpx2.Response) -> tuple[httpx2.Response, bytes]:
    """Return the answer with its body, of bounded length."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            answer = Answer(response.status_code, None)
            raise UnusableAnswerError(call, "the answer is too long", answer=answer, may_have_happened=True)
    return response, bytes(body)


def judged(
    call: str, came: tuple[httpx2.Response, bytes], *, wants_json: bool = True, happened: bool = False
) -> Answer:
    """Return the answer of a 2xx, raise on all others; `happened` tells that an earlier try may have done it."""
    response, body = came
    status, told = response.status_code, f"answered {response.status_code}"
    value, is_json = None, not body.strip()
    if body.strip() and (wants_json or status >= _REDIRECTS):
        with suppress(NotJsonError):
            value, is_json = parse(body).value, True
    kind, secrets = response.headers.get("content-type", ""), secrets_in(response.request.headers)
    answer = Answer(status, value, body, kind, secrets, may_have_happened=happened)
    if status >= _SERVER_ERRORS or status in _TOO_EARLY:
        wait, is_done = wait_seconds(response.headers), status not in _NOT_DONE
        raise ServerFailedError(call, told, answer=answer, may_have_happened=is_done, wait_seconds=wait)
    if status >= _REFUSALS:
        if not is_json and status != _UNAUTHORISED:
            raise NotJsonAnswerError(call, f"{told} without JSON", answer=answer)
        raise RefusedError(call, told, answer=answer)
    if status >= _REDIRECTS:
        # A server that has done it leads on by some of them too (RFC 9110, 15.4).
        raise UnusableAnswerError(call, f"{told}, a redirect", answer=answer, may_have_happened=status in _MAY_BE_DONE)
    has_value = is_json and (body.strip() or status in _NO_CONTENT)
    if wants_json and not has_value:
        raise NotJsonAnswerError(call, f"{told} without JSON", answer=answer, may_have_happened=True)
    return answer
