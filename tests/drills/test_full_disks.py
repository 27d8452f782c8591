"""Full disks: the database's, the spool's, both. Who cannot be kept is told to come again, and nothing kept is lost.

They mount small file systems, which only root may.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from app.storage.database import UnreachableError, connect
from app.storage.embedded import find_running
from tests.drills.conftest import SmallDisk
from tests.drills.ledger import LONG, ONLY_LONG, Load
from tests.drills.service import (
    await_ok,
    await_processed,
    embedded_path,
    embedded_url,
    given_up,
    service,
    status_of,
    stored_in,
)
from tests.ingest.test_keeping import Database
from tests.server.test_supervisor import add_source, serving, until

pytestmark = [pytest.mark.process, pytest.mark.skipif(not LONG, reason=ONLY_LONG)]

Disks = Callable[[int], SmallDisk]

_FILL_LOG = "SELECT pg_logical_emit_message(false, 'drill', repeat('x', 1000000))"


def fill_the_log_too(url: str, folder: Path) -> None:
    """Write to PostgreSQL's log on a full disk until it gives up: it panics, and cannot recover for want of room."""
    with suppress(psycopg.OperationalError, UnreachableError):
        while True:
            with connect(url) as connection:
                connection.execute(_FILL_LOG)
    until(lambda: find_running(folder) is None, "the database to give up")


@pytest.mark.parametrize("gives_up", [False, True], ids=["takes-nothing", "gives-up"])
def test_the_disk_of_the_database_is_full(small_disk: Disks, tmp_path: Path, *, gives_up: bool) -> None:
    disk = small_disk(256)
    folder, spool = disk.place / "data", tmp_path / "spool"
    with serving(data_dir=str(folder), spool_dir=str(spool)) as running:
        running.await_ready()
        with Load(running.port, embedded_path(folder, running.port), padding=20_000) as load:
            load.wait_for_more()
            disk.fill()
            if gives_up:
                fill_the_log_too(embedded_url(folder), folder)
            until(lambda: any(spool.glob("*.sqlite")), "the detour over the spool")
            load.wait_for_more(100)
            assert status_of(running)[:2] == (200, "degraded")
            for child in until(lambda: running.children("receiver"), "the receiver"):
                os.kill(child, signal.SIGKILL)  # its successor starts on the full disk
            load.wait_for_more(100)
            disk.make_room()
            until(lambda: status_of(running)[2]["database"] == "ok", "the database to take rows again")
            load.wait_for_more()
        url = embedded_url(folder)
        await_processed(url, spool)
        load.ledger.check(stored_in(url), f"disk of the database full, PostgreSQL {'ends' if gives_up else 'goes on'}")
        assert not given_up(url)
        assert not load.ledger.refused
        await_ok(running)


def test_the_disk_of_the_spool_is_full_while_the_database_is_away(
    small_disk: Disks, database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    """It drains without any room made for it: to delete on a full disk needs room that is not there."""
    disk = small_disk(8)
    database, spool = Database(database_url, server_url), disk.place / "spool"
    with service(database_url, encryption_key, tmp_path, spool_dir=str(spool)) as running:
        with Load(running.port, add_source(database_url, encryption_key), padding=20_000) as load:
            load.wait_for_more()
            with database.away():
                load.wait_for_refusals()
                disk.fill()
                load.wait_for_refusals()
                status, _, parts = status_of(running)
                assert (status, parts["spool"]) == (503, "failing")
            until(lambda: not any(spool.glob("*.sqlite")), "the spool drained")
            load.wait_for_more()
        disk.make_room()
        await_ok(running)
        await_processed(database_url, spool)
        load.ledger.check(stored_in(database_url), "disk of the spool full, database away")
        assert not load.ledger.cut_off


def test_the_disk_of_everything_is_full(small_disk: Disks) -> None:
    """As by default, spool and database lie on one disk. PostgreSQL ends, too."""
    disk = small_disk(256)
    folder = disk.place / "data"
    with serving(data_dir=str(folder)) as running:
        running.await_ready()
        with Load(running.port, embedded_path(folder, running.port), padding=20_000) as load:
            load.wait_for_more()
            disk.fill()
            load.wait_for_refusals()
            fill_the_log_too(embedded_url(folder), folder)
            load.wait_for_refusals()
            until(lambda: status_of(running)[0] == 503, "to be full")  # PostgreSQL ends, and leaves room for a moment
            for child in until(running.children, "the children"):
                os.kill(child, signal.SIGKILL)
            load.wait_for_refusals()
            disk.make_room()
            load.wait_for_more(100)
        url = embedded_url(folder)
        await_processed(url, folder / "spool")
        load.ledger.check(stored_in(url), "the one disk of database and spool full, PostgreSQL ends")
        assert not given_up(url)
        await_ok(running)
