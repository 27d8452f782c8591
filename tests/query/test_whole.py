"""Pages of all rows with one value: the same statement each time, by an index that has them in the order of ids."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from app.accounts.model import Scope
from app.query.resource import Resource
from app.query.routes import RESOURCES
from tests.overheard import overheard
from tests.query.conftest import Caller, Rows

_LISTED = [(resource, name) for resource in RESOURCES for name in resource.listed_by]


@pytest.fixture
def written(rows: Rows) -> list[str]:
    """Eight inquiries, two of each status and broker, the newest first."""
    source = rows.source("s")
    ids = [
        rows.inquiry(source, number, number, status=4 + number // 2 % 2, broker_external_id=f"B{number // 4}")
        for number in range(8)
    ]
    return [str(one) for one in reversed(ids)]


@pytest.mark.parametrize("limit", [1, 2, 50])
@pytest.mark.parametrize("brokers", [None, ["B0", "B1"], ["B1"]])
def test_pages_are_whole(
    rows: Rows, written: list[str], open_caller: Callable[[], Caller], limit: int, brokers: list[str] | None
) -> None:
    key, caller = rows.key(Scope.READ, brokers=brokers), open_caller()
    seen = written[:4] if brokers == ["B1"] else written
    calculated, other = [*seen[2:4], *seen[6:]], [*seen[:2], *seen[4:6]]

    def walk(filters: str) -> list[str]:
        return [one["id"] for one in caller.walk(key, f"/v1/inquiries?{filters}&limit={limit}")]

    for status in ("status=4", "status_name=calculated", "status[in]=4", "status=4,4"):
        assert walk(status) == calculated
        assert walk(f"{status}&order=asc") == calculated[::-1]
    assert walk("status=5&count=exact") == other
    assert walk("status=4&status=5") == walk("status=4,5") == seen
    assert walk("status[ne]=4") == other
    assert walk("status=4&status_name=status_5") == []
    assert walk("status=7") == walk("status=9000000000000000000") == []
    assert walk("broker_external_id=B1") == written[:4]
    assert walk("broker_external_id=B0&order=asc") == [one for one in written[:3:-1] if one in seen]
    assert walk("broker_external_id=B1,B0") == []  # text is never split
    assert walk("broker_external_id=B1&status=4") == written[2:4]


@pytest.mark.usefixtures("written")
def test_it_is_one_statement_for_all_values_but_within_walls(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    caller = open_caller()

    def asked(key: str, filters: str) -> list[tuple[str, bool]]:
        with overheard() as seen:
            caller.found(key, f"/v1/inquiries?{filters}")
        return [(statement, "value" in values) for statement, values in seen if "FROM inquiries" in statement]

    key = rows.key(Scope.READ)
    ((first, is_known),) = asked(key, "status=4")
    assert is_known
    assert asked(key, "status=5") == [(first, True)]
    other = rows.source("other")
    walls: list[dict[str, Any]] = [
        {"brokers": ["B1"]},
        {"source_ids": [other]},
        {"source_ids": [other], "brokers": ["B1"]},
    ]
    others = [(key, "status=4,5"), *((rows.key(Scope.READ, **wall), "status=4") for wall in walls)]
    assert not any(is_known for one, filters in others for _, is_known in asked(one, filters))


@pytest.mark.usefixtures("written")
def test_what_has_a_value_is_counted_by_a_plan_of_its_own(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[tuple[str, str]] = []
    execute = psycopg.AsyncCursor.execute

    def listening(cursor: Any, statement: Any, *more: Any, **others: Any) -> Any:
        ways.append((str(statement), cursor.connection.info.options))
        return execute(cursor, statement, *more, **others)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", listening)
    key, caller = rows.key(Scope.READ), open_caller()
    for filters, mode in (("status=4&", "force_custom_plan"), ("", "force_generic_plan")):
        ways.clear()
        assert caller.found(key, f"/v1/inquiries?{filters}count=exact")
        (way,) = (options for statement, options in ways if "SELECT count(" in statement)
        assert mode in way


@pytest.mark.parametrize(("resource", "name"), _LISTED, ids=[f"{one.name}-{name}" for one, name in _LISTED])
def test_an_index_has_them_in_order(rows: Rows, resource: Resource, name: str) -> None:
    every = rows.connection.exec_driver_sql("SELECT tablename, indexdef FROM pg_indexes").all()
    assert any(table == resource.table.name and f"({name}, id)" in told for table, told in every)
