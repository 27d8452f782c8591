"""Prepares calls to Allianz Spain: ask for a person, pass a lead on, report a step of it.

What is sent, read and decided is told in `app.providers.allianz`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.processing.call_keys import lead_key
from app.providers.allianz.answers import ClientData, LeadAnswer
from app.providers.allianz.client import CLIENT_DATA, UPDATE, PassedOn, client_for
from app.providers.allianz.decision import Action, Decision, decide
from app.providers.allianz.leads import ALTA, alta_from_lead, prepare_alta
from app.providers.allianz.schemas import CLOSED_BY_GAM, AltaRequest, ClientDataRequest, LeadUpdateRequest
from app.providers.checking import FieldProblem, InvalidRequestError, check_request
from app.submissions.calls import Given, Kind, Outcome, Prepared, State, outcome_of, problem_of
from app.submissions.clients import Clients

_DECISIONS: Mapping[str, str] = {
    "client-data-not-reached": "Allianz could not be asked whether the lead may be passed on; nothing was passed on.",
    "client-data-not-ok": "Allianz could not answer for this person; nothing was passed on.",
    "client-without-agent": "The person is a client, but no agent was named; nothing was passed on.",
    "client-unknown": "Allianz did not say whether the person is a client; nothing was passed on.",
    "handled-by-allianz": "Allianz manages this person itself; nothing was passed on.",
    "partner-manage-unknown": "Allianz did not say who manages the person; nothing was passed on.",
    "other-nif": "Allianz answered for another person; nothing was passed on.",
}


def _client_check(given: Given, clients: Clients) -> Prepared:
    request = check_request(CLIENT_DATA, ClientDataRequest, given.body)
    client = clients.get(given.source, client_for)

    async def call() -> Outcome:
        found = await client.get_client_data(request)
        decision = decide(found)
        answer = _client_data(found) | {"decision": _shown(decision)}
        if found.status == "OK":
            return Outcome("accepted", answer=answer)
        problem = problem_of("client-data-not-ok", "Allianz did not answer OK; its message stands in the answer.")
        return Outcome("refused", answer=answer, problem=problem)

    return Prepared(request.body(), call)


def _lead(given: Given, clients: Clients) -> Prepared:
    client = clients.get(given.source, client_for)
    own_id = str(given.submission_id)
    if given.lead is not None:
        alta = alta_from_lead(given.lead, given.body, client.settings, own_id=own_id)
    else:
        alta = prepare_alta(given.body, client.settings, own_id=own_id)
    draft = alta.draft
    if draft is None:
        missing = [FieldProblem((name,), "missing", "is required by Allianz") for name in alta.missing]
        raise InvalidRequestError(ALTA, missing)
    if draft.dni is None and not client.settings.alta_without_client_data:
        detail = "is needed to ask Allianz whether the lead may be passed on (Client Data)"
        raise InvalidRequestError(ALTA, [FieldProblem(("dni",), "missing", detail)])

    async def call() -> Outcome:
        return _passed_on(await client.pass_on(draft))

    return Prepared(draft.body(), call, external_reference=draft.partner_lead_id, warnings=alta.warnings)


def _passed_on(passed: PassedOn) -> Outcome:
    """Return what came of an alta, or why there was none: closed where Allianz wants no lead of this person."""
    decision, data = passed.decision, passed.client_data
    answer: dict[str, Any] = {"decision": _shown(decision), "clientData": None if data is None else _client_data(data)}
    if passed.answer is not None:
        ids = {"lead_id": passed.answer.lead_id, "id_landing": passed.answer.id_landing}
        return Outcome(
            "accepted",
            answer=answer | {"lead": _lead_answer(passed.answer)},
            platform_ids={name: value for name, value in ids.items() if value is not None},
            keys=[lead_key(passed.answer.lead_id)] if passed.answer.lead_id else [],
            request=None if passed.request is None else passed.request.body(),
        )
    if passed.problem is not None:
        told = outcome_of(passed.problem)
        problem = problem_of(decision.reason, _DECISIONS[decision.reason], retry=True, status=passed.problem.status)
        return Outcome("refused", answer=answer | {"problem": told.answer}, problem=problem, was_sent=False)
    state: State = "closed" if decision.action is Action.CLOSE else "refused"
    detail = _DECISIONS.get(decision.reason, "Nothing was passed on.")
    return Outcome(state, answer=answer, problem=problem_of(decision.reason, detail))


def _lead_update(given: Given, clients: Clients) -> Prepared:
    request = check_request(UPDATE, LeadUpdateRequest, given.body)
    client = clients.get(given.source, client_for)
    if request.state not in client.settings.estados:
        codes = ", ".join(map(str, sorted(client.settings.estados)))
        detail = f"is none of the source's setting `estados`: {codes}"
        raise InvalidRequestError(UPDATE, [FieldProblem(("estado",), "unknown-estado", detail)])
    key = lead_key(request.lead_id)

    async def call() -> Outcome:
        answer = await client.update(request)
        closes = [key] if request.state == CLOSED_BY_GAM else []
        return Outcome("accepted", answer=_lead_answer(answer), platform_ids={"lead_id": answer.lead_id}, closes=closes)

    return Prepared(request.body(), call, external_reference=request.lead_id, turn=key)


def _client_data(found: ClientData) -> dict[str, Any]:
    """Return an answer of Client Data in the platform's names."""
    return {
        "status": found.status,
        "partnerManage": found.partner_manage,
        "client": found.is_client,
        "agentId": found.agent_id,
        "multiAcceso": found.multi_access,
        "message": found.message,
        "warnings": list(found.warnings),
    }


def _lead_answer(answer: LeadAnswer) -> dict[str, Any]:
    return {"leadId": answer.lead_id, "idLanding": answer.id_landing, "message": answer.message}


def _shown(decision: Decision) -> dict[str, Any]:
    """Return what our decision table makes of the answer."""
    return asdict(decision)


KINDS = (
    Kind(
        provider="allianz",
        name="client-check",
        about="Ask for a person (Client Data): client or not, of which agent, and who manages the request.",
        schema=ClientDataRequest,
        prepare=_client_check,
        example={"nif": "12345678Z"},
    ),
    Kind(
        provider="allianz",
        name="lead",
        about="Pass a lead on (Client Data, then Alta Lead, by the decision table); from a stored one with `lead`.",
        schema=AltaRequest,
        prepare=_lead,
        takes_lead=True,
        added={
            "lead": "The `id` of a lead in `/v1/leads`: its name, e-mail, phone and postal code fill what is not given."
        },
        filled=frozenset({"agenteId", "motivoLlamada", "name", "phone", "partnerLeadId", "leadOrigin"}),
        example={
            "acceptTerms": True,
            "motivoLlamada": "1",
            "name": "Lucía Ejemplo Prueba",
            "phone": "600000000",
            "dni": "12345678Z",
        },
    ),
    Kind(
        provider="allianz",
        name="lead-update",
        about="Report a step of a lead (Update Lead); `estado` 20 closes the submission that passed it on.",
        schema=LeadUpdateRequest,
        prepare=_lead_update,
        example={"leadId": "900123", "estado": 20, "observacion": "Closed by GAM: policy issued elsewhere"},
    ),
)
