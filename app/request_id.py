"""Gives every request an id and every answer the header `X-Request-Id`.

What is logged or answered under that id is left to the other rooms; they find it in `request.state.request_id`.
"""

import random
import re
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
_SANE = re.compile(r"(?!cb[tx]_)[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a proxy may call a request: short, printable, and nothing that looks like one of our tokens."""


def request_id_of(scope: Scope) -> str:
    """Return the id of the request, given on first sight: the caller's own if it has a sane shape, else a new one."""
    state: dict[str, Any] = scope.setdefault("state", {})
    if "request_id" not in state:
        state["request_id"] = _incoming(scope) or f"{random.getrandbits(128):032x}"
    return str(state["request_id"])


def _incoming(scope: Scope) -> str | None:
    for name, value in scope.get("headers", ()):
        if name.lower() == b"x-request-id":
            text: str = value.decode("latin-1")
            return text if _SANE.fullmatch(text) else None
    return None


class RequestIdMiddleware:
    """Pure ASGI middleware; add it last, so that it lies outside of all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)
