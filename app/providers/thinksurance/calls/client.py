"""Calls Thinksurance's API V1.1 for one API user: each call checked before it is sent, its answer read tolerantly.

The requests' fields stand in `forward`, `agency_numbers` and `brokers`, the session's token in `session`, the reading
of answers in `answers`.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import httpx2

from app.ingest.contract import Source
from app.providers.calling import ANSWER_SECONDS, Answer, Caller, CallError
from app.providers.checking import FieldProblem, InvalidRequestError, check_request
from app.providers.downloading import download
from app.providers.thinksurance.calls import answers
from app.providers.thinksurance.calls.agency_numbers import AGENCY_NUMBERS, AgencyNumbers, AgencyNumbersAdded
from app.providers.thinksurance.calls.answers import CatalogEntry, Pulled
from app.providers.thinksurance.calls.brokers import (
    ACCOUNT_TOKENS,
    BROKER_TOKENS,
    CREATE_BROKER,
    AccountToken,
    BrokerToken,
    CreatedBroker,
    NewBroker,
    WhichBroker,
)
from app.providers.thinksurance.calls.documents import DOCUMENT, check_document_id, unwrap
from app.providers.thinksurance.calls.forward import FORWARD, Forwarded, PreparedForward, prepare_forward
from app.providers.thinksurance.calls.session import Credentials, Session, credentials_of, log_in
from app.providers.thinksurance.calls.v1 import ThinksuranceV1, find_v1_base_url

DEFAULT_BASE_URL = "https://ipn.thinksurance.de"

PRODUCTS = "thinksurance.products"
PROFESSIONS = "thinksurance.professions"
INQUIRIES = "thinksurance.inquiries"
INQUIRY = "thinksurance.inquiry"

_BROKER, _ACCOUNT = "X-Broker-Token", "X-Account-Token"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]{1,1000}")
_METHOD_NOT_ALLOWED = 405


class ThinksuranceClient:
    """Thinksurance as one API user sees it. Close it, or use it as an asynchronous context; one event loop only.

    Where a call needs the token of a broker or an account and none is given, it is the one that the credentials have;
    with several the call must say which. `v1` makes the calls of the older API. `transport` and `clock` are seams for
    tests.
    Every call raises `InvalidRequestError` before sending, `CallError` after.
    """

    def __init__(
        self,
        credentials: Credentials,
        base_url: str = DEFAULT_BASE_URL,
        *,
        v1_base_url: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caller = Caller(base_url, transport=transport, answer_seconds=answer_seconds)
        self._credentials = credentials
        self._session = Session(partial(log_in, self._caller, credentials), clock)
        self._make_v1 = partial(
            ThinksuranceV1.at,
            v1_base_url or find_v1_base_url(base_url),
            credentials,
            transport=transport,
            answer_seconds=answer_seconds,
            clock=clock,
        )
        self._v1: ThinksuranceV1 | None = None

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._caller.aclose()
        if self._v1 is not None:
            await self._v1.aclose()

    @property
    def v1(self) -> ThinksuranceV1:
        """Return what makes the calls of the older API, for few sources ever need it."""
        self._v1 = self._v1 or self._make_v1()
        return self._v1

    async def log_in(self) -> None:
        """Get a session token if there is none, to see that the credentials are good."""
        await self._session.token()

    async def forward(
        self,
        data: Mapping[str, Any],
        *,
        callback_url: str | None = None,
        test_callback_url: str | None = None,
        broker_token: str | None = None,
    ) -> Forwarded:
        """Forward a broker: update or create its customer and inquiry, register where it is to be called back."""
        prepared = prepare_forward(data, callback_url=callback_url, test_callback_url=test_callback_url)
        return await self.send_forward(prepared, broker_token=broker_token)

    async def send_forward(self, prepared: PreparedForward, *, broker_token: str | None = None) -> Forwarded:
        """Send a forward that was checked before."""
        request = prepared.request
        answer = await self._call(
            FORWARD,
            "POST",
            "/api/ipn/brokers/forward",
            headers=self._broker(FORWARD, broker_token),
            json=request.body(),
            repeatable=request.is_repeatable,
        )
        return answers.to_forwarded(answer, prepared.warnings)

    async def add_agency_numbers(
        self, data: Mapping[str, Any], *, broker_token: str | None = None, account_token: str | None = None
    ) -> AgencyNumbersAdded:
        """Add agency numbers to a broker or an account."""
        request = check_request(AGENCY_NUMBERS, AgencyNumbers, data)
        headers = self._broker_or_account(AGENCY_NUMBERS, broker_token, account_token)
        path = "/api/ipn/agency-numbers"
        answer = await self._call(AGENCY_NUMBERS, "POST", path, headers=headers, json=request.body(), repeatable=False)
        return answers.to_agency_numbers(answer, tuple(request.warnings()))

    async def create_broker(self, data: Mapping[str, Any], *, account_token: str | None = None) -> CreatedBroker:
        """Create a broker in an account."""
        request = check_request(CREATE_BROKER, NewBroker, data)
        headers = self._account(CREATE_BROKER, account_token)
        path = "/api/ipn/brokers"
        answer = await self._call(CREATE_BROKER, "POST", path, headers=headers, json=request.body(), repeatable=False)
        return answers.to_created_broker(answer)

    async def get_broker_tokens(
        self, data: Mapping[str, Any], *, account_token: str | None = None
    ) -> tuple[BrokerToken, ...]:
        """Return the tokens of a broker of the account, at least one."""
        request = check_request(BROKER_TOKENS, WhichBroker, data)
        headers = self._account(BROKER_TOKENS, account_token)
        path = "/api/ipn/brokers/tokens"
        answer = await self._call(BROKER_TOKENS, "POST", path, headers=headers, json=request.body(), repeatable=True)
        return answers.to_broker_tokens(answer)

    async def get_account_tokens(self) -> tuple[AccountToken, ...]:
        """Return the tokens of the API user's accounts, at least one."""
        path = "/api/ipn/account/tokens"
        try:
            answer = await self._call(ACCOUNT_TOKENS, "GET", path, repeatable=True)
        except CallError as error:  # a page may say so
            if error.status != _METHOD_NOT_ALLOWED:
                raise
            # The page's table says GET, the comment in its example POST.
            answer = await self._call(ACCOUNT_TOKENS, "POST", path, repeatable=True)
        return answers.to_account_tokens(answer)

    async def get_products(self, profession_id: int | None = None) -> tuple[CatalogEntry, ...]:
        """Return the products, of one profession if it is given."""
        params = _params(professionId=profession_id)
        answer = await self._call(PRODUCTS, "GET", "/api/ipn/products", params=params, repeatable=True)
        return answers.to_catalog(PRODUCTS, answer)

    async def get_professions(self) -> tuple[CatalogEntry, ...]:
        """Return the professions."""
        answer = await self._call(PROFESSIONS, "GET", "/api/ipn/professions", repeatable=True)
        return answers.to_catalog(PROFESSIONS, answer)

    async def pull_inquiries(
        self,
        *,
        last_days: int | None = None,
        inquiry_id: int | None = None,
        broker_token: str | None = None,
        account_token: str | None = None,
    ) -> Pulled:
        """Pull the notifications of the last days (1 is today and yesterday; without it three months), or of one id.

        There is no paging, so the answer may be large.
        """
        headers = self._broker_or_account(INQUIRIES, broker_token, account_token)
        params = _params(inquiryId=inquiry_id, lastDays=last_days)
        path = "/api/ipn/inquiries"
        answer = await self._call(INQUIRIES, "GET", path, headers=headers, params=params, repeatable=True)
        return answers.to_pulled(INQUIRIES, answer)

    async def pull_inquiry(
        self, inquiry_id: int, *, broker_token: str | None = None, account_token: str | None = None
    ) -> Pulled:
        """Pull the notification of one inquiry."""
        headers = self._broker_or_account(INQUIRY, broker_token, account_token)
        path = f"/api/ipn/inquiries/{inquiry_id:d}"
        answer = await self._call(INQUIRY, "GET", path, headers=headers, repeatable=True)
        return answers.to_pulled(INQUIRY, answer)

    async def get_document(
        self, document_id: str, write: Callable[[bytes], None], *, broker_token: str | None = None
    ) -> None:
        """Give `write` a file by its `hash`, which the page calls its identifier, as it arrives."""
        check_document_id(document_id)
        broker = self._broker(DOCUMENT, broker_token)
        path = f"/api/ipn/documents/{document_id}"

        async def send(token: str) -> None:
            headers = {"Authorization": f"Bearer {token}", **broker}
            taking = partial(unwrap, DOCUMENT, write)
            await answers.heard(download(self._caller, DOCUMENT, "GET", path, taking, headers=headers))

        await self._session.serve(send)

    async def _call(
        self,
        call: str,
        method: str,
        path: str,
        *,
        repeatable: bool,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
    ) -> Answer:
        """Send with the session's token."""

        async def send(token: str) -> Answer:
            sent = {"Authorization": f"Bearer {token}", **(headers or {})}
            sending = self._caller.send(
                call, method, path, headers=sent, params=params, json=json, repeatable=repeatable
            )
            return await answers.judge(sending, call)

        return await self._session.serve(send)

    def _broker(self, call: str, given: str | None) -> dict[str, str]:
        """Return the header that names the broker."""
        return {_BROKER: _the_one(call, _BROKER, given, self._credentials.b_tokens)}

    def _account(self, call: str, given: str | None) -> dict[str, str]:
        """Return the header that names the account."""
        return {_ACCOUNT: _the_one(call, _ACCOUNT, given, self._credentials.a_tokens)}

    def _broker_or_account(self, call: str, broker: str | None, account: str | None) -> dict[str, str]:
        """Return the headers given, one or both; else the credentials' only broker, else their only account."""
        if broker is not None or account is not None:
            given = {} if broker is None else self._broker(call, broker)
            return given if account is None else given | self._account(call, account)
        if len(self._credentials.b_tokens) != 1 and len(self._credentials.a_tokens) == 1:
            return self._account(call, None)
        return self._broker(call, None)


def client_for(
    source: Source, *, transport: httpx2.AsyncBaseTransport | None = None, answer_seconds: float = ANSWER_SECONDS
) -> ThinksuranceClient:
    """Return the client of a source: its credentials, its settings `base_url` and `v1_base_url`.

    Raises:
        ValueError: names the credential or setting that is lacking or wrong.
    """
    base_url = source.settings.get("base_url", DEFAULT_BASE_URL)
    credentials = credentials_of(source.credentials)
    older = source.settings.get("v1_base_url")
    return ThinksuranceClient(
        credentials, base_url, v1_base_url=older, transport=transport, answer_seconds=answer_seconds
    )


def _the_one(call: str, header: str, given: str | None, held: tuple[str, ...]) -> str:
    """Return the token that is given, else the only one held."""
    if given is None and len(held) != 1:
        detail = "the source has several, say which" if held else "is required, and the source has none"
        raise InvalidRequestError(call, [FieldProblem((header,), "missing", detail)])
    token = held[0] if given is None else given
    if not _HEADER_VALUE.fullmatch(token):
        raise InvalidRequestError(call, [FieldProblem((header,), "not-a-token", "cannot be sent as a header")])
    return token


def _params(**values: int | None) -> dict[str, str | int]:
    return {name: value for name, value in values.items() if value is not None}
