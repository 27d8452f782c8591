"""Lets an answer be read while it arrives, for what may be too large to hold, and follows redirects where allowed.

What is made of the bytes is the caller's; other calls are `calling`'s.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx2
import orjson

from app.providers.calling import Caller, PermanentCallError, TransientCallError, judged

DOWNLOAD_SECONDS = 240.0
MAX_REDIRECTS = 3

_MOST_OF_AN_ERROR = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_PARTIAL = 206
# An answer that is compressed would be larger in memory than what was bounded on its way here.
_PLAIN = {"Accept": "*/*", "Accept-Encoding": "identity"}

Taken = TypeVar("Taken")


class NotAFileError(TransientCallError):
    """Something else than a file came, such as a proxy's page, or only a part of one."""


@dataclass(frozen=True, slots=True)
class Arriving:
    """An answer of success that is on its way."""

    status: int
    chunks: AsyncIterator[bytes] = field(repr=False)


class _RedirectedError(Exception):
    def __init__(self, to: str) -> None:
        super().__init__("redirected")
        self.to = to


async def download(
    caller: Caller,
    call: str,
    method: str,
    path: str,
    take: Callable[[Arriving], Awaitable[Taken]],
    *,
    headers: Mapping[str, str] | None = None,
    json: object = None,
    redirects: int = 0,
    seconds: float = DOWNLOAD_SECONDS,
) -> Taken:
    """Send once and return what `take` makes of the answer; it has `seconds` from the request to the last byte.

    A redirect is followed without the headers given, at most `redirects` times: for callers whose transport refuses
    what is not allowed.

    Raises:
        CallError: as `Caller.send` says, for every answer that is no success.
    """
    content = None if json is None else orjson.dumps(json)
    sent = _PLAIN | ({"Content-Type": "application/json"} if content else {}) | dict(headers or {})
    request = caller.build(call, method, path, sent, content=content)
    for left in range(redirects, -1, -1):
        try:
            return await caller.exchange(call, request, _taking(call, take, may_redirect=left > 0), seconds)
        except _RedirectedError as redirected:
            request = caller.build(call, "GET", redirected.to, _PLAIN)
    raise AssertionError  # pragma: no cover - the last one may not redirect


def _taking(
    call: str, take: Callable[[Arriving], Awaitable[Taken]], *, may_redirect: bool
) -> Callable[[httpx2.Response], Awaitable[Taken]]:
    async def taken(response: httpx2.Response) -> Taken:
        if may_redirect and response.status_code in _REDIRECTS and "location" in response.headers:
            raise _RedirectedError(_joined(call, response))
        if not response.is_success:
            judged(call, (response, await _beginning(response)))
        if response.status_code == _PARTIAL:
            raise NotAFileError(call, "only a part came")
        return await take(Arriving(response.status_code, response.aiter_bytes()))

    return taken


def _joined(call: str, response: httpx2.Response) -> str:
    """Return where a redirect leads."""
    try:
        to = response.request.url.join(response.headers["location"])
    except httpx2.InvalidURL:
        to = httpx2.URL("")
    if not to.is_absolute_url:  # a client would take it for a path
        raise PermanentCallError(call, "redirects to what is no address")
    return str(to)


async def _beginning(response: httpx2.Response) -> bytes:
    """Return the body of an error, as far as it is worth reading."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= _MOST_OF_AN_ERROR:
            break
    return body[:_MOST_OF_AN_ERROR]
