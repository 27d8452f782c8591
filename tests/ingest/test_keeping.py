"""Rows are durable while the database is away, read-only or slow, and reach it once, by themselves."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from app.ids import IdSource
from app.ingest.keeping import Keeper
from app.ingest.rows import NotKeptError, Row
from app.ingest.spool import Spool
from app.ingest.writer import Writer
from app.storage.database import connect
from tests.ingest.test_spool import make_row

_NAME = "SELECT current_database()"
LONG_S, SHORT_S = 60.0, 0.5
"""How long a row waits for the database: where it is there, however busy the machine is, and where it is not."""


class Database:
    """A test's database, which can be taken away and given back."""

    def __init__(self, url: str, server: str) -> None:
        self.url = url
        self._server = server
        with connect(url) as connection:
            row = connection.execute(_NAME).fetchone()
        assert row is not None
        self._name = str(row[0])

    def _do(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(self._name)))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self._name,)
            )

    @contextmanager
    def away(self) -> Iterator[None]:
        self._do("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        try:
            yield
        finally:
            self._do("ALTER DATABASE {} ALLOW_CONNECTIONS true")

    @contextmanager
    def read_only(self) -> Iterator[None]:
        self._do("ALTER DATABASE {} SET default_transaction_read_only = on")
        try:
            yield
        finally:
            self._do("ALTER DATABASE {} RESET default_transaction_read_only")

    def add_source(self) -> UUID:
        source_id = IdSource().next()
        with connect(self.url) as connection:
            connection.execute(
                "INSERT INTO sources (id, name, provider, mode) VALUES (%s, %s, 'wegroup', 'off')",
                (source_id, str(source_id)),
            )
        return source_id

    def stored(self) -> list[Any]:
        with connect(self.url) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM deliveries ORDER BY id")]

    def waiting(self) -> int:
        with connect(self.url) as connection:
            return len(connection.execute("SELECT 1 FROM inbox").fetchall())


@pytest.fixture
def database(database_url: str, server_url: str) -> Database:
    return Database(database_url, server_url)


def run_keeper(url: str, folder: Path, act: Callable[[Keeper], Awaitable[None]], max_bytes: int = 1 << 30) -> None:
    async def live() -> None:
        keeper = Keeper(url, Writer(url, patience=timedelta(seconds=LONG_S)), Spool(folder, max_bytes))
        await keeper.start()
        try:
            await act(keeper)
        finally:
            await keeper.close()

    asyncio.run(live())


async def until_so(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about in time"
        await asyncio.sleep(0.05)


async def _fail(_: Row) -> None:
    raise AssertionError


def _rows(count: int) -> list[Row]:
    return [make_row(b"{}") for _ in range(count)]


@pytest.mark.parametrize("trouble", ["away", "read_only"])
def test_what_comes_while_the_database_is_in_trouble_is_kept_and_brought_to_it_later(
    database: Database, tmp_path: Path, trouble: str
) -> None:
    before, meanwhile, after = _rows(3), _rows(40), _rows(3)

    async def act(keeper: Keeper) -> None:
        await asyncio.gather(*map(keeper.write, before))
        assert not keeper.is_away
        keeper._writer._patience = SHORT_S
        with getattr(database, trouble)():
            began = time.monotonic()
            await asyncio.gather(*map(keeper.write, meanwhile[:20]))
            assert time.monotonic() - began < 60
            assert keeper.is_away
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(keeper._writer, "write", _fail)  # once on the detour nobody waits for the database
                await asyncio.gather(*map(keeper.write, meanwhile[20:]))
            assert keeper.spooled == 40
        await until_so(lambda: not keeper.spooled and not keeper.is_away)
        keeper._writer._patience = LONG_S
        await asyncio.gather(*map(keeper.write, after))

    run_keeper(database.url, tmp_path, act)
    assert database.stored() == [row.id for row in (*before, *meanwhile, *after)]
    assert database.waiting() == 46
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_is_in_both_is_stored_once(database: Database, tmp_path: Path) -> None:
    rows = _rows(5)

    async def store(keeper: Keeper) -> None:
        await asyncio.gather(*map(keeper.write, rows))

    async def spool(keeper: Keeper) -> None:
        keeper.is_away = True
        await asyncio.gather(*map(keeper.write, rows))
        await until_so(lambda: not keeper.spooled)

    run_keeper(database.url, tmp_path, store)
    run_keeper(database.url, tmp_path, spool)
    assert database.stored() == [row.id for row in rows]
    assert database.waiting() == 5


def test_what_a_process_left_in_the_spool_the_next_one_brings(database: Database, tmp_path: Path) -> None:
    source_id = database.add_source()
    rows = [row._replace(source_id=source_id) for row in _rows(5)]

    async def spool(keeper: Keeper) -> None:
        keeper._writer._patience = SHORT_S
        await asyncio.gather(*map(keeper.write, rows))

    async def drain(keeper: Keeper) -> None:
        assert await keeper.last_id() == rows[-1].id
        await until_so(lambda: not keeper.spooled)

    with database.away():
        run_keeper(database.url, tmp_path, spool)
    run_keeper(database.url, tmp_path, drain)
    assert database.stored() == [row.id for row in rows]


def test_where_neither_can_take_it_the_sender_is_told(tmp_path: Path) -> None:
    async def act(keeper: Keeper) -> None:
        keeper._writer._patience = SHORT_S
        with pytest.raises(NotKeptError):
            await keeper.write(make_row(bytes(2 << 20)))
        assert keeper.spool_fails
        await keeper.write(make_row(b"{}"))
        assert not keeper.spool_fails

    run_keeper("postgresql://callbox@127.0.0.1:1/nothing", tmp_path, act, max_bytes=1 << 20)


def test_a_spool_folder_that_cannot_be_used_does_not_stop_the_database_way(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    row = make_row()

    async def act(keeper: Keeper) -> None:
        assert keeper.spool_fails
        await keeper.write(row)

    run_keeper(database.url, tmp_path / "file" / "spool", act)
    assert database.stored() == [row.id]


def test_a_spool_that_refused_is_well_again_by_itself(tmp_path: Path) -> None:
    async def act(keeper: Keeper) -> None:
        keeper._writer._patience = SHORT_S
        with pytest.raises(NotKeptError):
            await keeper.write(make_row(bytes(2 << 20)))
        assert keeper.spool_fails
        await until_so(lambda: not keeper.spool_fails)

    run_keeper("postgresql://callbox@127.0.0.1:1/nothing", tmp_path, act, max_bytes=1 << 20)


def test_a_database_that_takes_nothing_is_not_back(database: Database, tmp_path: Path) -> None:
    """As a standby: it answers, and each callback would wait for it in vain."""

    async def act(keeper: Keeper) -> None:
        with database.read_only(), capture_logs() as logs:
            keeper.is_away = True
            await until_so(lambda: [line["event"] for line in logs].count("spool.waiting") > 1)
            assert keeper.is_away
        await until_so(lambda: not keeper.is_away)

    run_keeper(database.url, tmp_path, act)


def test_at_the_end_what_waits_for_the_disk_is_kept(database: Database, tmp_path: Path) -> None:
    row = make_row()._replace(source_id=database.add_source())

    async def act() -> None:
        keeper = Keeper(database.url, Writer(database.url), Spool(tmp_path, 1 << 30))
        await keeper.start()
        disk_is_free = threading.Event()
        keeper._disk.submit(disk_is_free.wait, LONG_S)
        keeper.is_away = True
        waiting = asyncio.create_task(keeper.write(row))
        await asyncio.sleep(0)
        closing = asyncio.create_task(keeper.close())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        disk_is_free.set()
        async with asyncio.timeout(LONG_S):
            await waiting
            await closing

    async def drain(keeper: Keeper) -> None:
        await until_so(lambda: not keeper.spooled)

    asyncio.run(act())
    run_keeper(database.url, tmp_path, drain)
    assert database.stored() == [row.id]
