"""Plans that are made while a database is new, and kept while it grows."""

from itertools import count

import pytest

from app.processing.record_columns import NOTE, NOTED
from app.storage.models import RECORDS
from tests.processing.conftest import Desk

# As the work process has it: `work` says why.
_BY_KEY = ("enable_seqscan = off", "enable_hashjoin = off", "enable_mergejoin = off")


@pytest.mark.parametrize("kind", NOTE)
def test_repeats_are_noted_by_the_key(desk: Desk, kind: str) -> None:
    numbers = count(1)
    with desk.database.transaction(force_rollback=True):
        for setting in (*_BY_KEY, "plan_cache_mode = force_generic_plan"):
            desk.database.execute(f"SET LOCAL {setting}")
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
