"""Makes a lead that was received into an Alta Lead, and says what Allianz needs and nobody gave.

Pure: the stored lead is given in the API's names. What the caller gives is checked and refused; what is taken from the
lead is fitted, with a warning, for the caller has not written it.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.ingest.contract import Warned
from app.providers.allianz.checks import MAX_EMAIL, MAX_NAME, is_email, is_postal_code, to_phone
from app.providers.allianz.schemas import REQUIRED_OF_ALTA, AltaDraft
from app.providers.allianz.settings import AllianzSettings
from app.providers.checking import check_request

ALTA = "allianz.lead"

_SPAIN = frozenset({"es", "esp", "spain", "españa", "espana", "spanien", "spanje", "espagne"})
_NAMES_OF_PEOPLE = ("first_name", "last_name")


@dataclass(frozen=True, slots=True)
class PreparedAlta:
    """An Alta Lead to be: the checked draft, or the required fields (in the page's order) that are missing.

    The draft may be without an agent if its `dni` lets Client Data name one.
    """

    draft: AltaDraft | None = field(repr=False)
    missing: tuple[str, ...]
    warnings: tuple[Warned, ...] = ()


def missing_fields(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which of the five required fields `given` has not, or has blank."""
    return tuple(name for name in REQUIRED_OF_ALTA if _is_blank(given.get(name)))


def prepare_alta(given: Mapping[str, Any], settings: AllianzSettings, *, own_id: str | None = None) -> PreparedAlta:
    """Return an Alta Lead of what the caller gives; the source's settings fill what is left out.

    `own_id` is our id of the call, sent as `partnerLeadId` if none is given: the only thread by which a lead of
    unknown outcome can be asked for. An agent that Client Data can still name is not missing.

    Raises:
        InvalidRequestError: names every field that is wrong.
    """
    filled = {name: value for name, value in given.items() if not _is_blank(value) or name == "tresAgentes"}
    filled = {**settings.field_defaults, **filled}
    if own_id is not None:
        filled.setdefault("partnerLeadId", own_id)
    may_be_named = "dni" in filled or settings.agent_id is not None
    missing = tuple(name for name in missing_fields(filled) if name != "agenteId" or not may_be_named)
    if missing:
        return PreparedAlta(None, missing)
    return PreparedAlta(check_request(ALTA, AltaDraft, filled), ())


def alta_from_lead(
    lead: Mapping[str, Any], given: Mapping[str, Any], settings: AllianzSettings, *, own_id: str | None = None
) -> PreparedAlta:
    """Return an Alta Lead of a stored lead; `given` fills the gaps and goes before what the lead says.

    A WeGroup lead documents neither phone nor consent, agent, reason or tax number, so that most of the five required
    fields have to be given.

    Raises:
        InvalidRequestError: names every given field that is wrong.
    """
    found, warnings = _taken(lead, {name for name, value in given.items() if not _is_blank(value)})
    filled = {**found, **{name: value for name, value in given.items() if not _is_blank(value)}}
    prepared = prepare_alta(filled, settings, own_id=own_id)
    return PreparedAlta(prepared.draft, prepared.missing, (*warnings, *prepared.warnings))


def _taken(lead: Mapping[str, Any], given: set[str]) -> tuple[dict[str, str], Sequence[Warned]]:
    """Return what the lead has of the fields that are not given, fitted; each fitting is a warning."""
    found: dict[str, str] = {}
    warnings: list[Warned] = []
    name = _name(lead)
    if name and "name" not in given:
        found["name"] = cut_at_word(name, MAX_NAME)
        if found["name"] != name:
            warnings.append(Warned("name", "cut"))
    for field_name, value, fit in (
        ("email", _text(lead.get("email")), _fit_email),
        ("phone", _text(lead.get("phone")), to_phone),
        ("postalcode", _text(_address(lead).get("postal_code")), _fit_postal_code(lead)),
    ):
        if not value or field_name in given:
            continue
        fitting = fit(value)
        if fitting is None:
            warnings.append(Warned(field_name, "left-out"))
        else:
            found[field_name] = fitting
    return found, warnings


def cut_at_word(text: str, length: int) -> str:
    """Return `text`, cut to `length` characters (NFC) at the last blank before it, if there is one."""
    whole = " ".join(unicodedata.normalize("NFC", text).split())
    if len(whole) <= length:
        return whole
    cut, blank, _ = whole[: length + 1].rpartition(" ")
    return cut if blank else whole[:length]


def _name(lead: Mapping[str, Any]) -> str:
    people = " ".join(filter(None, (_text(lead.get(part)) for part in _NAMES_OF_PEOPLE)))
    return " ".join((people or _text(lead.get("name"))).split())


def _fit_email(text: str) -> str | None:
    """Return an address that fits; one that is too long is left out, for a cut one is another's."""
    return text if len(text) <= MAX_EMAIL and is_email(text) else None


def _fit_postal_code(lead: Mapping[str, Any]) -> Callable[[str], str | None]:
    """Return the check of a postal code: five Spanish digits, and no other country beside them."""
    country = _text(_address(lead).get("country")).casefold()
    return lambda code: code if is_postal_code(code) and (not country or country in _SPAIN) else None


def _address(lead: Mapping[str, Any]) -> Mapping[str, Any]:
    address = lead.get("address")
    return address if isinstance(address, Mapping) else {}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
