"""Says which lead an item is about, the same way for receiver and processor.

All other fields are `reading`'s.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

from app.ids import joined
from app.ingest.contract import Source
from app.providers.tables import Notes, as_list, record_key
from app.providers.values import Warn, is_unknown, text
from app.providers.wegroup.shapes import EXPLICIT_IDS, REFERENCE_NAMES, Lead

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")

_NAMES = frozenset({"external_ref", "ref", "external_ref_company", "company"})

_COLONS = re.compile(r":|%(?=3A|25)")
_LIKE_OURS = tuple(word + mark for word in ("ref", "delivery", "sha256") for mark in (":", "%3A", "%25"))
"""How an id would be taken for another form of subject, or for one so written (decision 0013)."""

DEFAULT_COMPANY = "callbox"
"""The company word of our own references where the source sets none; bare references are taken to be ours."""


class Reference(NamedTuple):
    """A partner's own id of a lead: the company word it was sent with, and the id."""

    company: str
    ref: str


class Identity(NamedTuple):
    """What identifies a lead: the strongest platform id known, the lead's own (None: only its party's), its party's."""

    strongest_id: str | None
    lead_id: str | None
    party_id: str | None
    references: tuple[Reference, ...]

    def keys(self) -> tuple[str, ...]:
        """Return the record's keys, strongest first; none if nothing identifies it."""
        ids = dict.fromkeys(one.lower() for one in (self.strongest_id, self.party_id) if one is not None)
        return (
            *(record_key("id:", one) for one in ids),
            *(record_key("ref:", *reference) for reference in self.references),
        )

    def subject(self) -> str | None:
        """Return the subject of the lead's events; None if only the delivery can tell it from others."""
        name = self.strongest_id
        if name is not None:
            return record_key("lead/", _without_colons(name) if name.startswith(_LIKE_OURS) else name)
        if self.references:
            company, ref = self.references[0]
            return record_key("lead/", f"ref:{_without_colons(company)}:{ref}")
        return None


def _without_colons(name: str) -> str:
    """Return a name with its colons percent-written, and what looks like one so written; different names differ."""
    if ":" not in name and "%" not in name:  # most have neither, and are asked for at each receipt
        return name
    return _COLONS.sub(lambda found: f"%{ord(found[0]):02X}", name)


def identify(lead: Lead, source: Source, notes: Notes) -> Identity:
    """Return what identifies a lead.

    Of a lead object its own `id` counts first; where the object is the party itself, or a thin notice, an explicit
    `lead_id` does, for a bare `id` there may be the party's or the event's. An id that only an envelope has comes last.
    """
    value, party = lead.value, lead.party
    explicit = [_find_id(value, name, lead, notes) for name in EXPLICIT_IDS]
    own = _find_id(value, "id", lead, notes)
    outside = [_find_id(one, name, lead, notes) for one in reversed(lead.envelopes) for name in EXPLICIT_IDS]
    partys: str | None = None
    if lead.form == "A":
        partys = _find_id(party, "id", lead, notes)
        candidates = [own, *explicit, partys, *outside]
    else:
        candidates = [explicit[0], own, *explicit[1:], *outside]
        if lead.form == "C" and explicit[0] is not None:
            partys = own
    strongest_id = next((one for one in candidates if one is not None), None)
    of_leads = (own, explicit[0], *outside[:: len(EXPLICIT_IDS)])
    lead_id = strongest_id if strongest_id in of_leads else None
    party_id = next((one for one in (partys, *explicit[1:]) if one is not None), None)
    if lead_id is None:
        party_id = party_id or strongest_id
    return Identity(strongest_id, lead_id, party_id, _references(lead, source, notes))


def find_id(value: Any, warn: Warn) -> str | None:
    """Return an opaque id as text; UUIDs in lower case, in which they are compared."""
    if is_unknown(value):
        return None
    found = text(value, warn)
    return found.lower() if found is not None and _UUID.fullmatch(found) else found


def _find_id(value: dict[str, Any], name: str, lead: Lead, notes: Notes) -> str | None:
    given = value.get(name)
    return None if given is None else find_id(given, notes.on(".".join((*lead.path, name))))


def _references(lead: Lead, source: Source, notes: Notes) -> tuple[Reference, ...]:
    """Return the lead's references, those under our own company word first.

    The create call has one object `{external_ref, external_ref_company}`, policies have lists of `{company, ref}`;
    either, a bare text and lists of them are read. A bare one is taken for ours.
    """
    ours = source.settings.get("external_ref_company") or DEFAULT_COMPANY
    found: dict[Reference, None] = {}
    places = [(lead.party, lead.place)] if lead.party else []
    if lead.party is not lead.value:
        places.append((lead.value, ""))
    for value, place in places:
        for name in REFERENCE_NAMES:
            if value.get(name) is None:
                continue
            path = ".".join(filter(None, (*lead.path, place, name)))
            found.update(dict.fromkeys(read_references(value.get(name), path, ours, notes)))
    return tuple(sorted(found, key=lambda reference: reference.company != ours))


def read_references(value: Any, path: str, ours: str, notes: Notes) -> list[Reference]:
    """Return the references in a text, an object or a list of these."""
    if is_unknown(value):
        return []
    members = as_list(value) or [("", value)]
    return [
        reference
        for index, member in members
        if (reference := _reference(member, f"{path}.{index}".rstrip("."), ours, notes)) is not None
    ]


def _reference(member: Any, path: str, ours: str, notes: Notes) -> Reference | None:
    if is_unknown(member):
        return None
    company: Any = ours
    ref = member
    if isinstance(member, dict):
        notes.unknown_names(f"{path}.", member, _NAMES)
        ref = member.get("external_ref", member.get("ref"))
        company = member.get("external_ref_company", member.get("company"))
        if is_unknown(ref):
            notes.add(path, "incomplete-reference")
            return None
    ref_text = text(ref, notes.on(path))
    company_text = "" if is_unknown(company) else text(company, notes.on(path))
    return None if ref_text is None else Reference(company_text or "", ref_text)


def as_map(references: tuple[Reference, ...] | list[Reference]) -> dict[str, dict[str, str]]:
    """Return references as the API's map field: by company; further ones of the same item are numbered."""
    entries: dict[str, dict[str, str]] = {}
    numbers: Counter[str] = Counter()  # there may be as many as a body holds
    for company, ref in references:
        number = numbers[company]
        numbers[company] += 1
        further = (str(number),) if number else ()
        entries[joined(company, "external_ref", *further)] = {"origin": company, "key": "external_ref", "value": ref}
    return entries
