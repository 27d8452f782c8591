"""Plans that are made while a database is new, and kept while it grows."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from app.processing.record_columns import NOTE, NOTED
from app.processing.work import OPTIONS
from app.storage.models import RECORDS
from tests.processing.conftest import Desk

_SETTINGS = [one.split("=") for one in OPTIONS.removeprefix("-c ").split(" -c ")]
"""As the work process has them: `work` says why."""


@pytest.mark.parametrize("kind", NOTE)
def test_repeats_are_noted_by_the_key(desk: Desk, kind: str) -> None:
    numbers = count(1)
    with desk.database.transaction(force_rollback=True):
        for setting in _SETTINGS:
            desk.rows("SELECT set_config(%s, %s, true)", *setting)
        # Whatever other tests left of the table, nobody has counted its rows yet.
        new = "UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE oid = %s::regclass"
        desk.database.execute(new, (RECORDS[kind].name,))
        parts = NOTE[kind].split("%s")
        statement = "".join(f"{part}${next(numbers)}" for part in parts[:-1]) + parts[-1]
        desk.database.execute(f"PREPARE noting AS {statement}")
        asked = ", ".join("NULL" for _ in NOTED[kind])
        plan = "\n".join(line for (line,) in desk.rows(f"EXPLAIN EXECUTE noting ({asked})"))
        desk.database.execute("DEALLOCATE noting")
    assert "Index Cond: (id = w.id)" in plan


def test_what_a_batch_asks_is_planned_once(desk: Desk, item: Callable[..., dict[str, Any]]) -> None:
    for setting in _SETTINGS:
        desk.rows("SELECT set_config(%s, %s, false)", *setting)
    for number in range(9):
        desk.lay(item(number, customer={"cId": number, "lastName": "Muster"}))
        desk.process()
    assert desk.rows("SELECT statement FROM pg_prepared_statements WHERE custom_plans > 0") == []
    assert desk.row("SELECT count(*) > 10 FROM pg_prepared_statements") == (True,)
