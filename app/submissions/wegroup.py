"""Prepares calls to WeGroup: push the lead of a person or a company.

What is sent and read is told in `app.providers.wegroup`.
"""

from collections.abc import Mapping
from typing import Any

from app.processing.call_keys import lead_key, reference_key
from app.providers.checking import FieldProblem, InvalidRequestError
from app.providers.wegroup.client import LeadRefusedError, client_for
from app.providers.wegroup.lead_request import CALLS, CompanyLead, CustomerLead, PartyKind
from app.submissions.calls import Given, Kind, Outcome, Prepared, field_errors, masked, outcome_of
from app.submissions.clients import Clients

ACCESS_TOKEN = "access_token"  # noqa: S105 - a name
"""What problems with the caller's own token at WeGroup are called, which comes in a header."""

LEAD_SOURCE = "lead_source"
"""What the platform calls `source` is called so in our bodies, where `source` is the account."""

_ADDED = {
    LEAD_SOURCE: "What WeGroup calls `source`; in this body `source` is Callbox's account.",
    "distribution_id": "The distribution; the source's setting `distribution_id` if left out.",
}
_FILLED = frozenset({"source"})


def _lead(party: PartyKind, given: Given, clients: Clients) -> Prepared:
    body = dict(given.body)
    distribution_id = body.pop("distribution_id", None)
    if LEAD_SOURCE in body:
        body["source"] = body.pop(LEAD_SOURCE)
    _check_account(party, given, distribution_id)
    client = clients.get(given.source, client_for)
    try:
        lead = client.prepare(party, body, own_ref=str(given.submission_id), callback_url=given.callback_url)
    except InvalidRequestError as error:
        raise InvalidRequestError(error.call, [_renamed(one) for one in error.problems]) from None
    reference: Mapping[str, str] = lead.body["prospect"]["external_ref"]

    async def call() -> Outcome:
        try:
            answer = await client.push(lead, distribution_id=distribution_id, access_token=given.access_token)
        except LeadRefusedError as error:
            return outcome_of(error, errors=field_errors([_renamed(one) for one in error.problems]))
        return Outcome(
            "accepted",
            answer=masked(answer.answer.shown),
            platform_ids={"lead_id": answer.lead_id},
            keys=[lead_key(answer.lead_id)],
        )

    key = reference_key(reference["external_ref_company"], "external_ref", reference["external_ref"])
    # Without a reference and an id nobody can tell whom it means.
    known_id = lead.body["prospect"].get("id")
    turn = key if lead.external_ref != str(given.submission_id) else known_id and lead_key(known_id)
    return Prepared(
        lead.body, call, keys=[key], external_reference=lead.external_ref, warnings=lead.warnings, turn=turn
    )


def _check_account(party: PartyKind, given: Given, distribution_id: Any) -> None:
    """Refuse before anything is written down what the client would refuse before sending."""
    problems = []
    if given.access_token is None and not given.source.credentials.get("api_token"):
        detail = "is needed: the header X-WeGroup-Access-Token, or the source's credential api_token"
        problems.append(FieldProblem((ACCESS_TOKEN,), "missing", detail))
    if distribution_id is None and not given.source.settings.get("distribution_id"):
        detail = "is needed: here, or as the source's setting"
        problems.append(FieldProblem(("distribution_id",), "missing", detail))
    elif distribution_id is not None and not isinstance(distribution_id, str):
        problems.append(FieldProblem(("distribution_id",), "string_type", "is a text"))
    if problems:
        raise InvalidRequestError(CALLS[party], problems)


def _renamed(problem: FieldProblem) -> FieldProblem:
    """Return a problem with the name that the field has in our bodies."""
    if problem.path[:1] != ("source",):
        return problem
    return FieldProblem((LEAD_SOURCE, *problem.path[1:]), problem.code, problem.detail)


def _customer(given: Given, clients: Clients) -> Prepared:
    return _lead("customers", given, clients)


def _company(given: Given, clients: Clients) -> Prepared:
    return _lead("companies", given, clients)


_REFERENCE = {"external_ref": "crm-4711", "external_ref_company": "callbox"}

KINDS = (
    Kind(
        provider="wegroup",
        name="customer-lead",
        about="Push the lead of a person, or update it by sending it again.",
        schema=CustomerLead,
        prepare=_customer,
        awaits_callback=True,
        added=_ADDED,
        filled=_FILLED,
        example={
            "distribution_id": "77e1c0de-aaaa-4bbb-8ccc-0123456789ab",
            "origin": "CRM",
            "prospect": {"first_name": "Lotte", "last_name": "Voorbeeld", "external_ref": _REFERENCE},
        },
    ),
    Kind(
        provider="wegroup",
        name="company-lead",
        about="Push the lead of a company, or update it by sending it again.",
        schema=CompanyLead,
        prepare=_company,
        awaits_callback=True,
        added=_ADDED,
        filled=_FILLED,
        example={"origin": "CRM", "prospect": {"name": "Bakkerij Voorbeeld BV", "external_ref": _REFERENCE}},
    ),
)
