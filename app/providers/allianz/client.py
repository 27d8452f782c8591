"""Calls the Leads Contract API of Allianz Spain: Client Data, Alta Lead, Update Lead, in the order of its page.

What becomes of an answer, who asked for the call and one at a time for each lead is the submissions room's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx2

from app.ingest.contract import Source
from app.providers.allianz.answers import ClientData, LeadAnswer, read_client_data, read_lead_answer
from app.providers.allianz.authorising import Authoriser, ClientCredentials, StaticAuthoriser, basic
from app.providers.allianz.decision import Action, Decision, decide
from app.providers.allianz.leads import ALTA
from app.providers.allianz.schemas import AltaDraft, AltaRequest, ClientDataRequest, LeadUpdateRequest
from app.providers.allianz.settings import AllianzSettings, Endpoint, SettingError, read_settings
from app.providers.calling import (
    ANSWER_SECONDS,
    Answer,
    Caller,
    CallError,
    PermanentCallError,
    RefusedError,
    TransientCallError,
    UnusableAnswerError,
)
from app.providers.checking import FieldProblem, InvalidRequestError, check_request

CLIENT_DATA = "allianz.client-check"
UPDATE = "allianz.lead-update"

_UNAUTHORISED = 401


class OutcomeUnknownError(PermanentCallError):
    """Nobody knows whether Allianz registered the lead: the call is not made again, a person has to ask.

    The page documents no idempotency, so a repeat may make a second lead. `partnerLeadId` names ours.
    """


@dataclass(frozen=True, slots=True)
class PassedOn:
    """What became of a lead: what Client Data said (None: not asked, or not reached), what was decided, the answer.

    Only a decision `alta` has a request and an answer. `problem` is why Client Data was not reached.
    """

    decision: Decision
    client_data: ClientData | None = None
    request: AltaRequest | None = None
    answer: LeadAnswer | None = None
    problem: TransientCallError | None = None


class AllianzClient:
    """Speaks to the account of one source. Close it, or use it as an asynchronous context; one event loop only.

    Keep it for the source's next calls: it holds the access token. `transport` is the seam for tests.

    Raises:
        SettingError: a setting or credential is missing or wrong.
    """

    def __init__(
        self,
        settings: AllianzSettings,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._settings = settings
        try:
            self._caller = Caller(settings.base_url, transport=transport, answer_seconds=answer_seconds)
        except ValueError as error:
            raise SettingError("base_url", "is no address such as https://api.example.com") from error
        self._authoriser = _authoriser(settings, self._caller)

    @property
    def settings(self) -> AllianzSettings:
        """Return the settings it was made with."""
        return self._settings

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._caller.aclose()

    async def get_client_data(self, request: ClientDataRequest) -> ClientData:
        """Return what Allianz says of a person. A KO is an answer, whatever HTTP code it comes with.

        It only reads, so it is tried again after any transient error.

        Raises:
            CallError: no answer that says anything.
        """
        try:
            return await self._ask_for(request)
        except CallError as error:
            error.may_have_happened = False
            raise

    async def _ask_for(self, request: ClientDataRequest) -> ClientData:
        try:
            answer = await self._send(CLIENT_DATA, self._settings.client_data, request.body(), repeatable=True)
        except RefusedError as error:
            value = None if error.answer is None else error.answer.shown
            found = read_client_data(value, request.nif)
            if error.status == _UNAUTHORISED or found.status is None:
                raise _with_message(error) from None
            return found
        return read_client_data(answer.shown, request.nif)

    async def alta(self, request: AltaRequest) -> LeadAnswer:
        """Register a lead, and return its `lead_id`. Never tried again once Allianz may have got it.

        Raises:
            OutcomeUnknownError: Allianz may have registered it, or not.
            RefusedError: it did not; `said` has its message.
            TransientCallError: the lead surely did not get there; a retry could help.
        """
        try:
            answer = await self._send(ALTA, self._settings.alta, request.body(), repeatable=False)
        except RefusedError as error:
            raise _with_message(error) from None
        except CallError as error:
            if not error.may_have_happened:
                raise
            detail = f"{error.detail}; whether the lead was registered is unknown, do not send it again unasked"
            raise OutcomeUnknownError(ALTA, detail, answer=error.answer, may_have_happened=True) from None
        told = read_lead_answer(answer.shown)
        if told.lead_id is None:
            if not isinstance(answer.value, dict) or not answer.value:
                raise OutcomeUnknownError(ALTA, "the answer says nothing", answer=answer, may_have_happened=True)
            if told.id_landing is not None:
                detail = "the answer has an idLanding, but no leadId"
                raise OutcomeUnknownError(ALTA, detail, answer=answer, may_have_happened=True)
            # There is no status in this answer: without a lead id `message` is an error's.
            raise RefusedError(ALTA, "answered without a leadId", answer=answer, said=told.message)
        return told

    async def pass_on(self, draft: AltaDraft) -> PassedOn:
        """Ask for the person, decide by the answer, and register the lead if the decision is so.

        Raises:
            InvalidRequestError: `dni` is missing (unless the source goes without Client Data), no agent is known, or
                the one given is not the client's.
            OutcomeUnknownError, RefusedError, TransientCallError: as of `alta`.
        """
        if draft.dni is None:
            if not self._settings.alta_without_client_data:
                raise _wrong("dni", "missing", "is needed to ask whether the lead may be passed on (Client Data)")
            decision, found = Decision(Action.ALTA, "not-asked", "ours"), None
        else:
            try:
                found = await self.get_client_data(check_request(CLIENT_DATA, ClientDataRequest, {"nif": draft.dni}))
            except TransientCallError as error:
                return PassedOn(decide(None), problem=error)
            decision = decide(found)
        if decision.action is not Action.ALTA:
            return PassedOn(decision, found)
        agent_id = self._agent(draft, decision)
        request = check_request(ALTA, AltaRequest, draft.body() | {"agenteId": agent_id})
        return PassedOn(decision, found, request, await self.alta(request))

    async def update(self, request: LeadUpdateRequest) -> LeadAnswer:
        """Report a step of a registered lead. One call at a time for each lead keeps their order.

        Raises:
            InvalidRequestError: `estado` is none of the source's.
            RefusedError: Allianz did not take it; `said` has its message.
            UnusableAnswerError: the answer names another lead, or none; `said` has its message.
            TransientCallError: a retry could help, and does no harm.
        """
        if request.state not in self._settings.estados:
            codes = ", ".join(map(str, sorted(self._settings.estados)))
            raise InvalidRequestError(
                UPDATE, [FieldProblem(("estado",), "unknown-estado", f"is none of the source's setting: {codes}")]
            )
        try:
            answer = await self._send(UPDATE, self._settings.update, request.body(), repeatable=True)
        except RefusedError as error:
            raise _with_message(error) from None
        told = read_lead_answer(answer.shown)
        if told.lead_id == request.lead_id:
            return told
        # There is no status in this answer, and a message alone proves nothing.
        detail = "the answer names no lead" if told.lead_id is None else "the answer names another lead"
        raise UnusableAnswerError(UPDATE, detail, answer=answer, said=told.message, may_have_happened=True)

    def _agent(self, draft: AltaDraft, decision: Decision) -> str:
        """Return the agent of a lead: the client's own, who may not be replaced, or the one assigned by us."""
        if decision.agent == "theirs" and decision.agent_id is not None:
            if draft.agent_id not in {None, decision.agent_id}:
                raise _wrong("agenteId", "other-agent", "is not the agent that the client has, who must stay the same")
            return decision.agent_id
        agent_id = draft.agent_id or self._settings.agent_id
        if agent_id is None:
            raise _wrong("agenteId", "missing", "is needed: the person has no agent, and the setting agent_id is unset")
        return agent_id

    async def _send(self, call: str, at: Endpoint, body: Mapping[str, Any], *, repeatable: bool) -> Answer:
        """Send with credentials; after a 401 once more if new ones can be had, for a 401 did nothing."""
        headers = await self._headers()
        try:
            return await self._send_once(call, at, body, headers, repeatable=repeatable)
        except CallError as error:
            if error.status != _UNAUTHORISED or not self._authoriser.forget(headers):
                raise
            happened = error.may_have_happened
        try:
            return await self._send_once(call, at, body, await self._headers(), repeatable=repeatable)
        except CallError as error:
            error.may_have_happened = error.may_have_happened or happened
            raise

    async def _headers(self) -> Mapping[str, str]:
        """Return the credentials; if they cannot be had, the call itself surely did not happen."""
        try:
            return await self._authoriser.headers()
        except CallError as error:
            error.may_have_happened = False
            raise

    async def _send_once(
        self, call: str, at: Endpoint, body: Mapping[str, Any], headers: Mapping[str, str], *, repeatable: bool
    ) -> Answer:
        """Send the body as JSON; with GET, which has none, as parameters."""
        if at.method == "GET":
            return await self._caller.send(
                call, at.method, at.path, repeatable=repeatable, headers=headers, params=body
            )
        return await self._caller.send(call, at.method, at.path, repeatable=repeatable, headers=headers, json=body)


def client_for(
    source: Source, *, transport: httpx2.AsyncBaseTransport | None = None, answer_seconds: float = ANSWER_SECONDS
) -> AllianzClient:
    """Return the client of a source.

    Raises:
        SettingError: a setting or credential is missing or wrong.
    """
    return AllianzClient(read_settings(source), transport=transport, answer_seconds=answer_seconds)


def _authoriser(settings: AllianzSettings, caller: Caller) -> Authoriser:
    if settings.auth == "none":
        return StaticAuthoriser()
    if settings.auth == "header":
        return StaticAuthoriser({settings.auth_header: _credential(settings, "header_value")})
    if settings.auth == "basic":
        return basic(_credential(settings, "username"), _credential(settings, "password"))
    return ClientCredentials(
        caller,
        settings.token_url or "",
        _credential(settings, "client_id"),
        _credential(settings, "client_secret"),
        scope=settings.token_scope,
        in_body=settings.token_in_body,
    )


def _credential(settings: AllianzSettings, name: str) -> str:
    value = settings.credentials.get(name)
    if not value:
        raise SettingError(name, f"is a credential that {settings.auth} needs")
    return value


def _with_message(error: RefusedError) -> RefusedError:
    """Return the refusal with the platform's message, which may quote a person, as what it `said`."""
    value = None if error.answer is None else error.answer.shown
    said = read_lead_answer(value).message
    return RefusedError(error.call, error.detail, answer=error.answer, said=said)


def _wrong(name: str, code: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(ALTA, [FieldProblem((name,), code, detail)])
