"""Describes the filters that look into lists: references of records, calls that events answered, changes of events."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import (
    ColumnElement,
    Table,
    Uuid,
    and_,
    cast,
    column,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, TSQUERY

from app.processing.folding import words_in
from app.processing.searched import OPEN_MARK
from app.query.fields import Condition, Field, Kind
from app.query.personal import changes_personal
from app.query.values import Context, Fault
from app.query.walls import Statement, walled
from app.storage.models import baselines, events

_SUBJECTS: Final = ("inquiry", "lead", "customer")
_EACH: Final[ColumnElement[Any]] = literal_column("'$.*'::jsonpath")
"""Whatever name a reference is kept by: at WeGroup a company may have several, which are numbered."""


@dataclass(frozen=True, slots=True)
class _ChangedTo:
    field: str
    value: str


def reference_field(table: Table) -> Field:
    """Return `ref` of a record: an external reference, as `origin:key:value`."""
    return Field(
        column=table.c.external_references,
        kind=Kind.TEXT,
        nullable=False,
        parse=_parse_reference,
        build=_build(lambda reference: _has_reference(table, reference)),
        about="An external reference, written `origin:key:value`, such as `crm:AccountNumber:A-10023`.",
    )


def submission_field(record: Table) -> Field:
    """Return `submission_id` of a record: the last call of ours that an event about it answered, if the key sees it."""

    def of_events(condition: Condition, context: Context) -> Condition:
        asked = []
        for told in (events, baselines):
            own = (told.c.record_id == record.c.id, told.c.source_id == record.c.source_id)
            statement: Statement = select(told.c.submission_id).where(*own, told.c.submission_id.is_not(None))
            newest = walled(statement, told, context.access).order_by(told.c.id.desc()).limit(1)
            asked.append(newest.correlate(record).scalar_subquery())
        last = select(func.coalesce(*asked).label("submission_id")).correlate(record).subquery("asked")
        return exists(select(literal(1)).select_from(last).where(condition))

    about = "With `[null]=true` those that nobody asked for."
    return Field(column=column("submission_id", Uuid()), kind=Kind.ID, among=of_events, about=about)


def _build(one: Callable[[Any], Condition]) -> Callable[[Sequence[Any], Context], Condition]:
    return lambda values, _: or_(*(one(value) for value in values))


def _parse_reference(text: str, _: Context) -> str:
    parts = text.split(":", 2)
    if len(parts) != 3 or not parts[2]:  # noqa: PLR2004 - origin, key and value
        raise Fault("not-a-reference", "is no reference such as crm:AccountNumber:A-10023")
    return text


def _has_reference(table: Table, reference: str) -> Condition:
    """Return: one of a record's references is written so; each of its parts may have colons of its own."""
    each = func.jsonb_path_query(table.c.external_references, _EACH).table_valued(column("one", JSONB), name="held")
    one = each.render_derived().c.one
    written = func.concat(one["origin"].astext, ":", one["key"].astext, ":", one["value"].astext)
    held = exists(select(literal(1)).where(written == reference))
    words = words_in(reference.rpartition(":")[2])
    if not words:
        return held
    # The search's index leads to the few that hold the words at the end of it.
    asked = cast(literal(" & ".join(f"'{OPEN_MARK}{word}'" for word in words)), TSQUERY)
    return and_(table.c.words.bool_op("@@")(asked), held)


def _parse_changed(text: str, _: Context) -> str:
    if not text:
        raise Fault("empty", "is empty; name a field such as status")
    return text


def _parse_changed_to(text: str, _: Context) -> _ChangedTo:
    field, mark, value = text.partition(":")
    if not field or not mark:
        raise Fault("not-a-change", "is no change such as status:6")
    return _ChangedTo(field, value)


def _asks_personal(text: str) -> bool:
    """Tell whether the new value is asked for of what is personal in some records."""
    return any(changes_personal(kind, text.partition(":")[0]) for kind in _SUBJECTS)


def _has_changed(changes: Mapping[str, Any]) -> Condition:
    return cast(events.c.changes, JSONB).contains([changes])


def _has_changed_to(change: _ChangedTo) -> Condition:
    """Return the condition for a new value, as text or as what it is in JSON."""
    values: list[Any] = [change.value]
    with contextlib.suppress(orjson.JSONDecodeError):
        values.append(orjson.loads(change.value))
    return or_(*(_has_changed({"field": change.field, "new": value}) for value in values))


CHANGE_FIELDS: Final[Mapping[str, Field]] = {
    "changed": Field(
        column=events.c.changes,
        kind=Kind.TEXT,
        nullable=False,
        parse=_parse_changed,
        build=_build(lambda field: _has_changed({"field": field})),
        about="A field that the event changed, such as `status`. There is no index for it: name a time, too.",
    ),
    "changed_to": Field(
        column=events.c.changes,
        kind=Kind.TEXT,
        nullable=False,
        parse=_parse_changed_to,
        build=_build(_has_changed_to),
        asks_personal=_asks_personal,
        about="A field and the value it was changed to, written `status:6`. There is no index for it.",
    ),
}
