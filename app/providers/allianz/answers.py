"""Reads the answers of the Leads Contract API tolerantly: odd types are read, a missing field is unknown.

Whether an answer is a success is `client`'s business; only Client Data has a flag for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.providers.allianz.checks import is_agent_id

_AGENT_ID_DIGITS = 7
_TRUE = frozenset({"true", "1"})
_FALSE = frozenset({"false", "0"})
_CLIENT_DATA = frozenset({"agentId", "client", "message", "multiAcceso", "nif", "status", "partnerManage"})
_LEAD = frozenset({"leadId", "idLanding", "message"})


@dataclass(frozen=True, slots=True)
class ClientData:
    """What Allianz says of a person: client or not, of which agent, and whether the partner manages the request.

    None is not known. `multi_access` tells whether the agent takes part in the general distribution of leads: it
    changes the wording towards the client only. `nif_matches` compares the echo with what was asked.
    """

    status: str | None
    partner_manage: bool | None
    is_client: bool | None
    agent_id: str | None
    multi_access: bool | None
    nif_matches: bool | None
    message: str | None = field(repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeadAnswer:
    """What Alta Lead or Update Lead answered; `id_landing` is Alta's alone. `message` may quote a person."""

    lead_id: str | None
    id_landing: str | None
    message: str | None = field(repr=False)


def read_client_data(value: Any, nif: str) -> ClientData:
    """Return what an answer of Client Data says of the person asked for by `nif`."""
    found = _unwrapped(value, _CLIENT_DATA)
    status = _text(found.get("status"))
    agent_id, warnings = _agent_id(found.get("agentId"))
    echo = _text(found.get("nif"))
    return ClientData(
        status=None if status is None else status.upper(),
        partner_manage=_boolean(found.get("partnerManage")),
        is_client=_boolean(found.get("client")),
        agent_id=agent_id,
        multi_access=_boolean(found.get("multiAcceso")),
        nif_matches=None if echo is None else echo.upper() == nif.upper(),
        message=_text(found.get("message")),
        warnings=warnings,
    )


def read_lead_answer(value: Any) -> LeadAnswer:
    """Return what an answer of Alta Lead or Update Lead says."""
    found = _unwrapped(value, _LEAD)
    return LeadAnswer(_id(found.get("leadId")), _id(found.get("idLanding")), _text(found.get("message")))


def _unwrapped(value: Any, names: frozenset[str]) -> Mapping[str, Any]:
    """Return the object with the names looked for: the answer, or the first object one level down that has them.

    A flat body is likeliest; the page shows none.
    """
    if not isinstance(value, dict):
        return {}
    if not names.isdisjoint(value.keys() - {"message", "status"}):
        return value
    inner = (one for one in value.values() if isinstance(one, dict) and not names.isdisjoint(one))
    return value | next(inner, {})


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _id(value: Any) -> str | None:
    """Return an id as text. Zeros are none: what stands in an error where a number has to be."""
    told = _text(int(value) if isinstance(value, float) and value.is_integer() else value)
    return told if told is not None and told.strip("0") else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    word = (_text(value) or "").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _agent_id(value: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return an agent's id in seven digits. Absent, null, empty and zeros all mean that there is none."""
    told = _text(value)
    if told is None or not told.strip("0"):
        return None, ()
    padded = told.rjust(_AGENT_ID_DIGITS, "0")
    return (padded, ()) if is_agent_id(padded) else (None, ("agent-id-form",))
