"""While the database is away, stopped or takes nothing, callbacks are acknowledged from the spool and brought to it."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from app.accounts.snapshot import AccountBook
from app.crypto import Vault
from tests.drills.conftest import OwnServer
from tests.drills.ledger import LONG, ONLY_LONG, Load
from tests.drills.proxy import Proxy
from tests.drills.service import await_ok, await_processed, service, status_of, stored_in
from tests.ingest.test_keeping import Database
from tests.server.test_supervisor import add_source, until

pytestmark = pytest.mark.process

STOPPED_S = 60.0


def address_of(url: str) -> str | tuple[str, int]:
    """Return where the server of a URL listens."""
    host, port = (
        str(conninfo_to_dict(url).get(name, usual)) for name, usual in (("host", "localhost"), ("port", 5432))
    )
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, int(port))


def url_through(proxy: Proxy, url: str) -> str:
    """Return the URL of the same database on the other side of a proxy."""
    parts = conninfo_to_dict(url)
    login = f"{parts.get('user', '')}:{parts.get('password', '')}".rstrip(":")
    return f"postgresql://{login}@127.0.0.1:{proxy.port}/{parts['dbname']}"


def cut_some_answers_off(proxy: Proxy) -> None:
    """Hang up on some of those who wait for a commit: its outcome is unknown to them."""
    count, before = iter(range(1_000_000)), proxy.cut
    proxy.cuts = lambda: next(count) % 3 == 0
    until(lambda: proxy.cut >= before + 5, "answers to be cut off")
    proxy.cuts = lambda: False


def test_the_database_is_in_trouble_under_load(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    """Commits of unknown outcome, then a database that is away, then one that is read-only."""
    database = Database(database_url, server_url)
    path = add_source(database_url, encryption_key)
    with (
        Proxy(address_of(database_url)) as proxy,
        service(url_through(proxy, database_url), encryption_key, tmp_path) as running,
    ):
        with Load(running.port, path) as load:
            load.wait_for_more()
            cut_some_answers_off(proxy)
            for trouble in (database.away, database.read_only):
                load.wait_for_more()
                with trouble():
                    load.wait_for_more(100)
                    assert status_of(running)[:2] == (200, "degraded")
                await_ok(running)
            load.wait_for_more()
        await_processed(database_url, tmp_path / "spool")
    load.ledger.check(stored_in(database_url), f"{proxy.cut} commits of unknown outcome, database away, read-only")
    assert not load.ledger.refused
    assert not load.ledger.cut_off


@pytest.mark.skipif(not LONG, reason=ONLY_LONG)
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
                cut_some_answers_off(proxy)
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


async def keep_accounts(url: str, key: str, folder: Path) -> None:
    """Leave the accounts on the disk, as a service does that had its database."""
    book = AccountBook(url, Vault(key), folder)
    await book.start()
    await book.stop()


def test_a_service_starts_and_receives_while_the_database_is_away(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    path = add_source(database_url, encryption_key)
    asyncio.run(keep_accounts(database_url, encryption_key, tmp_path / "spool"))
    with ExitStack() as stack:
        with Database(database_url, server_url).away():
            running = stack.enter_context(service(database_url, encryption_key, tmp_path))
            status, told = running.request("POST", path, '{"id": "lead-1", "first_name": "Marieke"}')
            assert status == 200
            assert running.request("POST", path[:-8] + "AAAAAAAA", "{}")[0] == 503
        await_processed(database_url, tmp_path / "spool")
    assert told["id"] in stored_in(database_url)
