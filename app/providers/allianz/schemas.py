"""The requests of the Leads Contract API 1.2.5, with every field of its page, its length and its form.

Names are copied exactly from the page: `agentId` in one answer is `agenteId` here, `nif` in one call is `dni` here.
How answers are read stands in `answers`.
"""

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from app.providers.allianz.checks import (
    AgentId,
    Consent,
    Email,
    NifText,
    Nothing,
    Number,
    Phone,
    PostalCode,
    Reason,
    Text20,
    Text25,
    Text45,
    Text50,
    Text255,
    Text999,
    UnstatedText,
)
from app.providers.checking import PlatformRequest

REQUIRED_OF_ALTA = ("acceptTerms", "agenteId", "motivoLlamada", "name", "phone")
"""The fields that the page marks as required; `dni` is not among them."""

CLOSED_BY_GAM = 20
"""The one published `estado`; the page does not spell GAM out."""


class AllianzRequest(PlatformRequest):
    """What the three requests share: empty values are as good as not given, numbers may stand for codes."""

    model_config = ConfigDict(str_strip_whitespace=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, data: Any) -> Any:
        """Drop null and blank values, so that a required one is reported as missing."""
        if not isinstance(data, dict):
            return data
        return {
            name: value
            for name, value in data.items()
            if value is not None and (name == "tresAgentes" or not isinstance(value, str) or value.strip())
        }


class ClientDataRequest(AllianzRequest):
    """Client Data: asks whether a person is a client, of which agent, and who manages the request."""

    nif: NifText


class AltaDraft(AllianzRequest):
    """An Alta Lead whose agent may still be open, for Client Data names the agent of a client."""

    accept_terms: Consent = Field(alias="acceptTerms")
    agent_id: AgentId | None = Field(None, alias="agenteId")
    reason: Reason = Field(alias="motivoLlamada", description="1: asks for a quotation, 2: asks for help")
    name: Text50
    phone: Phone
    reference: UnstatedText | None = None
    id_landing: UnstatedText | None = Field(None, alias="idLanding")
    lead_origin: Text25 | None = Field(
        None,
        alias="leadOrigin",
        description="1: API, 2: Callme Now, 3: Callme Back, 11: Chat, 12: WhatsApp, 13: ChatBot, 16: Google Assistant, "
        "17: Alexa, 19: mobile app; the page says `values like`, so others pass",
    )
    partner_lead_id: Text45 | None = Field(None, alias="partnerLeadId")
    parameters_url: Text999 | None = Field(None, alias="parametersURL")
    partner: Text255 | None = None
    traffic_source: Text255 | None = Field(None, alias="trafficSource")
    campaign: Text255 | None = None
    channel: UnstatedText | None = Field(None, alias="canal")
    dni: NifText | None = None
    email: Email | None = None
    origin: Text20 | None = Field(None, alias="origen")
    postal_code: PostalCode | None = Field(None, alias="postalcode")
    branch: Number | None = Field(None, alias="ramo")
    ref_ext: Text20 | None = Field(None, alias="refExt")
    # "Provisionally empty": anything in it would be a guess.
    three_agents: Nothing | None = Field(None, alias="tresAgentes")


class AltaRequest(AltaDraft):
    """Alta Lead: registers a lead. `agenteId` is the client's present agent, or one that we assign."""

    agent_id: AgentId = Field(alias="agenteId")


class LeadUpdateRequest(AllianzRequest):
    """Update Lead: reports a step of a lead that was registered. Which `estado` may be sent is a setting."""

    lead_id: UnstatedText = Field(alias="leadId")
    state: Number = Field(alias="estado")
    note: UnstatedText = Field(alias="observacion")
