"""Shows leads."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Text, and_, cast, func, or_, select

from app.accounts.model import Access
from app.query.contained import reference_field, submission_field
from app.query.fields import Condition, Field, Kind, of_column, source_fields
from app.query.personal import hide, is_personal, may_see
from app.query.resource import Resource, Row
from app.query.schemas.leads import Lead, LeadPage
from app.query.shapes import address, blank, from_json, references, source_columns
from app.query.values import Context
from app.query.walls import Statement, cache_of_walls
from app.storage.models import leads

KINDS = ("customer", "company", "unknown")

_PLAIN = (
    "lead_id",
    "party_id",
    "kind",
    "first_name",
    "last_name",
    "name",
    "email",
    "phone",
    "language",
    "birth_date",
    "origin",
    "backref",
    "lead_source",
    "status",
    "distribution_id",
    "first_received_at",
    "last_received_at",
    "changed_at",
    "event_count",
)
"""The fields that are shown as they stand in the table."""

_LISTS = ("risk_objects", "policy_packages", "insurance_policies")
_BLANK = blank(Lead)


@cache_of_walls
def _columns(access: Access) -> Statement:
    own = leads.c
    source, _provider = source_columns(leads)
    plain = [own[name] for name in _PLAIN]
    # As text, where nothing in them is hidden: they go through as they stand, without being taken apart here.
    lists = [cast(own[name], Text).label(name) if may_see(access) else own[name] for name in _LISTS]
    return select(own.id, own.merged_into, own.address, own.external_references, source, *plain, *lists)


def _shape(row: Row, access: Access, _: object) -> dict[str, Any]:
    own_id = str(row["id"])
    own = f"/v1/leads/{own_id}"
    shown = {**_BLANK, **row}
    del shown["merged_into"]
    for name in _LISTS:
        told = row[name] or []
        shown[name] = orjson.Fragment(told) if isinstance(told, str) and may_see(access) else from_json(told)
    shown["lead_id"] = row["lead_id"] or row["party_id"]
    shown["kind"] = row["kind"] or "unknown"
    shown["address"] = address(row["address"])
    shown["external_references"] = references(row["external_references"])
    shown["links"] = {"self": own, "history": f"{own}/history", "events": f"/v1/events?record.id={own_id}"}
    return hide("lead", shown, access)


def _field(name: str, kind: Kind, **more: Any) -> Field:
    return of_column(leads, name, kind, personal=is_personal("lead", name), few=name == "id", **more)


def _has_id(ids: Sequence[str], _: Context) -> Condition:
    """Return the condition by the lead's own id, its party's where that is the only one known; both have an index."""
    own = leads.c
    return or_(own.lead_id.in_(ids), and_(own.lead_id.is_(None), own.party_id.in_(ids)))


_KINDS = {
    Kind.INTEGER: ("event_count",),
    Kind.TEXT: (
        "party_id",
        "first_name",
        "last_name",
        "name",
        "email",
        "phone",
        "backref",
        "distribution_id",
    ),
    Kind.WORD: ("language", "origin", "lead_source", "status"),
    Kind.DATE: ("birth_date",),
    Kind.INSTANT: ("first_received_at", "last_received_at", "changed_at"),
}

FIELDS: Mapping[str, Field] = {
    **source_fields(leads),
    "ref": reference_field(leads),
    "submission_id": submission_field(leads),
    **{name: _field(name, kind) for kind, names in _KINDS.items() for name in names},
    "id": _field("id", Kind.ID, merged=leads),
    "lead_id": Field(
        column=func.coalesce(leads.c.lead_id, leads.c.party_id),
        kind=Kind.TEXT,
        folded=func.coalesce(*(leads.c.folded[name].astext for name in ("lead_id", "party_id"))),
        build=_has_id,
        few=True,
        about="Where only the party's id is known it is that one.",
    ),
    "kind": Field(
        column=func.coalesce(leads.c.kind, "unknown"),
        kind=Kind.WORD,
        nullable=False,
        words={kind: kind for kind in KINDS},
    ),
}

LEADS = Resource(
    name="leads",
    kind="lead",
    table=leads,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    reckoned=(),
    once=True,
    sorts=("last_received_at", "changed_at"),
    schema=Lead,
    page=LeadPage,
    in_lists=(leads.c.merged_into.is_(None),),
    merged_into=leads.c.merged_into,
    large=(leads.c.external_references, *(leads.c[name] for name in _LISTS)),
    hint="To find one by WeGroup's id ask `/v1/leads?lead_id=...`.",
)
