"""Makes a double misbehave as platforms do: slow, failing, an error with status 200, a proxy's page, a cut answer.

A quirk is put on by `Quirks.add`, by `POST /double/quirks`, or for one request by the header `X-Double-Quirk: <kind>`.
What the double does when nothing is wrong is its own module's.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PAGE = "<!doctype html><html><head><title>Gateway</title></head><body><h1>Bad gateway</h1></body></html>"
_SAID = {"error": "Something is wrong with erika.beispiel@example.test."}

_CONTROL = "/double/quirks"

KINDS = ("error", "refused", "not-found", "server-error", "busy", "html", "html-error", "cut", "empty", "moved", "slow")


@dataclass
class Quirk:
    """One misbehaviour for the next `times` requests whose path begins with `path`.

    With `acted` the double does what was asked before it answers wrongly, so that the outcome is unknown to the caller.
    `slow` always acts, after `seconds`. `busy` wants to be left alone for `wait` seconds.
    """

    kind: str
    path: str = "/"
    times: int = 1
    acted: bool = False
    seconds: float = 0.0
    wait: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: is one of {', '.join(KINDS)}")


class Quirks:
    """The misbehaviours of one double: ASGI around it. Its control paths (`/double/...`) always behave."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._put_on: list[Quirk] = []

    def add(self, kind: str, path: str = "/", **how: Any) -> None:
        """Put a quirk on."""
        self._put_on.append(Quirk(kind, path, **how))

    def clear(self) -> None:
        """Take all quirks off."""
        self._put_on.clear()

    async def _control(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.clear()
        elif request.method == "POST":
            try:
                self._put_on.append(Quirk(**await request.json()))
            except (TypeError, ValueError) as error:
                return JSONResponse({"error": str(error)}, 422)
        return JSONResponse([asdict(quirk) for quirk in self._put_on])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or misbehave."""
        if scope["type"] == "http" and scope["path"] == _CONTROL:
            answer = await self._control(Request(scope, receive))
            await answer(scope, receive, send)
            return
        quirk = self._take(scope) if scope["type"] == "http" else None
        if quirk is None:
            await self._app(scope, receive, send)
            return
        if quirk.kind == "slow":
            await asyncio.sleep(quirk.seconds)
            await self._app(scope, receive, send)
            return
        if quirk.acted:
            await self._app(scope, receive, _to_nobody)
        if quirk.kind == "cut":
            await _answer_half(send)
            return
        await _wrong_answer(quirk)(scope, receive, send)

    def _take(self, scope: Scope) -> Quirk | None:
        path = scope["path"]
        if path.startswith("/double/"):
            return None
        for name, value in scope["headers"]:
            if name == b"x-double-quirk":
                return Quirk(value.decode())
        for quirk in self._put_on:
            if path.startswith(quirk.path) and quirk.times > 0:
                quirk.times -= 1
                return quirk
        return None


def _wrong_answer(quirk: Quirk) -> Response:
    answers: dict[str, Response] = {
        "error": JSONResponse(_SAID),
        "refused": JSONResponse(_SAID, 400),
        "not-found": JSONResponse(_SAID, 404),
        "server-error": JSONResponse(_SAID, 503),
        "busy": JSONResponse(_SAID, 429, {"Retry-After": str(quirk.wait)}),
        "html": HTMLResponse(_PAGE),
        "html-error": HTMLResponse(_PAGE, 502),
        "empty": Response(b"", 200),
        "moved": Response(b"", 302, {"Location": "https://elsewhere.example.test/"}),
    }
    return answers[quirk.kind]


async def _answer_half(send: Send) -> None:
    """Answer less than was promised, so that the server breaks the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"half": '})


async def _to_nobody(_message: Message) -> None:
    """Take an answer that nobody gets."""
