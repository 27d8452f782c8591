"""Says what an accepted WeGroup item says: one lead, by the tables in `fields`.

Forms are told apart in `shapes`, lists are read in `lists`; what becomes of the part is the processor's business.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from app.ingest.contract import Item, Part, Receipt, Source, Statement
from app.providers.dates import find_day, find_epoch, find_instant
from app.providers.masking import mask_item
from app.providers.snake_case import snake_case
from app.providers.tables import Notes, read_rows
from app.providers.values import is_unknown, text
from app.providers.wegroup.fields import LEAD, LEAD_NAMES, PARTY, PARTY_NAMES
from app.providers.wegroup.identity import Identity, as_map, identify
from app.providers.wegroup.lists import CREDENTIALS, PLAIN, read_address, read_lists
from app.providers.wegroup.shapes import EVENT_NAMES, EXPLICIT_IDS, WRAPPER_NAMES, Lead, find_leads

_AHEAD = timedelta(days=1)
_OUTER_NAMES = LEAD_NAMES | {*EVENT_NAMES, *EXPLICIT_IDS, "external_ref", "external_refs"}
_INNER_NAMES = LEAD_NAMES | PARTY_NAMES
_ALL_NAMES = _OUTER_NAMES | PARTY_NAMES


def read(item: Item, source: Source, receipt: Receipt) -> Statement:
    """Say what an accepted item says. Never raises for what an item says."""
    lead = next((found.lead for found in find_leads(item.value) if found.lead is not None), None)
    lead = lead or Lead("D", {}, {})
    notes = Notes(item.notes)
    identity = identify(lead, source, notes)
    place = f"delivery:{receipt.delivery_id}:{item.index}"
    fields = _read_fields(lead, identity, notes)
    _check_distribution(fields.get("distribution_id"), source, lead, notes)
    stated = _stated_time(lead, receipt, notes)
    return Statement(
        type=f"wegroup.lead.{snake_case(_event_word(lead)) or 'received'}",
        subject=item.subject or identity.subject() or f"lead/{place}",
        effective_at=_effective_at(stated, receipt, notes),
        data=mask_item(item.value, CREDENTIALS, (), PLAIN),
        parts=(Part("lead", identity.keys() or (place,), fields),),
        occurred_at=stated.occurred_at,
        occurred_on=stated.occurred_on,
        warnings=notes.all(),
    )


def _read_fields(lead: Lead, identity: Identity, notes: Notes) -> dict[str, Any]:
    """Return what the lead says of itself; where metadata stands is not certain, so the party is asked second."""
    outer = _prefix(lead.path)
    inner = _prefix(lead.path, lead.place)
    fields = read_rows(LEAD, lead.value, outer, notes)
    if lead.form == "A":
        fields = {**read_rows(LEAD, lead.party, inner, notes), **fields}
    fields.update(read_rows(PARTY, lead.party, inner, notes))
    address = read_address(lead.party.get("address"), f"{inner}address", notes)
    if address is not None:
        fields["address"] = address
    fields.update(read_lists(lead.party, inner, notes))
    if kind := _kind(fields):
        fields["kind"] = kind
    for name, found in (("lead_id", identity.lead_id), ("party_id", identity.party_id)):
        if found is not None:
            fields[name] = found
    if identity.references:
        fields["external_references"] = as_map(identity.references)
    for depth, envelope in enumerate(lead.envelopes):
        if not WRAPPER_NAMES.issuperset(envelope):
            notes.unknown_names(_prefix(lead.path[:depth]), envelope, WRAPPER_NAMES)
    notes.unknown_names(outer, lead.value, _OUTER_NAMES if lead.form == "A" else _ALL_NAMES)
    if lead.form == "A":
        notes.unknown_names(inner, lead.party, _INNER_NAMES)
    return fields


def _prefix(*steps: tuple[str, ...] | str) -> str:
    """Return the dotted path in front of a field's name."""
    names = [name for step in steps for name in ((step,) if isinstance(step, str) else step) if name]
    return "".join(f"{name}." for name in names)


def _kind(fields: Mapping[str, Any]) -> str | None:
    """Return whether the party is a person or a company; None if the body does not show it."""
    if "first_name" in fields or "last_name" in fields:
        return "customer"
    return "company" if "name" in fields else None


def _check_distribution(found: str | None, source: Source, lead: Lead, notes: Notes) -> None:
    """Note a lead of another distribution than the source's."""
    ours = source.settings.get("distribution_id")
    if found is not None and ours and found.casefold() != ours.strip().casefold():
        notes.add(f"{_prefix(lead.path)}distribution_id", "other-distribution")


def _event_word(lead: Lead) -> str:
    """Return the event word as sent, of the outermost that has one.

    `type` is also a policy's state and more, so it counts only beside a nested object.
    """
    candidates: list[tuple[Mapping[str, Any], tuple[str, ...]]] = [
        (envelope, EVENT_NAMES) for envelope in lead.envelopes
    ]
    candidates.append((lead.value, tuple(name for name in EVENT_NAMES if lead.form == "A" or name != "type")))
    for value, names in candidates:
        for name in names:
            if isinstance(value.get(name), str) and not is_unknown(value[name]):
                return text(value[name], lambda _reason: None) or ""
    return ""


class _Stated(NamedTuple):
    """When a change was made, by the platform: `updated` is what orders it, with the field that says so."""

    updated: datetime | None = None
    field: str = ""
    occurred_at: datetime | None = None
    occurred_on: date | None = None


def _stated_time(lead: Lead, receipt: Receipt, notes: Notes) -> _Stated:
    """Return the time of `updated_at`, which orders, or of `timestamp`, which only tells when it occurred."""
    for name, value, path in _times(lead):
        moment = find_instant(value, receipt.zone) or find_epoch(value)
        day = None if moment else find_day(value)
        if moment is None and day is None:
            notes.add(path, "not-a-time")
        elif name == "timestamp":
            return _Stated(occurred_at=moment, occurred_on=day)
        elif day is None:
            return _Stated(moment, path, occurred_at=moment)
        else:
            return _Stated(_midnight(day, receipt), path, occurred_on=day)
    return _Stated()


def _times(lead: Lead) -> Iterator[tuple[str, Any, str]]:
    """Yield the times that are stated, with name and path, the most telling first."""
    outer, inner = _prefix(lead.path), _prefix(lead.path, lead.place)
    places: list[tuple[str, Mapping[str, Any], str]] = [("updated_at", lead.value, outer)]
    if lead.form == "A":
        places.append(("updated_at", lead.party, inner))
    places.append(("timestamp", lead.value, outer))
    for depth in range(len(lead.envelopes) - 1, -1, -1):
        prefix = _prefix(lead.path[:depth])
        places += [("updated_at", lead.envelopes[depth], prefix), ("timestamp", lead.envelopes[depth], prefix)]
    for name, value, prefix in places:
        if not is_unknown(value.get(name)):
            yield name, value[name], prefix + name


def _midnight(day: date, receipt: Receipt) -> datetime | None:
    """Return the beginning of a day in the source's zone."""
    try:
        return datetime.combine(day, time(), receipt.zone).astimezone(UTC)
    except OverflowError:
        return None


def _effective_at(stated: _Stated, receipt: Receipt, notes: Notes) -> datetime:
    """Return what orders the event; a time beyond a day after the receipt is wrong and would freeze the record."""
    if stated.updated is None:
        return receipt.received_at
    if stated.updated > receipt.received_at + _AHEAD:
        notes.add(stated.field, "date-in-future")
        return receipt.received_at
    return stated.updated
