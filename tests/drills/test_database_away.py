"""While the database is away, stopped or takes nothing, callbacks are acknowledged from the spool and brought to it."""

import time
from pathlib import Path

import pytest

from tests.drills.conftest import OwnServer
from tests.drills.ledger import LONG, Load
from tests.drills.proxy import Proxy
from tests.drills.service import await_ok, await_processed, service, status_of, stored_in
from tests.ingest.test_keeping import Database
from tests.server.test_supervisor import add_source, until

pytestmark = pytest.mark.process

STOPPED_S = 60.0 if LONG else 3.0


@pytest.mark.parametrize("trouble", ["away", "read_only"])
def test_the_database_is_in_trouble_under_load(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path, trouble: str
) -> None:
    database = Database(database_url, server_url)
    with service(database_url, encryption_key, tmp_path) as running:
        with Load(running.port, add_source(database_url, encryption_key)) as load:
            load.wait_for_more()
            with getattr(database, trouble)():
                load.wait_for_more(100)
                assert status_of(running)[:2] == (200, "degraded")
            load.wait_for_more()
        await_processed(database_url, tmp_path / "spool")
        load.ledger.check(stored_in(database_url), f"database {trouble.replace('_', '-')}")
        assert not load.ledger.refused
        assert not load.ledger.cut_off
        await_ok(running)


def test_the_database_is_stopped_for_a_while_and_answers_get_lost(
    own_server: OwnServer, encryption_key: str, tmp_path: Path
) -> None:
    """Commits of unknown outcome first: a third of all answers to an INSERT is cut off on its way."""
    path = add_source(own_server.url, encryption_key)
    spool = tmp_path / "spool"
    with Proxy(own_server.socket) as proxy:
        url = f"postgresql://callbox@127.0.0.1:{proxy.port}/callbox"
        with service(url, encryption_key, tmp_path) as running:
            with Load(running.port, path, pause=0.02) as load:
                load.wait_for_more()
                count = iter(range(1_000_000))
                proxy.cuts = lambda: next(count) % 3 == 0
                until(lambda: proxy.cut >= 5, "answers to be cut off")
                proxy.cuts = lambda: False
                load.wait_for_more()

                stopped_at = time.monotonic()
                own_server.stop()
                time.sleep(STOPPED_S)
                assert status_of(running)[:2] == (200, "degraded")
                own_server.start()
                began_at = time.monotonic()
                until(lambda: not any(spool.glob("*.sqlite")), "the spool drained")
                drained_at = time.monotonic()
                load.wait_for_more()
            await_processed(own_server.url, spool)
    ledger = load.ledger
    drill = f"{proxy.cut} commits of unknown outcome, then the database stopped for {STOPPED_S:.0f} s"
    ledger.check(stored_in(own_server.url), drill)
    assert not ledger.refused
    assert not ledger.cut_off
    assert ledger.longest_silence(stopped_at, began_at) < 3, "acknowledged from the spool all the time"
    assert ledger.longest_silence(began_at, drained_at) < 3, "acknowledged while the spool drained"
    assert ledger.quantile(0.99, began_at) < 1.5, "live callbacks do not wait for the spool"


def test_a_service_starts_and_receives_while_the_database_is_away(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    database = Database(database_url, server_url)
    with service(database_url, encryption_key, tmp_path) as running:
        path = add_source(database_url, encryption_key)
        assert running.request("POST", path, "{}")[0] == 202
    with database.away(), service(database_url, encryption_key, tmp_path) as running:
        status, told = running.request("POST", path, '{"id": "lead-1", "first_name": "Marieke"}')
        assert status == 200
        assert running.request("POST", path[:-8] + "AAAAAAAA", "{}")[0] == 503
    with service(database_url, encryption_key, tmp_path):
        await_processed(database_url, tmp_path / "spool")
    assert told["id"] in stored_in(database_url)
