"""Gives the calls to Allianz their credentials, in whichever of four ways the partner was told to use.

Nothing is published for Spain; the ways are those of the sister portals of the group. Which one is a source's setting.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from app.providers.calling import Caller, UnusableAnswerError

CALL = "allianz.token"
_EARLY_SECONDS = 30.0
_UNSTATED_SECONDS = 300.0


class Authoriser(Protocol):
    """Knows what a call must carry."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers of the next call.

        Raises:
            CallError: a token was needed and not given.
        """

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Take note that a call with these headers was answered 401; true if another try with new ones could help."""


class StaticAuthoriser:
    """Sends the same headers each time: none, a fixed one, or HTTP Basic."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})

    async def headers(self) -> Mapping[str, str]:
        """Return them."""
        return self._headers

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Tell that the same again would not help."""
        del refused
        return False


def basic(username: str, password: str) -> StaticAuthoriser:
    """Return HTTP Basic (RFC 7617)."""
    return StaticAuthoriser({"Authorization": "Basic " + _basic(username, password)})


class ClientCredentials:
    """Asks a token server for an access token (RFC 6749, 4.4) and keeps it until shortly before it ends.

    `token_url` is a path at the API's host or a whole address. `in_body` sends id and secret in the form instead of
    as HTTP Basic. Calls at the same time share one question.
    """

    def __init__(
        self,
        caller: Caller,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None = None,
        in_body: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caller = caller
        self._token_url = token_url
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._headers = {}
        if in_body:
            self._form |= {"client_id": client_id, "client_secret": client_secret}
        else:
            self._headers = {"Authorization": "Basic " + _basic(client_id, client_secret)}
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._good_until = 0.0

    async def headers(self) -> Mapping[str, str]:
        """Return the bearer header, with a token asked for if there is no good one."""
        async with self._lock:
            if self._token is None or self._clock() >= self._good_until:
                await self._ask()
            return {"Authorization": f"Bearer {self._token}"}

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Drop the token, unless another call has renewed it already."""
        if refused.get("Authorization") == f"Bearer {self._token}":
            self._token = None
        return True

    async def _ask(self) -> None:
        asked_at = self._clock()
        answer = await self._caller.send(
            CALL, "POST", self._token_url, repeatable=True, headers=self._headers, form=self._form
        )
        told = answer.value if isinstance(answer.value, dict) else {}
        token = told.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token.strip():
            raise UnusableAnswerError(CALL, "the answer has no access token", answer=answer)
        self._token = token
        self._good_until = asked_at + _seconds(told.get("expires_in")) - _EARLY_SECONDS


def _seconds(value: Any) -> float:
    """Return how long a token is good; numbers as text are read, and without one five minutes are taken."""
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return _UNSTATED_SECONDS


def _basic(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()
