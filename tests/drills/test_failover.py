"""The primary dies and its synchronous standby takes over: what was acknowledged is there, and the service goes on."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.ingest.rows import packed
from app.ingest.writer import open_committer, within
from app.storage.database import migrate
from tests.drills.cluster import Cluster
from tests.drills.ledger import LONG, ONLY_LONG, Load
from tests.drills.service import await_ok, await_processed, service, status_of, stored_in
from tests.ingest.test_spool import make_row
from tests.server.test_supervisor import add_source, until

pytestmark = [pytest.mark.process, pytest.mark.skipif(not LONG, reason=ONLY_LONG)]


@pytest.fixture
def cluster(short_folder: Path) -> Iterator[Cluster]:
    """A migrated primary with a synchronous standby."""
    short_folder.mkdir()
    made = Cluster(short_folder)
    try:
        migrate(made.primary.url)
        with made.line:
            made.join_standby()
            yield made
    finally:
        made.stop()


async def repeat_a_commit_that_only_the_primary_has(cluster: Cluster) -> None:
    """Write rows twice: found on the primary they are not yet safe, for the standby has still to get them."""
    row = make_row()
    count = "SELECT count(*) FROM deliveries WHERE id = %s"
    for _ in range(2):
        committer = await open_committer(cluster.url)
        with pytest.raises(TimeoutError):
            await within(1, committer.commit([packed(row)]))
        await committer.close()
        cluster.end_what_waits()
        async with await psycopg.AsyncConnection.connect(cluster.primary.url) as asking:
            assert await (await asking.execute(count, (row.id,))).fetchone() == (1,)


@pytest.mark.parametrize("broken", [False, True], ids=["at-once", "after-its-standby-was-cut-off"])
def test_the_primary_dies_and_the_standby_takes_over(
    cluster: Cluster, encryption_key: str, tmp_path: Path, *, broken: bool
) -> None:
    """Cut off from its standby the primary commits what the standby never gets."""
    spool = tmp_path / "spool"
    path = add_source(cluster.primary.url, encryption_key)
    with service(cluster.url, encryption_key, tmp_path) as running:
        with Load(running.port, path, pause=0.02) as load:
            load.wait_for_more()
            if broken:
                cluster.line.is_silent = True
                until(lambda: any(spool.glob("*.sqlite")), "the detour over the spool")
                asyncio.run(repeat_a_commit_that_only_the_primary_has(cluster))
            cluster.primary.kill()
            load.wait_for_more(100)
            assert status_of(running)[:2] == (200, "degraded")
            cluster.standby.promote()
            until(lambda: status_of(running)[2]["database"] == "ok", "the service to find the new primary")
            load.wait_for_more(100)
        await_processed(cluster.standby.url, spool)
        drill = f"failover to the synchronous standby{', which had been cut off' if broken else ''}"
        load.ledger.check(stored_in(cluster.standby.url), drill)
        assert not load.ledger.refused
        assert not load.ledger.cut_off
        await_ok(running)
        with psycopg.connect(cluster.standby.url) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
