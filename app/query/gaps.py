"""Shows gaps in their list and their details: what pushes should have brought and pulls did.

They are found by the processor.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from app.accounts.model import Access
from app.query.events import EVENTS
from app.query.fields import Field, Kind, of_column, source_fields
from app.query.personal import hide, hide_changes
from app.query.resource import Resource, Row
from app.query.schemas.gaps import Gap, GapPage
from app.query.shapes import in_order, path, source_columns
from app.query.walls import OTHERS_TOLD, Statement, others_told
from app.storage.models import events, gaps

_PLAIN = ("id", "subject", "missed_since", "found_at", "late_at", "delivery_id")
"""The fields that are shown as they stand in the table."""

_own = gaps.c


def _columns(access: Access) -> Statement:
    joined = gaps.outerjoin(events, (events.c.id == _own.id) & (events.c.source_id == _own.source_id))
    event = (events.c.type, events.c.changes, others_told(access))
    return select(*(_own[name] for name in _PLAIN), *event, *source_columns(gaps)).select_from(joined)


def _shape(row: Row, access: Access, _: object) -> dict[str, Any]:
    kind, _slash, name = row["subject"].partition("/")
    changes, some_hidden = hide_changes("inquiry", row["changes"] or (), access, others_told=row[OTHERS_TOLD])
    shown: dict[str, Any] = {name: row[name] for name in (*_PLAIN, "source", "provider", "type")}
    shown |= {
        "changes": changes,
        "links": {
            "self": f"/v1/gaps/{row['id']}",
            "event": None if row["type"] is None else f"/v1/events/{row['id']}",
            "delivery": f"/v1/deliveries/{row['delivery_id']}",
            "inquiry": path("/v1/inquiries", [("source", row["source"]), ("inquiry_id", name)])
            if kind == "inquiry"
            else None,
        },
    }
    hide("gap", shown, access)
    if some_hidden:
        shown["redacted"] = sorted({"changes", *shown["redacted"]})
    return in_order(Gap, shown)


FIELDS: Mapping[str, Field] = {
    **source_fields(gaps),
    "id": of_column(gaps, "id", Kind.ID),
    "subject": of_column(gaps, "subject", Kind.TEXT),
    "missed_since": of_column(gaps, "missed_since", Kind.INSTANT),
    "found_at": of_column(gaps, "found_at", Kind.INSTANT),
    "late_at": of_column(gaps, "late_at", Kind.INSTANT),
    "delivery_id": of_column(gaps, "delivery_id", Kind.ID),
    "type": EVENTS.fields["type"],
}

GAPS = Resource(
    name="gaps",
    kind="gap",
    table=gaps,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    schema=Gap,
    page=GapPage,
    hint="Those whose push never came are `late_at[null]=true`.",
)
