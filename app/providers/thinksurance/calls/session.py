"""Keeps the session token of an API user: logs in when there is none, renews it once it is old or was refused.

What calls are made with it is `client`'s, `v1`'s and `v2`'s.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeVar

from app.providers.calling import Answer, Caller, CallError, RefusedError, UnusableAnswerError
from app.providers.thinksurance.calls.answers import find_text, judge

TOKENS = "thinksurance.tokens"
TOKENS_PATH = "/api/ipn/tokens"

TOKEN_SECONDS = 14 * 60.0
"""Good for 15 minutes (V1 Authentication); `expired` has no zone, so our own clock counts, less one minute."""

_YOUNG_SECONDS = 60.0
_REFUSED_SECONDS = 60.0
"""As long a login that was refused is not tried again: others wait with the same credentials, and users get locked."""
# No page says how an expired token is answered. These words, or 401 and 403, are taken for it at any age of the token.
_EXPIRY_WORDS = re.compile(r"token|expire|abgelaufen|authori[sz]|authenti|log.?in|session|api user", re.IGNORECASE)
_NO_ACCESS = (401, 403)
_HEADER_VALUE = re.compile(r"[\x21-\x7e]{1,8000}")


Served = TypeVar("Served")


class LoginRefusedError(RefusedError):
    """Thinksurance did not take the source's `hash` and `secret`."""

    @classmethod
    def of(cls, error: RefusedError) -> Self:
        """Return a refusal as that of a login."""
        return cls(error.call, error.detail, answer=error.answer, said=error.said)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an API user has: `hash` and `secret` from Thinksurance's support, tokens of brokers and accounts."""

    hash: str = field(repr=False)
    secret: str = field(repr=False)
    b_tokens: tuple[str, ...] = field(default=(), repr=False)
    a_tokens: tuple[str, ...] = field(default=(), repr=False)


def credentials_of(held: Mapping[str, Sequence[str]]) -> Credentials:
    """Return the credentials out of those of a source.

    Raises:
        ValueError: names the one that is lacking, or is there more than once.
    """
    for name in ("hash", "secret"):
        if len(held.get(name, ())) != 1:
            raise ValueError(f"credential {name}: a source that calls Thinksurance needs exactly one")
    return Credentials(
        held["hash"][0], held["secret"][0], tuple(held.get("b_token", ())), tuple(held.get("a_token", ()))
    )


class Held(NamedTuple):
    """A session token, and whether this very question fetched it."""

    token: str
    is_fresh: bool


class Session:
    """The session of one API user. One login at a time; those who wait take its token, which is good for `seconds`."""

    def __init__(
        self, log_in: Callable[[], Awaitable[str]], clock: Callable[[], float], seconds: float = TOKEN_SECONDS
    ) -> None:
        self._ask_for_token = log_in
        self._clock = clock
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._received = 0.0
        self._refused: tuple[float, LoginRefusedError] | None = None

    async def serve(self, send: Callable[[str], Awaitable[Served]]) -> Served:
        """Return what `send` brings with the session's token; if that may have expired, once more with a new one.

        Whoever was refused was not served, so that repeat is harmless for every call.
        """
        held = await self.token()
        try:
            return await send(held.token)
        except RefusedError as error:
            if held.is_fresh or not self.may_be_expired(error):
                raise
            happened = error.may_have_happened
        try:
            return await send(await self.renew(held.token))
        except CallError as error:
            error.may_have_happened = error.may_have_happened or happened
            raise

    async def token(self) -> Held:
        """Return the token, logging in if there is none or it is old.

        Raises:
            LoginRefusedError: hash and secret are not good, or were not within the last minute.
            CallError: the login failed otherwise. In either case what the token was wanted for did not happen.
        """
        async with self._lock:
            if self._token is not None and self._age() < self._seconds:
                return Held(self._token, is_fresh=False)
            return Held(await self._log_in(), is_fresh=True)

    async def renew(self, refused: str) -> str:
        """Return another token than the one that was refused."""
        async with self._lock:
            if self._token is not None and self._token != refused:
                return self._token
            return await self._log_in()

    def may_be_expired(self, error: RefusedError) -> bool:
        """Say whether a refusal is worth a renewal: if it reads so, or if the token is not young.

        Any refusal may mean expiry; a young token is spared, or each wrong request would cost a login.
        """
        reads_so = error.status in _NO_ACCESS or _EXPIRY_WORDS.search(error.said or "") is not None
        return reads_so or self._age() >= _YOUNG_SECONDS

    def _age(self) -> float:
        return self._clock() - self._received

    async def _log_in(self) -> str:
        self._token = None
        asked = self._clock()
        if self._refused is not None and asked - self._refused[0] < _REFUSED_SECONDS:
            raise LoginRefusedError.of(self._refused[1])
        try:
            self._token = await self._ask_for_token()
        except CallError as error:
            error.may_have_happened = False
            self._refused = (asked, error) if isinstance(error, LoginRefusedError) else None
            raise
        self._received = asked
        return self._token


async def log_in(caller: Caller, credentials: Credentials, path: str = TOKENS_PATH) -> str:
    """Return a new session token of V1.1, or with its `path` of V1.

    Raises:
        LoginRefusedError: hash and secret are not good.
        CallError: the login failed otherwise.
    """
    body: dict[str, Any] = {"hash": credentials.hash, "secret": credentials.secret}
    try:
        answer = await judge(caller.send(TOKENS, "POST", path, json=body, repeatable=True), TOKENS)
    except RefusedError as error:
        raise LoginRefusedError.of(error) from None
    return token_in(TOKENS, answer, "token")


def token_in(call: str, answer: Answer, name: str) -> str:
    """Return the token of an answer; raises UnusableAnswerError where it has none that can be sent."""
    token = find_text(answer.value, name)
    if token is None or not _HEADER_VALUE.fullmatch(token):
        raise UnusableAnswerError(call, "the answer has no usable token", answer=answer)
    return token
