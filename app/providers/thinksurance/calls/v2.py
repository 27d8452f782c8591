"""Fetches what the links of V2 notifications lead to, with the source's own credentials, from allowed hosts only.

The login is V2's own (V2 Authentication); that links want its token as a bearer is not documented.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import httpx2

from app.ingest.contract import Source
from app.providers.calling import Answer, Caller, CallError, NotJsonAnswerError, RefusedError
from app.providers.links import Allowed, GuardedTransport, Origin, allowed_links, origin_of
from app.providers.thinksurance.calls import answers
from app.providers.thinksurance.calls.documents import OWN_HOSTS
from app.providers.thinksurance.calls.session import (
    Credentials,
    LoginRefusedError,
    Session,
    credentials_of,
    token_in,
)
from app.providers.thinksurance.calls.unwrapping import is_page

DEFAULT_V2_BASE_URL: Final = "https://rest.thinksurance.de"

TOKENS_V2: Final = "thinksurance.tokens-v2"
REFERENCE: Final = "thinksurance.reference"

_TOKEN_PATHS: Final = ("/api/auth/v2/token", "/tokens")
"""The page's path, and the one at which its example ends."""
_TOKEN_SECONDS: Final = 3 * 3600.0
"""Good for four hours."""
_NOT_FOUND: Final = 404


class ThinksuranceV2:
    """The links of one source's notifications. Close it; one event loop only.

    `transport` is a seam for tests.
    """

    def __init__(
        self,
        credentials: Credentials,
        base_url: str,
        allowed: Allowed,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        answer_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._allowed = allowed
        guarded = transport or GuardedTransport(allowed)
        self._caller = Caller(base_url, transport=guarded, answer_seconds=answer_seconds)
        self._session = Session(self._log_in, clock, _TOKEN_SECONDS)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._caller.aclose()

    async def get(self, link: str, content_type: str = "") -> Answer:
        """Return what a link leads to; redirects are not followed. A page is a proxy's where none was announced.

        Raises:
            LinkRefusedError: it leads where we do not go.
            CallError: nothing usable came.
        """
        url = str(self._allowed.check(link))

        async def send(token: str) -> Answer:
            headers = {"Authorization": f"Bearer {token}"}
            sending = self._caller.send(REFERENCE, "GET", url, headers=headers, repeatable=True, wants_json=False)
            answer = await answers.judge(sending, REFERENCE)
            if is_page(answer.body) and "html" not in content_type.lower():
                raise NotJsonAnswerError(REFERENCE, f"answered {answer.status} with a page", answer=answer)
            return answer

        return await self._session.serve(send)

    async def _log_in(self) -> str:
        # The names are crossed over: accessKey is the secret, secretKey the hash (V2 Authentication).
        body: dict[str, Any] = {"accessKey": self._credentials.secret, "secretKey": self._credentials.hash}
        return token_in(TOKENS_V2, await self._ask_for_token(body), "access_token")

    async def _ask_for_token(self, body: dict[str, Any]) -> Answer:
        first, second = _TOKEN_PATHS
        try:
            return await self._post(first, body)
        except CallError as error:  # of a path that is not there a page may tell
            if error.status != _NOT_FOUND:
                raise
        return await self._post(second, body)

    async def _post(self, path: str, body: dict[str, Any]) -> Answer:
        sending = self._caller.send(TOKENS_V2, "POST", path, json=body, repeatable=True)
        try:
            return await answers.judge(sending, TOKENS_V2)
        except RefusedError as error:
            raise LoginRefusedError.of(error) from None


def v2_for(source: Source, *, answer_seconds: float) -> ThinksuranceV2:
    """Return what follows the links of a source.

    They may lead to Thinksurance's own hosts, to where the source itself is called, and to its `document_hosts`.

    Raises:
        ValueError: names the credential or setting that is lacking or wrong.
    """
    own = source.settings.get("base_url")
    base_url = source.settings.get("v2_base_url") or own or DEFAULT_V2_BASE_URL
    allowed = allowed_links(base_url, source.settings.get("document_hosts", ""), OWN_HOSTS)
    # Where calls go anyway is named by whoever set the source up, be it inside a network of theirs.
    named = {one for one in map(_origin, (own, base_url)) if one is not None}
    return ThinksuranceV2(
        credentials_of(source.credentials),
        base_url,
        Allowed(allowed.origins, allowed.named | named),
        answer_seconds=answer_seconds,
    )


def _origin(url: str | None) -> Origin | None:
    return origin_of(httpx2.URL(url)) if url else None
