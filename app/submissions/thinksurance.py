"""Prepares calls to Thinksurance: forward a broker, add agency numbers, create a broker.

What is sent and read is told in `app.providers.thinksurance.calls`.
"""

from typing import Any

from app.processing.call_keys import customer_key, inquiry_key, reference_key
from app.providers.checking import FieldProblem, InvalidRequestError, check_request
from app.providers.thinksurance.calls import client_for
from app.providers.thinksurance.calls.agency_numbers import AGENCY_NUMBERS, AgencyNumbers
from app.providers.thinksurance.calls.brokers import CREATE_BROKER, NewBroker
from app.providers.thinksurance.calls.forward import FORWARD, BrokerForward, prepare_forward
from app.submissions.calls import Given, Kind, Outcome, Prepared, masked
from app.submissions.clients import Clients

_TOKENS = {"bToken": "b_token", "aToken": "a_token"}
_ABOUT_TOKENS = {
    "bToken": "The broker's token, sent as `X-Broker-Token`; needed where the source has not exactly one.",
    "aToken": "The account's token, sent as `X-Account-Token`; needed where the source has not exactly one.",
}


def _tokens(given: Given, call: str, *wanted: str) -> tuple[dict[str, Any], list[str | None]]:
    """Return the body without tokens, and the tokens wanted: those given, else the source's only one of its kind.

    Raises:
        InvalidRequestError: none of those wanted can be had.
    """
    found = [_token(given, call, name) for name in wanted]
    if not any(found):
        detail = "is needed: the source has several" if _held(given, wanted[0]) else "is needed: the source has none"
        raise InvalidRequestError(call, [FieldProblem((wanted[0],), "missing", detail)])
    return {name: value for name, value in given.body.items() if name not in wanted}, found


def _token(given: Given, call: str, name: str) -> str | None:
    if name in given.body:
        token = given.body[name]
        if not isinstance(token, str) or not token.isascii() or not token.strip():
            raise InvalidRequestError(call, [FieldProblem((name,), "not-a-token", "cannot be sent as a header")])
        return token
    held = _held(given, name)
    return held[0] if len(held) == 1 else None


def _held(given: Given, name: str) -> tuple[str, ...]:
    return given.source.credentials.get(_TOKENS[name], ())


def _forward(given: Given, clients: Clients) -> Prepared:
    body, (broker_token,) = _tokens(given, FORWARD, "bToken")
    prepared = prepare_forward(body, callback_url=given.callback_url, test_callback_url=given.test_callback_url)
    request = prepared.request
    client = clients.get(given.source, client_for)
    references = [one for one in request.i_external_references or () if one.param_value]
    keys = [reference_key(one.origin, one.param_key, one.param_value or "") for one in references]
    by_customer = []
    if request.i_id is not None:
        keys.append(inquiry_key(request.i_id))
    elif request.c_external_id is not None:
        # Of an inquiry that is made later, in the user's hands, the callback is the first to tell the id.
        by_customer = [customer_key(request.b_external_id, request.c_external_id)]
    if not request.creates_inquiry or not references:  # nor else would it be known if the answer were lost
        keys += by_customer

    async def call() -> Outcome:
        answer = await client.send_forward(prepared, broker_token=broker_token)
        ids = {"inquiry_id": answer.inquiry_id, "inquiry_hash": answer.inquiry_hash}
        return Outcome(
            "accepted",
            answer={"url": masked({"url": answer.url})["url"], "inquiryId": answer.inquiry_id}
            | {"inquiryHash": answer.inquiry_hash},
            platform_ids={name: value for name, value in ids.items() if value is not None},
            keys=by_customer if answer.inquiry_id is None else [inquiry_key(answer.inquiry_id)],
            forgets=by_customer if request.creates_inquiry and answer.inquiry_id is not None else [],
            once={"redirect_url": answer.url},
        )

    return Prepared(
        request.body(),
        call,
        keys=keys,
        broker=request.b_external_id,
        external_reference=references[0].param_value if references else request.c_external_id,
        warnings=prepared.warnings,
    )


def _agency_numbers(given: Given, clients: Clients) -> Prepared:
    body, (broker_token, account_token) = _tokens(given, AGENCY_NUMBERS, "bToken", "aToken")
    if "bToken" not in given.body and "aToken" not in given.body and broker_token and account_token:
        account_token = None  # the source has one of each and the caller says nothing: the broker's, the narrower
    request = check_request(AGENCY_NUMBERS, AgencyNumbers, body)
    client = clients.get(given.source, client_for)
    unique = (one.external_unique_id for every in request.agency_number_sets for one in every.agency_numbers)

    async def call() -> Outcome:
        answer = await client.add_agency_numbers(body, broker_token=broker_token, account_token=account_token)
        return Outcome("accepted", answer=[{"status": status} for status in answer.statuses])

    reference = next(filter(None, unique), None)
    return Prepared(request.body(), call, external_reference=reference, warnings=tuple(request.warnings()))


def _broker(given: Given, clients: Clients) -> Prepared:
    body, (account_token,) = _tokens(given, CREATE_BROKER, "aToken")
    request = check_request(CREATE_BROKER, NewBroker, body)
    client = clients.get(given.source, client_for)

    async def call() -> Outcome:
        answer = await client.create_broker(body, account_token=account_token)
        told = {"status": answer.status, "bToken": answer.token}
        once = {} if answer.token is None else {"broker_token": answer.token}
        return Outcome("accepted", answer=masked(told), once=once)

    broker = request.b_external_id
    return Prepared(request.body(), call, broker=broker, external_reference=broker)


KINDS = (
    Kind(
        provider="thinksurance",
        name="forward",
        about="Forward a broker (V1.1 Broker Forward): update or create its customer, perhaps an inquiry.",
        schema=BrokerForward,
        prepare=_forward,
        awaits_callback=True,
        added={"bToken": _ABOUT_TOKENS["bToken"]},
        filled=frozenset({"fullCallback", "callbackUrl"}),
        example={
            "type": 1,
            "bExternalId": "B-1001",
            "cExternalId": "K-1001",
            "cCompany": "Tischlerei Beispiel GmbH",
            "instantInquiryCreation": "True",
            "productId": 81,
            "professionId": 311,
            "iExternalReferences": [{"origin": "crm", "paramKey": "Vorgang", "paramValue": "A-77"}],
        },
    ),
    Kind(
        provider="thinksurance",
        name="agency-numbers",
        about="Add agency numbers (V1.1 Add Agency Number) to a broker or an account.",
        schema=AgencyNumbers,
        prepare=_agency_numbers,
        added=_ABOUT_TOKENS,
        example={
            "agencyNumberSets": [
                {
                    "baFinId": "5000",
                    "agencyNumbers": [
                        {
                            "agencyNumber": "123/456",
                            "defaultForTenders": True,
                            "defaultForCalculations": True,
                            "active": True,
                        }
                    ],
                }
            ]
        },
    ),
    Kind(
        provider="thinksurance",
        name="broker",
        about="Create a broker in an account (V1.1 Create Broker). Its token is given once.",
        schema=NewBroker,
        prepare=_broker,
        added={"aToken": _ABOUT_TOKENS["aToken"]},
        example={"type": 1, "bExternalId": "B-1002", "bEmail": "makler@beispiel.example", "bLastName": "Beispiel"},
    ),
)
