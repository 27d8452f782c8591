"""Shows events: what accepted items said."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Text, and_, cast, exists, literal, or_, select

from app.accounts.model import Access
from app.ingest.contract import VERDICTS
from app.query.contained import CHANGE_FIELDS
from app.query.fields import Condition, Field, Kind, of_column, source_fields
from app.query.personal import hide, hide_changes, hide_names, is_personal, may_see
from app.query.resource import OfBroker, Resource, Row
from app.query.schemas.receipts import Event, EventFeed, EventPage
from app.query.shapes import blank, in_query, source_columns
from app.query.values import Context
from app.query.walls import OTHERS_TOLD, Statement, cache_of_walls, others_told, wall
from app.storage.models import customers, events, leads

RECORD_PATHS: Mapping[str, str] = {
    "inquiry": "/v1/inquiries",
    "lead": "/v1/leads",
    "customer": "/v1/customers",
    "document": "/v1/documents",
}

_PLAIN = (
    "id",
    "seq",
    "delivery_id",
    "type",
    "subject",
    "occurred_at",
    "occurred_on",
    "received_at",
    "verdict",
    "stale",
    "revised_at",
    "submission_id",
)
"""The fields that are shown as they stand in the table."""

_AS_JSON = ("changes", "warnings", "data")
_BLANK = blank(Event)

_TIME_AT = 80
"""So many bits of an id follow its time."""


def _seen_original(access: Access) -> ColumnElement[Any]:
    """Return `duplicate_of`, null where it names an event beyond the wall by broker."""
    own, original = events.c, events.alias("original")
    if access.brokers is None:
        return own.duplicate_of
    seen = select(original.c.id).where(
        original.c.id == own.duplicate_of,
        original.c.source_id == own.source_id,
        original.c.broker.in_(sorted(access.brokers)),
    )
    return seen.scalar_subquery().label("duplicate_of")


@cache_of_walls
def _columns(access: Access) -> Statement:
    own = events.c
    # As text: they go through as they stand, without being taken apart here.
    as_json = (cast(own[name], Text).label(name) for name in _AS_JSON)
    return select(
        *(own.record_kind, own.record_id, others_told(access), _seen_original(access)),
        *(own[name] for name in _PLAIN),
        *as_json,
        *source_columns(events),
    )


def _shape(row: Row, access: Access, _: object) -> dict[str, Any]:
    shown = {**_BLANK, **row}
    kind, record_id, source = shown.pop("record_kind"), shown.pop("record_id"), row["source"]
    has_record = kind in RECORD_PATHS and record_id is not None
    for name in _AS_JSON:
        if row[name] is not None:  # hidden from the key
            shown[name] = orjson.Fragment(row[name])
    others_told, hidden = shown.pop(OTHERS_TOLD), []
    if others_told or not may_see(access):
        changes = orjson.loads(row["changes"])
        shown["changes"], is_hidden = hide_changes(kind, changes, access, others_told=others_told)
        hidden += ["changes"] if is_hidden else []
    if not may_see(access):
        shown["warnings"], is_hidden = hide_names(orjson.loads(row["warnings"]))
        hidden += ["warnings"] if is_hidden else []
    duplicate_of, submission_id = row["duplicate_of"], row["submission_id"]
    shown["record"] = {"kind": kind, "id": record_id} if has_record else None
    shown["links"] = {
        "self": f"/v1/events/{row['id']}",
        "delivery": f"/v1/deliveries/{row['delivery_id']}",
        "record": f"{RECORD_PATHS[kind]}/{record_id}" if has_record else None,
        "subject": f"/v1/events?source={source}&subject={in_query(row['subject'])}",
        "duplicate_of": f"/v1/events/{duplicate_of}" if duplicate_of else None,
        "submission": f"/v1/submissions/{submission_id}" if submission_id else None,
        "source": f"/v1/sources/{source}",
    }
    hide("event", shown, access)
    if hidden:
        shown["redacted"] = sorted([*hidden, *shown["redacted"]])
    return shown


def _in_some_source(condition: Condition, context: Context) -> Condition:
    """Return the condition with the sources named, by which the index of subjects begins."""
    return and_(condition, events.c.source_id.in_([source.id for source in context.visible_sources]))


def _of_seen_customer(condition: Condition, context: Context) -> Condition:
    """Return the condition for customers that the key sees: for it there is none of whom others told, too."""
    if context.access.brokers is None:
        return condition
    its_own = (customers.c.id == events.c.customer_id, customers.c.source_id == events.c.source_id)
    return and_(condition, exists(select(literal(1)).where(*its_own, *wall(customers, context.access))))


def _of_seen_original(condition: Condition, context: Context) -> Condition:
    """Return the condition for originals that the key sees: for it there are no others."""
    if context.access.brokers is None:
        return condition
    return and_(condition, events.c.duplicate_of.is_not_distinct_from(_seen_original(context.access)))


def _of_deliveries(ids: Sequence[UUID], _: Context) -> Condition:
    """Return the condition by the ids, which begin with the time of their delivery's."""
    begin = [UUID(int=one.int >> _TIME_AT << _TIME_AT) for one in ids]
    end = [UUID(int=one.int | ((1 << _TIME_AT) - 1)) for one in ids]
    own = events.c
    return or_(
        *(
            and_(own.delivery_id == one, own.id >= low, own.id <= high)
            for one, low, high in zip(ids, begin, end, strict=True)
        )
    )


FIELDS: Mapping[str, Field] = {
    **source_fields(events),
    **CHANGE_FIELDS,
    "id": of_column(events, "id", Kind.ID, few=True),
    "seq": of_column(events, "seq", Kind.INTEGER),
    "delivery_id": of_column(events, "delivery_id", Kind.ID, build=_of_deliveries, few=True),
    "type": of_column(events, "type", Kind.WORD, plain_prefix=True),
    "subject": of_column(
        *(events, "subject", Kind.TEXT),
        plain_prefix=True,
        among=_in_some_source,
        few=True,
        about="An id: `[prefix]` finds it as it is written, and in lower case.",
    ),
    "record.kind": of_column(events, "record_kind", Kind.WORD, words={kind: kind for kind in RECORD_PATHS}),
    "record.id": of_column(events, "record_id", Kind.ID, few=True, merged=leads),
    "customer.id": of_column(events, "customer_id", Kind.ID, few=True, merged=customers, among=_of_seen_customer),
    "occurred_at": of_column(events, "occurred_at", Kind.INSTANT),
    "occurred_on": of_column(events, "occurred_on", Kind.DATE),
    "received_at": of_column(events, "received_at", Kind.INSTANT, id_range=events.c.id),
    "verdict": of_column(events, "verdict", Kind.WORD, words={word: word for word in [*VERDICTS]}),
    "duplicate_of": of_column(events, "duplicate_of", Kind.ID, among=_of_seen_original),
    "stale": of_column(events, "stale", Kind.BOOLEAN),
    "revised_at": of_column(events, "revised_at", Kind.INSTANT),
    "submission_id": of_column(events, "submission_id", Kind.ID, few=True),
    "data": of_column(
        events,
        "data",
        Kind.JSON,
        personal=is_personal("event", "data"),
        about="There is no index for it: name a time, too.",
    ),
}

EVENTS = Resource(
    name="events",
    kind="event",
    table=events,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    reckoned=(),
    once=True,
    told=("id", "type", "received_at"),
    listed_by=("type",),
    of_broker=OfBroker(events.c.broker, events.c.id),
    large=(events.c.changes, events.c.warnings, events.c.data),
    schema=Event,
    page=EventPage,
    seq=events.c.seq,
    feed=EventFeed,
)
