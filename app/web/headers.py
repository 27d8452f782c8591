"""Tells browsers, and whatever keeps answers on the way, how little they may do with ours.

An answer that says something of its own about it keeps that; what is in the answers is the other rooms' business.
"""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
NOT_KEPT: Final = ("Cache-Control", "no-store")
_API: Final = "/v1/"


class SecurityHeadersMiddleware:
    """Pure ASGI middleware; it lies outside of all that may answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(_API):
                    headers.setdefault(*NOT_KEPT)
            await send(message)

        await self._app(scope, receive, send_with_headers)
