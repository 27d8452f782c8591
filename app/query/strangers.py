"""Bounds how often an address tries API keys that are none, in each process, in bounded memory.

Who asks with a good key is never touched, whatever others do from the same address. What a key is, is found out in
`access`; callbacks know no such bound.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ingest.senders import Network, sender_address
from app.problems import Problem, problem_response

MOST: Final = 30
WINDOW_S: Final = 60.0
MOST_ADDRESSES: Final = 10_000
_IPV6_SITE: Final = 64
_UNAUTHORIZED: Final = 401


class TooManyBadKeys(Problem):
    """Too many unknown, revoked or expired API keys came from this address in the last minute. Good ones are served."""

    status = 429
    code = "too-many-bad-keys"
    title = "Too many bad keys"


@dataclass(slots=True)
class Strangers:
    """How many tries each address has left: a bucket that fills up evenly and is full after one window."""

    most: int = MOST
    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def seconds_to_wait(self, address: str) -> float:
        """Count a bad key of an address; return 0, or how long it should wait as it had no try left."""
        moment, site = self.clock(), _site(address)
        left, before = self._left.pop(site, (float(self.most), moment))
        left = min(self.most, left + (moment - before) * self.most / WINDOW_S)
        wait = 0.0 if left >= 1 else (1 - left) * WINDOW_S / self.most
        self._left[site] = (left if wait else left - 1, moment)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)  # who was quiet for longest
        return wait


def _site(address: str) -> str:
    """Return what counts as one address: of IPv6 the network that one customer is given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004 - the version's name
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))


class StrangersMiddleware:
    """Answers 429 in place of 401 once an address has tried too many keys; a good key's answer passes as it is."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network] = (), strangers: Strangers | None = None) -> None:
        self._app = app
        self._trusted = trusted
        self._strangers = strangers or Strangers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or not any(name == b"authorization" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        is_replaced = False

        async def send_bounded(message: Message) -> None:
            nonlocal is_replaced
            if message["type"] == "http.response.start" and message["status"] == _UNAUTHORIZED:
                peer = scope["client"][0] if scope.get("client") else ""
                address = sender_address(peer, scope["headers"], self._trusted)
                if wait := self._strangers.seconds_to_wait(address):
                    is_replaced = True
                    refusal = TooManyBadKeys(headers={"Retry-After": str(int(wait) + 1)})
                    await problem_response(refusal, scope)(scope, receive, send)
            if not is_replaced:
                await send(message)

        await self._app(scope, receive, send_bounded)
