"""Columns reach PostgreSQL in its binary form with the values that they had, null and empty ones too."""

from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from app.processing.arrays import (
    BOOLS,
    DAYS,
    INT4S,
    INT8S,
    JSONS,
    MOMENTS,
    TEXT_JSONS,
    TEXTS,
    UUIDS,
    Type,
    array,
    arrays,
    unnested,
)
from app.storage.database import connect

_MOMENT = datetime(2026, 3, 1, 23, 59, 59, 999999, UTC)
_COLUMNS: tuple[tuple[Type, tuple[Any, Any]], ...] = (
    (UUIDS, (UUID(int=1 << 127), UUID(int=0))),
    (TEXTS, ("Zoë \U0001f600", "")),
    (INT4S, (-(1 << 31), (1 << 31) - 1)),
    (INT8S, (-(1 << 63), (1 << 63) - 1)),
    (BOOLS, (True, False)),
    (MOMENTS, (_MOMENT, datetime(1969, 12, 31, tzinfo=UTC))),
    (DAYS, (date(1, 1, 1), date(9999, 12, 31))),
    (JSONS, ({"a": [1, None, "ß"]}, [])),
    (TEXT_JSONS, ({"z": 1.5, "a": {}}, "text")),
)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1, 0)])
def test_values_arrive_as_they_were(shared_database_url: str, first: int, last: int) -> None:
    types = [type_ for type_, _ in _COLUMNS]
    rows = [
        tuple(values[first] for _, values in _COLUMNS),
        (None,) * len(_COLUMNS),
        tuple(values[last] for _, values in _COLUMNS),
    ]
    with closing(connect(shared_database_url)) as database:
        question = f"SELECT * FROM {unnested([type_.name for type_ in types], types)} AS w".encode()  # noqa: S608 - ours
        found = database.execute(question, arrays(types, rows)).fetchall()
    assert found == rows


@pytest.mark.parametrize("type_", [type_ for type_, _ in _COLUMNS], ids=lambda type_: type_.name)
def test_a_column_that_says_nothing_is_as_long_as_the_others(shared_database_url: str, type_: Type) -> None:
    with closing(connect(shared_database_url)) as database:
        question = f"SELECT * FROM {unnested(['number', 'value'], [INT4S, type_])} AS w".encode()  # noqa: S608 - ours
        found = database.execute(question, arrays([INT4S, type_], [(1, None), (2, None)])).fetchall()
    assert found == [(1, None), (2, None)]


@pytest.mark.parametrize("type_", [type_ for type_, _ in _COLUMNS], ids=lambda type_: type_.name)
def test_no_values_are_an_empty_array(shared_database_url: str, type_: Type) -> None:
    with closing(connect(shared_database_url)) as database:
        found = database.execute(f"SELECT cardinality(%s::{type_.name}[])".encode(), (array(type_, []),)).fetchone()
    assert found == (0,)
