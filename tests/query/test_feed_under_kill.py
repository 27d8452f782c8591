"""Readers who follow the feeds miss nothing and read nothing twice, whatever happens to who processes.

Real processes: a receiver under load, a spool with deliveries of an hour ago, and processors that are killed.
"""

import signal
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import orjson
import psycopg
import pytest

from app.accounts.keys import add_key
from app.accounts.model import Scope
from app.ids import derived_id, first_id_at, time_of
from app.ingest.rows import Row, packed
from app.ingest.spool import Spool
from app.processing.work import ACTIVE_LOCK
from app.storage.database import connect
from app.times import now
from tests.drills.ledger import Load
from tests.drills.service import await_processed, given_up
from tests.ports import free_port
from tests.server.test_supervisor import Running, add_source, serving, until

pytestmark = pytest.mark.process

SPOOLED = 150
ACTIVE = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s"
STANDING_BY = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock%%'"
)


@dataclass
class Reader:
    """Walks one feed from its beginning, until it is told that nothing more will come and it has read all."""

    url: str
    key: str
    ended: threading.Event
    ids: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    pages: int = 0
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            with httpx2.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=120) as client:
                self._walk(client)
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failure = error

    def _walk(self, client: httpx2.Client) -> None:
        cursor: dict[str, str] = {}
        while True:
            was_ended = self.ended.is_set()
            page = client.get(self.url, params={"order": "asc", "limit": 500, **cursor}).raise_for_status().json()
            self.ids += [row["id"] for row in page["data"]]
            self.seqs += [row["seq"] for row in page["data"]]
            self.pages += 1
            cursor = {"cursor": page["follow_cursor"]}
            if page["caught_up"] and was_ended:
                return
            if page["caught_up"]:
                time.sleep(0.1)

    def join(self) -> None:
        """Wait until it has read all."""
        self.thread.join(180)
        assert not self.thread.is_alive()
        if self.failure:
            raise self.failure


class Processors:
    """One that is active, and those that take over from it."""

    def __init__(self, connection: psycopg.Connection[Any], settings: dict[str, Any]) -> None:
        self._connection = connection
        self._settings = settings
        self._started = [self._start()]

    def _start(self) -> Running:
        return Running(free_port(), command="work", **self._settings)

    def holder(self) -> Any:
        """Return whose connection holds the lock of the active processor."""
        return self._connection.execute(ACTIVE, (ACTIVE_LOCK & 0xFFFFFFFF,)).fetchone()

    def kill_the_active(self, load: Load) -> None:
        """Kill it at full speed once another stands by, and wait until that one is active."""
        self._started.append(self._start())
        until(lambda: self._connection.execute(STANDING_BY).fetchone(), "a processor that stands by")
        before = self.holder()
        load.wait_for_more()
        self._started[-2].end(signal.SIGKILL)
        until(lambda: self.holder() not in {None, before}, "the other to take over")
        load.wait_for_more()

    def end(self) -> None:
        """End those that live."""
        for one in self._started:
            if one.process.poll() is None:
                assert one.end() == 0
                assert "processing" in "".join(one.said)
            one.status()


def lay_into_spool(folder: Path, source_id: UUID, hours_ago: int) -> None:
    """Leave a spool as a receiver that died: its deliveries have old ids."""
    oldest = first_id_at(now() - timedelta(hours=hours_ago))
    rows = []
    for number in range(SPOOLED):
        delivery_id = derived_id(oldest, number)
        body = orjson.dumps({"id": f"old-{hours_ago}-{number}", "prospect": {"first_name": "Lotte"}})
        sent = (0, 0, 200, 3, len(body), b"", b"d", b"", b"", b"[]", body)
        rows.append(packed(Row(delivery_id, source_id, None, time_of(delivery_id), *sent)))
    with closing(Spool(folder, 1 << 30)) as spool:
        spool.open()
        spool.put(rows)


def ids_in(connection: psycopg.Connection[Any], question: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(question.encode()).fetchall()]


def test_readers_miss_nothing_and_read_nothing_twice(database_url: str, encryption_key: str, tmp_path: Path) -> None:
    path = add_source(database_url, encryption_key)
    settings: dict[str, Any] = {"database_url": database_url, "encryption_key": encryption_key}
    ended = threading.Event()
    spool = tmp_path / "spool"
    with (
        connect(database_url) as connection,
        serving("--no-work", data_dir=str(tmp_path), **settings) as running,
    ):
        processors = Processors(connection, settings)
        try:
            keys = [add_key(connection, name, [Scope.READ]).key for name in ("one", "two")]
            source_id = UUID(ids_in(connection, "SELECT id FROM sources")[0])
            running.await_ready()
            until(processors.holder, "a processor")
            base = f"http://127.0.0.1:{running.port}/v1"
            readers = [
                Reader(f"{base}/{name}", key, ended) for name, key in zip(("events", "deliveries"), keys, strict=True)
            ]
            with Load(running.port, path, senders=4) as load:
                for hours_ago in (1, 2):
                    load.wait_for_more(50)
                    lay_into_spool(spool, source_id, hours_ago)
                    processors.kill_the_active(load)
                until(lambda: not any(spool.glob("*.sqlite")), "the spool drained")
            await_processed(database_url, spool)
            ended.set()
            for reader in readers:
                reader.join()
            stored = {
                "events": ids_in(connection, "SELECT id FROM events"),
                "deliveries": ids_in(connection, "SELECT id FROM deliveries"),
            }
        finally:
            ended.set()
            processors.end()
    load.ledger.check(stored["deliveries"], "feeds while processors are killed")
    assert given_up(database_url) == 0
    assert len(stored["deliveries"]) == len(load.ledger.acknowledged) + 2 * SPOOLED
    for reader, of in zip(readers, stored.values(), strict=True):
        assert sorted(reader.ids) == sorted(of)
        assert reader.seqs == sorted(set(reader.seqs))
        assert reader.ids != sorted(reader.ids), "old ones came in between"
        assert reader.pages > 2
