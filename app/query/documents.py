"""Shows documents, in their own list and within inquiries; their files are the documents room's."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import JSON, ColumnElement, Text, cast, func, literal, literal_column, null, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.accounts.model import Access
from app.query.fields import Field, Kind, of_column, source_fields
from app.query.personal import hide, is_personal
from app.query.resource import OfBroker, Resource, Row
from app.query.schemas.inquiries import TROUBLES, Document, DocumentPage
from app.query.shapes import as_text, blank, source_columns, text_unless_large
from app.query.walls import Statement, cache_of_walls, walled
from app.storage.models import documents, inquiries
from app.times import now

WAYS = ("v1.1", "v1", "link")
"""How a document may have been had."""
STATES = ("announced", "fetching", "archived", "failed", "expired")

_WITHIN = ("id", "hash", "name", "full_name", "purpose", "state", "token_expires_at", "archived_at")
_PLAIN = (
    *_WITHIN,
    "inquiry_id",
    "attempts",
    "attempted_at",
    "next_attempt_at",
    "last_error",
    "fetched_by",
    "size",
    "sha256",
    "content_type",
    "first_received_at",
    "last_received_at",
    "changed_at",
)
"""The fields that are shown as they stand in the table."""

_BLANK = blank(Document)


@cache_of_walls
def columns(_: Access) -> Statement:
    """Return the statement of documents, still without wall."""
    source, _provider = source_columns(documents)
    return select(documents.c.source_id, source, *(documents.c[name] for name in _PLAIN))


@cache_of_walls
def columns_within(_: Access) -> Statement:
    """Return the statement of documents as they are shown within inquiries, and of which these are; without wall."""
    own = documents.c
    return select(own.source_id, own.inquiry_id, *(own[name] for name in _WITHIN))


BY_HASH = documents.c.hash.collate("C")
"""The order of documents within an inquiry, the same in whatever order they came: ids and times tell of that order."""


def within_inquiry(row: Row, access: Access) -> dict[str, Any]:
    """Return a document as it is shown within its inquiry."""
    return hide("document", {name: row[name] for name in _WITHIN}, access)


@cache_of_walls
def written_within(access: Access, *, whole: bool) -> ColumnElement[str]:
    """Return the list of each inquiry's documents as JSON, each as `within_inquiry` shows it; null where there is none.

    PostgreSQL writes it as we would, and takes a fraction of the time. Unless `whole`, a large one is left out.
    """
    nothing = hide("document", dict.fromkeys(_WITHIN, ""), access)
    shown = [
        null().label(one.name) if nothing[one.name] is None else one for one in (documents.c[name] for name in _WITHIN)
    ]
    redacted = cast(literal(orjson.dumps(nothing["redacted"]).decode(), Text), JSON).label("redacted")
    its_own = (documents.c.inquiry_id == inquiries.c.inquiry_id, documents.c.source_id == inquiries.c.source_id)
    statement: Statement = as_text(select(*shown, redacted)).where(*its_own).correlate(inquiries)
    within = walled(statement, documents, access).subquery("within")
    in_order: Any = aggregate_order_by(literal_column("within"), within.c.hash.collate("C"))
    listed = select(cast(func.array_to_json(func.array_agg(in_order)), Text).label("told")).select_from(within)
    told = listed.correlate(inquiries).subquery("listed").c.told
    return select(told if whole else text_unless_large(told)).scalar_subquery()


def _shape(row: Row, access: Access, _: object) -> dict[str, Any]:
    shown = {**_BLANK, **row}
    del shown["source_id"]
    shown["links"] = {
        "self": f"/v1/documents/{row['id']}",
        "inquiry": f"/v1/inquiries?source={row['source']}&inquiry_id={row['inquiry_id']}",
        "content": f"/v1/documents/{row['id']}/content" if row["state"] == "archived" else None,
    }
    shown["seconds_left"] = _seconds_left(row)
    return hide("document", shown, access)


def _seconds_left(row: Row) -> int | None:
    """Return for how long the platform still hands a document out that there is no copy of."""
    if row["state"] == "archived" or row["token_expires_at"] is None:
        return None
    return max(0, int((row["token_expires_at"] - now()).total_seconds()))


def _field(name: str, kind: Kind, **more: Any) -> Field:
    few = name in ("id", "inquiry_id")
    return of_column(documents, name, kind, personal=is_personal("document", name), few=few, **more)


_KINDS = {
    Kind.INTEGER: ("inquiry_id", "size", "attempts"),
    Kind.TEXT: ("hash", "name", "full_name", "purpose", "sha256", "content_type"),
    Kind.INSTANT: (
        *("token_expires_at", "archived_at", "attempted_at", "next_attempt_at"),
        *("first_received_at", "last_received_at", "changed_at"),
    ),
    Kind.ID: ("id",),
}

_NOT_FOLDED = {"sha256": None, "content_type": None}
"""What the copy says of itself is no text of an event; the processor folds only that."""

FIELDS: Mapping[str, Field] = {
    **source_fields(documents),
    **{
        name: _field(name, kind, **({"folded": None, "plain_prefix": True} if name in _NOT_FOLDED else {}))
        for kind, names in _KINDS.items()
        for name in names
    },
    "state": _field("state", Kind.WORD, words=dict(zip(STATES, STATES, strict=True))),
    "last_error": _field("last_error", Kind.WORD, words=dict(zip(TROUBLES, TROUBLES, strict=True))),
    "fetched_by": _field("fetched_by", Kind.WORD, words=dict(zip(WAYS, WAYS, strict=True))),
}

DOCUMENTS = Resource(
    name="documents",
    kind="document",
    table=documents,
    columns=columns,
    fields=FIELDS,
    shape=_shape,
    sorts=("last_received_at", "changed_at", "token_expires_at"),
    reckoned=("token_expires_at",),
    once=True,
    of_broker=OfBroker(documents.c.broker_external_id, documents.c.id),
    schema=Document,
    page=DocumentPage,
    hint="To find an inquiry's documents ask `/v1/documents?inquiry_id=...`.",
)
