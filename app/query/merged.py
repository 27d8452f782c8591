"""Asks for records by ids that somebody kept: a record that was joined with another is found by either's id."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Table, Uuid, any_, cast, func, literal, select


def is_or_became(column: ColumnElement[UUID], ids: Sequence[UUID], records: Table) -> ColumnElement[bool]:
    """Return: `column` has one of the `ids`, or that of the record which one of them turned out to be.

    It is one list, known before the rows are looked for, so that an index on the column serves.
    """
    own = records.c
    first = select(own.merged_into.label("id")).where(own.id.in_(ids), own.merged_into.is_not(None))
    found = first.cte("became", recursive=True, nesting=True)
    found = found.union(select(own.merged_into).where(own.id == found.c.id, own.merged_into.is_not(None)))
    became = func.array(select(found.c.id).scalar_subquery())
    return column == any_(func.array_cat(cast(literal(list(ids), ARRAY(Uuid())), ARRAY(Uuid())), became))
