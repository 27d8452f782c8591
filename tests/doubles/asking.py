"""Puts the client of Thinksurance before its double: one server, a fresh double and a fresh client for each question.

What is asked is the tests'.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import stamina
from starlette.types import ASGIApp, Receive, Scope, Send

from app.providers.thinksurance.calls import ThinksuranceClient
from app.providers.thinksurance.calls.session import Credentials
from tests.doubles.serving import serve
from tests.doubles.thinksurance import Thinksurance
from tests.doubles.thinksurance_world import ACCOUNT_TOKEN, BROKER_TOKEN, USER_HASH, USER_SECRET

CREDENTIALS = Credentials(USER_HASH, USER_SECRET, (BROKER_TOKEN,), (ACCOUNT_TOKEN,))

Answered = TypeVar("Answered")


@dataclass
class Stand:
    """A double, and a way to ask it."""

    double: Thinksurance
    url: str

    def ask(self, call: Callable[[ThinksuranceClient], Awaitable[Answered]], **given: Any) -> Answered:
        """Return what `call` brings, without waits between tries. `given` are the client's arguments."""

        async def asked() -> Answered:
            async with ThinksuranceClient(given.pop("credentials", CREDENTIALS), self.url, **given) as client:
                return await call(client)

        with stamina.set_testing(True, attempts=3, cap=True):
            return asyncio.run(asked())

    def heard(self, path: str) -> list[Any]:
        """Return the bodies that reached a path; None for those without."""
        return [one.body for one in self.double.heard if one.path == path]


class Stage:
    """A running server whose double can be replaced."""

    def __init__(self) -> None:
        self.url = ""
        self._app: ASGIApp = Thinksurance()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        await self._app(scope, receive, send)

    def fresh(self) -> Stand:
        """Return a stand with a new double."""
        self._app = double = Thinksurance()
        return Stand(double, self.url)


@contextmanager
def staged() -> Iterator[Stage]:
    """Serve a stage while the context lasts."""
    stage = Stage()
    with serve(stage) as served:
        stage.url = served.url
        yield stage
