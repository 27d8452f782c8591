"""Calls WeGroup: creates leads of customers and companies, and updates them by sending them again.

The requests stand in `lead_request`, the reading of refusals in `refusals`; the match with the callbacks that follow is
the submissions room's.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote

import httpx2

from app.ingest.contract import Source, Warned
from app.providers.calling import ANSWER_SECONDS, Answer, Caller, RefusedError, TimedOutError, UnusableAnswerError
from app.providers.checking import FieldProblem, InvalidRequestError
from app.providers.wegroup.identity import DEFAULT_COMPANY, find_id
from app.providers.wegroup.lead_request import PartyKind, PreparedLead, prepare_lead
from app.providers.wegroup.refusals import FieldRefusal, Refusal, read_refusal

DEFAULT_BASE_URL = "https://api.wegroup.be"

_HEADER_VALUE = re.compile(r"[\x21-\x7e]{1,8000}")
_NAMES = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_MAX_DISTRIBUTION_ID = 200
_MAX_AT_ONCE = 4  # no rate limit is documented, so few calls at a time


class LeadRefusedError(RefusedError):
    """WeGroup said no. `refusals` name what, in the caller's own fields; the text has types and targets alone."""

    def __init__(self, call: str, answer: Answer | None, refusal: Refusal) -> None:
        status = "no" if answer is None else answer.status
        named = "; ".join(_shown(one) for one in refusal.errors)
        super().__init__(call, f"answered {status}{': ' if named else ''}{named}", answer=answer, said=_said(refusal))
        self.type = refusal.type
        self.refusals = refusal.errors

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """Return the refusals that name a field of the caller's, in the form of our own checks."""
        return tuple(one.problem for one in self.refusals if one.problem is not None)


@dataclass(frozen=True, slots=True)
class PushedLead:
    """A lead that WeGroup has: its id there, and the reference of ours by which it is merged.

    Whether it was made or merged is not told. `answer` is the whole of what was said, for it may name a person.
    """

    lead_id: str
    external_ref: str
    answer: Answer = field(repr=False)
    warnings: tuple[Warned, ...] = ()


class WeGroupClient:
    """WeGroup as one distribution sees it. Close it, or use it as an asynchronous context; one event loop only.

    `api_token` is used where a call brings no access token of its own. `transport` is the seam for tests.
    """

    def __init__(
        self,
        api_token: str | None,
        base_url: str = DEFAULT_BASE_URL,
        *,
        distribution_id: str | None = None,
        company: str = DEFAULT_COMPANY,
        transport: httpx2.AsyncBaseTransport | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._caller = Caller(base_url, transport=transport, answer_seconds=answer_seconds)
        self._api_token = api_token
        self._distribution_id = distribution_id
        self._company = company
        self._answer_seconds = answer_seconds
        self._few = asyncio.Semaphore(_MAX_AT_ONCE)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._caller.aclose()

    def prepare(
        self, kind: PartyKind, data: Mapping[str, Any], *, own_ref: str, callback_url: str | None = None
    ) -> PreparedLead:
        """Return a lead checked and completed, in the source's company word, to be sent by `push`.

        Raises:
            InvalidRequestError: names every field that is wrong.
        """
        return prepare_lead(kind, data, own_ref=own_ref, company=self._company, callback_url=callback_url)

    async def push_customer(
        self,
        data: Mapping[str, Any],
        *,
        own_ref: str,
        callback_url: str | None = None,
        distribution_id: str | None = None,
        access_token: str | None = None,
    ) -> PushedLead:
        """Create a natural person's lead, or update the one with the same reference. See `push`."""
        lead = self.prepare("customers", data, own_ref=own_ref, callback_url=callback_url)
        return await self.push(lead, distribution_id=distribution_id, access_token=access_token)

    async def push_company(
        self,
        data: Mapping[str, Any],
        *,
        own_ref: str,
        callback_url: str | None = None,
        distribution_id: str | None = None,
        access_token: str | None = None,
    ) -> PushedLead:
        """Create a company's lead, or update the one with the same reference. See `push`."""
        lead = self.prepare("companies", data, own_ref=own_ref, callback_url=callback_url)
        return await self.push(lead, distribution_id=distribution_id, access_token=access_token)

    async def push(
        self, lead: PreparedLead, *, distribution_id: str | None = None, access_token: str | None = None
    ) -> PushedLead:
        """Send a lead. Tried again after any transient error: its reference makes a repeat a merge.

        `access_token` is the caller's own and goes before the API token; it is used for this call and not kept.

        Raises:
            InvalidRequestError: no token or no distribution id, or one that cannot be sent.
            LeadRefusedError: WeGroup said no.
            UnusableAnswerError: it said yes, without an id.
            TransientCallError: a retry could help, and does no harm.
        """
        headers = {"Authorization": self._authorization(lead, access_token)}
        path = f"/v1/api/distributions/{self._distribution(lead, distribution_id)}/leads/{lead.kind}"
        try:
            async with self._place(lead.call):
                answer = await self._caller.send(
                    lead.call, "POST", path, repeatable=True, headers=headers, json=lead.body
                )
        except RefusedError as error:
            value = None if error.answer is None else error.answer.shown
            raise LeadRefusedError(lead.call, error.answer, read_refusal(value, lead.body)) from None
        lead_id = find_id(answer.value.get("id"), lambda _: None) if isinstance(answer.value, dict) else None
        if lead_id is None:
            raise UnusableAnswerError(lead.call, "the answer has no id", answer=answer, may_have_happened=True)
        return PushedLead(lead_id, lead.external_ref, answer, lead.warnings)

    @asynccontextmanager
    async def _place(self, call: str) -> AsyncGenerator[None]:
        """Wait for a place among the few calls at a time, as long as for an answer; until then nothing was sent."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._few.acquire()
        except TimeoutError:
            raise TimedOutError(call, "the calls before it took too long") from None
        try:
            yield
        finally:
            self._few.release()

    def _authorization(self, lead: PreparedLead, access_token: str | None) -> str:
        """Return the header's value; the scheme words are in lower case on the page."""
        scheme, token = ("apikey", self._api_token) if access_token is None else ("bearer", access_token)
        if token is None:
            detail = "is required: an access token with the call, or the source's credential api_token"
            raise InvalidRequestError(lead.call, [FieldProblem(("Authorization",), "missing", detail)])
        if not _HEADER_VALUE.fullmatch(token):
            detail = "cannot be sent as a header"
            raise InvalidRequestError(lead.call, [FieldProblem(("Authorization",), "not-a-token", detail)])
        return f"{scheme} {token}"

    def _distribution(self, lead: PreparedLead, given: str | None) -> str:
        """Return the distribution for the path, where it cannot lead elsewhere."""
        distribution_id = self._distribution_id if given is None else given
        if not distribution_id:
            detail = "is required: with the call, or as the source's setting"
            raise InvalidRequestError(lead.call, [FieldProblem(("distribution_id",), "missing", detail)])
        if len(distribution_id) > _MAX_DISTRIBUTION_ID or distribution_id.strip(".") == "":
            detail = "is no id that can stand in a path"
            raise InvalidRequestError(lead.call, [FieldProblem(("distribution_id",), "not-an-id", detail)])
        return quote(distribution_id, safe="")


def client_for(
    source: Source, *, transport: httpx2.AsyncBaseTransport | None = None, answer_seconds: float = ANSWER_SECONDS
) -> WeGroupClient:
    """Return the client of a source: its credential `api_token`, its settings.

    Raises:
        ValueError: names the setting that is wrong.
    """
    tokens = source.credentials.get("api_token", ())
    return WeGroupClient(
        tokens[0] if tokens else None,
        source.settings.get("base_url", DEFAULT_BASE_URL),
        distribution_id=source.settings.get("distribution_id"),
        company=source.settings.get("external_ref_company") or DEFAULT_COMPANY,
        transport=transport,
        answer_seconds=answer_seconds,
    )


def _shown(refusal: FieldRefusal) -> str:
    """Return type and target, where they are names; anything else could be more than that."""
    target, kind = refusal.target or "", refusal.type or ""
    return f"{target if _NAMES.fullmatch(target) else '?'} ({kind if _NAMES.fullmatch(kind) else '?'})"


def _said(refusal: Refusal) -> str | None:
    """Return WeGroup's words for the caller: its messages, else the text there is."""
    messages = [one.message for one in refusal.errors if one.message]
    return "\n".join(messages) or refusal.text
