"""A spool that holds as much as it may says so, refuses for the time being, and is itself again once it is drained."""

from pathlib import Path

import pytest

from tests.drills.ledger import LONG, ONLY_LONG, Load
from tests.drills.service import await_ok, await_processed, service, status_of, stored_in
from tests.ingest.test_keeping import Database
from tests.server.test_supervisor import add_source

pytestmark = [pytest.mark.process, pytest.mark.skipif(not LONG, reason=ONLY_LONG)]


def test_the_spool_is_full_by_its_own_bound(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    database, spool = Database(database_url, server_url), tmp_path / "spool"
    with service(database_url, encryption_key, tmp_path, spool_max_bytes=str(1 << 20)) as running:
        with Load(running.port, add_source(database_url, encryption_key), padding=10_000) as load:
            load.wait_for_more()
            with database.away():
                load.wait_for_refusals()
                status, _, parts = status_of(running)
                assert (status, parts["database"], parts["spool"]) == (503, "away", "failing")
                held = sum(file.stat().st_size for file in spool.iterdir())
                assert held < 2 << 20
            load.wait_for_more()
        await_ok(running)
        await_processed(database_url, spool)
        load.ledger.check(stored_in(database_url), "CALLBOX_SPOOL_MAX_BYTES reached, database away")
        assert not load.ledger.cut_off
