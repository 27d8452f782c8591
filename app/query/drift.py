"""Shows the drift of shapes: fields that appeared, vanished or changed their type in the items of a source.

The shapes are gathered by the processor, see `app.processing.shapes`; paths and types only, never a value.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Numeric, and_, case, cast, func, literal, null, select

from app.accounts.model import Access
from app.processing.shapes import OVERFLOW
from app.query.beginnings import folded_here
from app.query.fields import Field, Kind, of_column, source_fields
from app.query.resource import Resource, Row
from app.query.schemas.drift import Drift, DriftPage
from app.query.shapes import in_order, path, source_columns
from app.query.walls import Statement
from app.storage.models import shapes

LEARNED: Final = 100
"""What is first seen after so many items of its kind has appeared; before that it is how they look."""

EXPECTED: Final = 20
"""What was seen so often, and is missing where as many would have been expected, has vanished.

It must be missing in `LEARNED` items at least.
"""

CHANGES: Final = ("appeared", "vanished", "type-changed", OVERFLOW)
_PLAIN: Final = ("id", "kind", "path", "type", "count", "first_event_id", "first_seen_at", "last_seen_at")

_own = shapes.c
_place = (_own.source_id, _own.kind, _own.path)
_told = select(
    _own.id,
    func.min(_own.items_before).over(partition_by=_place).label("first_before"),
    func.max(_own.items_until).over(partition_by=_place).label("last_until"),
    func.sum(_own.count).over(partition_by=_place).label("seen"),
    func.sum(case((_own.path == "", _own.count), else_=0))
    .over(partition_by=(_own.source_id, _own.kind))
    .label("all_items"),
).subquery("told")
_earlier = shapes.alias("earlier")
_types_before = (
    select(func.array_agg(_earlier.c.type))
    .where(_earlier.c.source_id == _own.source_id, _earlier.c.kind == _own.kind, _earlier.c.path == _own.path)
    .where(_earlier.c.items_before < _own.items_before, _earlier.c.type != "null")
    .scalar_subquery()
)
_missing = _told.c.all_items - _told.c.last_until
_span = func.greatest(_told.c.last_until - _told.c.first_before, 1)
_share = func.least(cast(_told.c.seen, Numeric) / _span, 1)
_has_vanished = and_(
    _own.path != "",
    _own.items_until == _told.c.last_until,
    _told.c.seen >= EXPECTED,
    _missing >= LEARNED,
    _share * _missing >= EXPECTED,
)
_is_late = _own.items_before >= LEARNED
change: ColumnElement[str] = case(
    (_own.type == OVERFLOW, OVERFLOW),
    (_has_vanished, "vanished"),
    (and_(_is_late, _own.items_before == _told.c.first_before), "appeared"),
    (and_(_is_late, _own.type != "null", _types_before.is_not(None)), "type-changed"),
    else_=null(),
)
drifting = shapes.join(_told, _told.c.id == shapes.c.id)


def _columns(_: Access) -> Statement:
    share = func.round(_share, 4).label("share")
    plain = [_own[name] for name in _PLAIN]
    statement: Statement = select(
        *plain, change.label("change"), _types_before.label("types_before"), share, *source_columns(shapes)
    )
    return statement.select_from(drifting).where(change.is_not(None))


def _shape(row: Row, _: Access, __: object) -> dict[str, Any]:
    shown: dict[str, Any] = {name: row[name] for name in _PLAIN}
    shown |= {
        "source": row["source"],
        "provider": row["provider"],
        "change": row["change"],
        "types_before": sorted(row["types_before"] or ()),
        "share": None if row["change"] == OVERFLOW else float(row["share"]),
        "links": {
            "self": f"/v1/drift/{row['id']}",
            "source": f"/v1/sources/{row['source']}",
            "first_event": f"/v1/events/{row['first_event_id']}",
        },
        "redacted": [],
    }
    return in_order(Drift, shown)


FIELDS: Mapping[str, Field] = {
    **source_fields(shapes),
    "id": of_column(shapes, "id", Kind.ID),
    "kind": of_column(shapes, "kind", Kind.WORD, plain_prefix=True),
    "path": of_column(shapes, "path", Kind.TEXT, folded=folded_here(shapes.c.path)),
    "type": of_column(shapes, "type", Kind.WORD),
    "change": Field(column=change, kind=Kind.WORD, nullable=False, words={word: word for word in CHANGES}),
    "first_event_id": of_column(shapes, "first_event_id", Kind.ID),
    "first_seen_at": of_column(shapes, "first_seen_at", Kind.INSTANT),
    "last_seen_at": of_column(shapes, "last_seen_at", Kind.INSTANT),
}

DRIFT = Resource(
    name="drift",
    kind="shape",
    table=shapes,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    schema=Drift,
    page=DriftPage,
    audited=False,
    hint="Only what appeared, vanished or changed its type is shown.",
)


def recent_drift(moment: datetime, since: timedelta) -> Statement:
    """Return the statement of recent drift by source, still without wall: source, change, how many, since when."""
    at = case((change == "vanished", _own.last_seen_at), else_=_own.first_seen_at)
    statement: Statement = select(_own.source_id, change.label("change"), func.count(), func.min(at))
    statement = statement.select_from(drifting).where(change.is_not(None), at >= literal(moment - since))
    return statement.group_by(_own.source_id, "change")


def drift_path(source: str) -> str:
    """Return where the drift of a source is listed."""
    return path("/v1/drift", [("source", source)])
