"""Tells apart the forms a WeGroup lead webhook may have; its body is documented nowhere, so all likely ones are taken.

The letters are ours: A a lead with its prospect, B an envelope around one, C a party at the root, D a thin notice
with an id only, E a list, F anything else. What a lead says is `reading`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.ingest.contract import MOST_ITEMS
from app.providers.values import is_unknown

ENVELOPE_NAMES = ("data", "payload", "lead", "party", "object", "resource", "body")
EVENT_NAMES = ("event", "event_type", "type", "action", "topic")
EXPLICIT_IDS = ("lead_id", "party_id", "prospect_id")
PARTY_NAMES = ("first_name", "last_name", "risk_objects", "insurance_policies", "policy_packages", "callbacks")
REFERENCE_NAMES = ("external_ref", "external_refs")
TIME_NAMES = ("updated_at", "timestamp")

_MAX_UNWRAPS = 3
_CONTAINERS = frozenset({dict, list})
_IDS = (str, int)  # a union would be made anew for each value
_SCALARS = (str, int, float)
_MAX_KEPT_TEXT = 200
_KEPT_NAMES = (*EVENT_NAMES, "id", *EXPLICIT_IDS, *TIME_NAMES, "created_at", "distribution_id")
WRAPPER_NAMES = frozenset({*ENVELOPE_NAMES, *_KEPT_NAMES})


@dataclass(slots=True)
class Lead:
    """A lead in a body: its object, the object of its party (`place`: its name), and the envelopes, outermost first."""

    form: str
    value: dict[str, Any]
    party: dict[str, Any]
    place: str = ""
    path: tuple[str, ...] = ()
    envelopes: tuple[dict[str, Any], ...] = ()


class Found(NamedTuple):
    """A member of a delivery: the item, the lead in it (None: not recognised), and the names that lead to the item."""

    value: Any
    lead: Lead | None
    path: tuple[str, ...] = ()


class _TooManyError(Exception):
    """There are more values to look at than a delivery may have items."""


def find_leads(value: Any) -> list[Found]:
    """Return the members of a body or item; the first form that fits counts, in the order A, B, C, D."""
    try:
        return _classify(value, (), (), _MAX_UNWRAPS, _MAX_UNWRAPS, iter(range(MOST_ITEMS + _MAX_UNWRAPS)))
    except _TooManyError:
        return [Found(value, None)]


def _classify(
    value: Any,
    path: tuple[str, ...],
    envelopes: tuple[dict[str, Any], ...],
    unwraps: int,
    lists: int,
    looks: Iterator[int],
) -> list[Found]:
    """Return the members of `value`; `path` leads to it from the item, `unwraps` and `lists` bound the way down.

    Raises:
        _TooManyError: no `looks` are left.
    """
    if next(looks, None) is None:
        raise _TooManyError
    if isinstance(value, list) and lists:
        return _classify_members(value, path, envelopes, unwraps, lists - 1, looks)
    if not isinstance(value, dict):
        return [Found(value, None)]
    if isinstance(value.get("prospect"), dict):
        return [Found(value, Lead("A", value, value["prospect"], "prospect", path, envelopes))]
    name = next((name for name in ENVELOPE_NAMES if type(value.get(name)) in _CONTAINERS), None)
    if name is not None and unwraps:
        inside = _unwrap(value, name, (path, envelopes), unwraps - 1, lists, looks)
        if any(found.lead is not None for found in inside):
            return inside
    is_envelope = name is not None
    return [Found(value, _party_or_notice(value, path, envelopes, is_envelope=is_envelope))]


def _classify_members(
    value: list[Any],
    path: tuple[str, ...],
    envelopes: tuple[dict[str, Any], ...],
    unwraps: int,
    lists: int,
    looks: Iterator[int],
) -> list[Found]:
    """Return the members of a list (form E), or the list itself if nothing in it can be a lead."""
    if not any(type(child) in _CONTAINERS for child in value):
        return [Found(value, None)]
    return [
        Found(found.value, found.lead, (str(index), *found.path))
        for index, child in enumerate(value)
        for found in _classify(child, path, envelopes, unwraps, lists, looks)
    ]


def _unwrap(
    envelope: dict[str, Any],
    name: str,
    way: tuple[tuple[str, ...], tuple[dict[str, Any], ...]],
    unwraps: int,
    lists: int,
    looks: Iterator[int],
) -> list[Found]:
    """Return what is inside an envelope (form B), each member with what the envelope says of it."""
    inner = envelope[name]
    path, envelopes = way
    members = _classify(inner, (*path, name), (*envelopes, envelope), unwraps, lists, looks)
    if len(members) == 1 and members[0].value is inner:
        return [Found(envelope, members[0].lead)]
    slim = _slim(envelope)
    return [Found({**slim, name: found.value}, found.lead, (name, *found.path)) for found in members]


def _slim(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return what an envelope says of each lead in its list, to be kept with each; bounded, for there may be many."""
    return {
        name: envelope[name]
        for name in _KEPT_NAMES
        if isinstance(envelope.get(name), _SCALARS) and len(str(envelope[name])) <= _MAX_KEPT_TEXT
    }


def _party_or_notice(
    value: dict[str, Any], path: tuple[str, ...], envelopes: tuple[dict[str, Any], ...], *, is_envelope: bool
) -> Lead | None:
    """Return the lead of form C or D. The `id` of an envelope may be the event's, so there it does not count."""
    ids = EXPLICIT_IDS if is_envelope else ("id", *EXPLICIT_IDS)
    has_id = any(isinstance(value.get(name), _IDS) and not is_unknown(value.get(name)) for name in ids)
    has_reference = any(not is_unknown(value.get(name)) for name in REFERENCE_NAMES)
    is_party = any(name in value for name in PARTY_NAMES) or (
        not is_unknown(value.get("name")) and (has_id or has_reference)
    )
    if is_party:
        return Lead("C", value, value, "", path, envelopes)
    if has_id or has_reference:
        return Lead("D", value, {}, "", path, envelopes)
    return None
