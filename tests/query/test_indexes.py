"""`docs/queries.md` names exactly the fields that have an index, and those that lists can be sorted by."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Table, text

from app.query.fields import Field
from app.query.resource import Resource
from app.query.routes import RESOURCES
from app.storage.models import customers, sources
from tests.query.conftest import Rows

_PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
_BY_ANOTHER = {
    ("events", "delivery_id"): "the beginning of the event's own id",
    ("events", "subject"): "the sources beside it",
    ("deliveries", "reason"): "the statuses that have one",
    ("leads", "lead_id"): "its own index and that of the party's id",
}
"""Fields whose condition is put together with another that has the index."""


def _leading(connection: Connection) -> set[tuple[str, str]]:
    """Return table and first column of every index that is not of words."""
    found = connection.execute(text("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'"))
    first = re.compile(r"USING btree \((\w+)")
    return {(row[0], match[1]) for row in found if (match := first.search(row[1]))}


def _has_index(resource: Resource, name: str, field: Field, leading: set[tuple[str, str]]) -> bool:
    if name == "ref":
        return True  # by the search's index of words
    if field.id_range is not None or (resource.name, name) in _BY_ANOTHER:
        return True
    column = field.column
    if not isinstance(column, Column) or not isinstance(column.table, Table):
        return False
    return (column.table.name, column.name) in leading and (column.table is not customers or column.name != "source_id")


def _documented(heading: str) -> dict[str, list[str]]:
    part = _PAGE.read_text().split(heading)[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (`.*`) \|$", part, re.MULTILINE)
    return {name: re.findall("`([^`]+)`", fields) for name, fields in rows if name != "list"}


@pytest.fixture
def leading(rows: Rows) -> set[tuple[str, str]]:
    return _leading(rows.connection)


def test_the_fields_with_an_index_are_named(leading: set[tuple[str, str]]) -> None:
    documented = _documented("## What is quick")
    for resource in RESOURCES:
        if resource.name not in documented:
            assert resource.table is sources or resource.name in ("gaps", "drift"), resource.name
            continue
        found = [name for name, field in resource.fields.items() if _has_index(resource, name, field, leading)]
        if resource.name != "deliveries":
            # The unique key of records begins with the source, but is no help to find the newest of it.
            found = [name for name in found if name not in ("source", "provider")]
        assert documented[resource.name] == sorted(found), resource.name


def test_the_fields_to_sort_by_are_named() -> None:
    sorts = {resource.name: sorted(resource.sorts) for resource in RESOURCES if resource.sorts}
    assert _documented("## In which order") == sorts
