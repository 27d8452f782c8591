"""Makes the calls of Thinksurance's API V1 that V1.1 may not answer.

Its session token goes into the path, the broker's into the body. What V1.1 has too is `client`'s.
"""

from collections.abc import Callable
from functools import partial
from typing import Self
from urllib.parse import quote

import httpx2

from app.providers.calling import Caller
from app.providers.downloading import download
from app.providers.thinksurance.calls import answers
from app.providers.thinksurance.calls.answers import Pulled
from app.providers.thinksurance.calls.documents import check_document_id, unwrap
from app.providers.thinksurance.calls.session import Credentials, Session, log_in

DOCUMENT_V1 = "thinksurance.document-v1"
INQUIRIES_V1 = "thinksurance.inquiries-v1"
INQUIRY_V1 = "thinksurance.inquiry-v1"

_TOKENS_PATH = "/api/token"


class ThinksuranceV1:
    """The older API for the same API user; its session is another."""

    def __init__(self, caller: Caller, credentials: Credentials, clock: Callable[[], float]) -> None:
        self._caller = caller
        self._session = Session(partial(log_in, caller, credentials, _TOKENS_PATH), clock)

    @classmethod
    def at(
        cls,
        base_url: str,
        credentials: Credentials,
        *,
        transport: httpx2.AsyncBaseTransport | None,
        answer_seconds: float,
        clock: Callable[[], float],
    ) -> Self:
        """Return the API at an address, with connections of its own."""
        return cls(Caller(base_url, transport=transport, answer_seconds=answer_seconds), credentials, clock)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._caller.aclose()

    async def get_document(self, document_id: str, write: Callable[[bytes], None], *, broker_token: str) -> None:
        """Give `write` a file by its `hash` as it arrives (V1 Get Document)."""
        check_document_id(document_id)

        async def send(token: str) -> None:
            path = f"/api/doc/get/{quote(token, safe='')}"
            body = {"hash": document_id, "bToken": broker_token}
            taking = partial(unwrap, DOCUMENT_V1, write)
            await answers.heard(download(self._caller, DOCUMENT_V1, "POST", path, taking, json=body))

        await self._session.serve(send)

    async def pull_inquiries(
        self, *, last_days: int | None = None, broker_token: str | None = None, account_token: str | None = None
    ) -> Pulled:
        """Pull the notifications of the last days (V1 Get IP Notification for Broker, for Account)."""
        path = "/api/ipn/get" if broker_token is not None else "/api/account-ipn/get"
        body = _given(bToken=broker_token, aToken=account_token, lastDays=last_days)

        async def send(token: str) -> Pulled:
            where = f"{path}/{quote(token, safe='')}"
            sending = self._caller.send(INQUIRIES_V1, "POST", where, json=body, repeatable=True)
            return answers.to_pulled(INQUIRIES_V1, await answers.judge(sending, INQUIRIES_V1))

        return await self._session.serve(send)

    async def pull_inquiry(
        self, inquiry_id: int, *, broker_token: str | None = None, account_token: str | None = None
    ) -> Pulled:
        """Pull the notification of one inquiry (V1 Get IP Notification by Inquiry)."""

        async def send(token: str) -> Pulled:
            body = _given(token=token, bToken=broker_token, aToken=account_token)
            where = f"/api/ipn/inquiry/{inquiry_id:d}"
            sending = self._caller.send(INQUIRY_V1, "POST", where, json=body, repeatable=True)
            return answers.to_pulled(INQUIRY_V1, await answers.judge(sending, INQUIRY_V1))

        return await self._session.serve(send)


def _given(**values: str | int | None) -> dict[str, str | int]:
    return {name: value for name, value in values.items() if value is not None}


def find_v1_base_url(base_url: str) -> str:
    """Return where V1 is: at `app.` where V1.1 is at `ipn.`, as in the pages' examples; else at the same address."""
    try:
        address = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        return base_url
    if not address.host.startswith("ipn."):
        return base_url
    return str(address.copy_with(host="app." + address.host.removeprefix("ipn.")))
