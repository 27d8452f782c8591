"""Rows are committed by libpq's own calls, against a real PostgreSQL: each way in which that can end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus

from app.ingest.committer import Committer
from app.ingest.rows import packed
from app.ingest.writer import open_committer
from tests.drills.proxy import Proxy
from tests.drills.test_database_away import address_of, url_through
from tests.ingest.test_spool import make_row
from tests.ingest.test_writer import ask

WITHIN_S = 60
LARGE = 16 << 20
"""More than the kernel takes for a peer that does not read."""

_END_COMMITTERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE 'LOCK%'"
)
_UNDER_WAY = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND state = 'active' AND query LIKE '%INSERT INTO deliveries%' AND pid <> pg_backend_pid()"
)
_WARN_IN_THE_END = """
CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE WARNING 'not yet'; PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER warns AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION warn()
"""
"""A commit that warns, by which the server sends the statement's result ahead, and then may wait: as for a standby."""
_MARKED = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%logical_emit%callbox%'"


def run(act: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S):
            await act

    asyncio.run(bounded())


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Committer]:
    committer = await open_committer(url)
    try:
        yield committer
    finally:
        await committer.close()


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Let no statement on deliveries come to its end."""
    async with await psycopg.AsyncConnection.connect(url) as blocker:
        await blocker.execute("LOCK TABLE deliveries")
        yield
        await blocker.rollback()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited happens in the server
        await asyncio.sleep(0.01)


async def begun(url: str, committer: Committer) -> asyncio.Task[None]:
    """Return a commit that hangs in the server, for deliveries are locked."""
    task = asyncio.create_task(committer.commit([packed(make_row())]))
    await until(lambda: bool(ask(url, _UNDER_WAY)))
    return task


def stored(url: str) -> Any:
    return ask(url, "SELECT (SELECT count(*) FROM deliveries), (SELECT count(*) FROM inbox)")[0]


def test_a_row_that_is_there_already_is_marked_in_the_log(database_url: str) -> None:
    """A standby that has not yet got it is waited for by that."""
    row = packed(make_row())

    async def act() -> None:
        async with opened(database_url) as committer:
            await committer.commit([row])
            before = ask(database_url, "SELECT pg_current_wal_insert_lsn()")
            await committer.commit([row])
            assert ask(database_url, "SELECT pg_current_wal_insert_lsn()") > before

    run(act())
    assert stored(database_url) == (1, 1)


def test_other_statements_and_notices_come_in_between(database_url: str) -> None:
    async def act() -> None:
        async with opened(database_url) as committer:
            for level in ("debug5", "warning"):
                await committer.connection.execute(f"SET client_min_messages = {level}")
                for _ in range(3):
                    await committer.commit([packed(make_row())])

    run(act())
    assert stored(database_url) == (6, 6)


def test_a_result_that_was_sent_ahead_of_a_commit_is_none_yet(database_url: str) -> None:
    """Else a row would be acknowledged whose commit the server never finished, or its standby never got."""

    async def act() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as blocker:
            await blocker.execute(_WARN_IN_THE_END)
            await blocker.execute("SELECT pg_advisory_lock(7)")
            with Proxy(address_of(database_url)) as proxy:
                async with opened(url_through(proxy, database_url)) as committer:
                    commit = asyncio.create_task(committer.commit([packed(make_row())]))
                    await until(lambda: committer._result is not None)
                    proxy.hang_up()
                    with pytest.raises(psycopg.OperationalError):
                        await commit
            ask(database_url, _END_COMMITTERS + " AND query LIKE '%INSERT INTO deliveries%'")
            await until(lambda: not ask(database_url, _UNDER_WAY))

    run(act())
    assert stored(database_url) == (0, 0)


def test_after_a_warning_rows_are_marked_in_the_log(database_url: str) -> None:
    """It may say that the wait for a standby was cut short; the mark waits again."""

    async def act() -> None:
        async with opened(database_url) as committer:
            await committer.commit([packed(make_row())])
            assert not ask(database_url, f"{_MARKED} AND pid <> pg_backend_pid()")
            await committer.connection.execute(_WARN_IN_THE_END)
            await committer.commit([packed(make_row())])
            assert ask(database_url, f"{_MARKED} AND pid <> pg_backend_pid()")

    run(act())
    assert stored(database_url) == (2, 2)


def test_a_time_out_of_the_database_ends_no_commit(database_url: str) -> None:
    """It would end the wait for a standby, too, and the server calls that a success."""

    async def act() -> None:
        async with opened(database_url) as committer:
            assert await (await committer.connection.execute("SHOW statement_timeout")).fetchone() == ("0",)

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET statement_timeout = '1h'")
    run(act())


def test_what_the_server_refuses_is_told(database_url: str) -> None:
    async def act() -> None:
        async with opened(database_url) as committer:
            await committer.connection.execute("SET default_transaction_read_only = on")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await committer.commit([packed(make_row())])

    run(act())
    assert stored(database_url) == (0, 0)


def test_more_than_the_line_takes_at_once_goes_bit_by_bit(database_url: str) -> None:
    """Whoever stands between reads nothing at first."""
    reads = asyncio.Event()
    target = address_of(database_url)
    relays: list[asyncio.Task[None]] = []

    async def pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter, may: asyncio.Event | None) -> None:
        while data := await source.read(1 << 20):
            to.write(data)
            await to.drain()
            if may:
                await may.wait()
        to.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = asyncio.open_unix_connection(target) if isinstance(target, str) else asyncio.open_connection(*target)
        theirs = await opening
        relays.append(asyncio.create_task(pass_on(theirs[0], writer, None)))
        relays.append(asyncio.create_task(pass_on(reader, theirs[1], reads)))

    async def act() -> None:
        reads.set()
        server = await asyncio.start_server(meet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = make_conninfo(database_url, host="127.0.0.1", hostaddr="127.0.0.1", port=port, sslmode="disable")
        async with opened(url) as committer:
            await committer.commit([packed(make_row())])
            reads.clear()
            commit = asyncio.create_task(committer.commit([packed(make_row(bytes(LARGE)))]))
            await asyncio.sleep(0.1)
            assert not commit.done()
            reads.set()
            await commit
        await asyncio.gather(*relays)
        server.close()

    run(act())
    assert ask(database_url, "SELECT max(length(body)) FROM deliveries") == [(LARGE,)]


def test_the_end_of_the_server_is_heard_in_a_commit(database_url: str) -> None:
    """What has the number of its socket from then on is left alone."""

    async def act() -> None:
        loop = asyncio.get_running_loop()
        async with opened(database_url) as committer, locked(database_url):
            commit = await begun(database_url, committer)
            ask(database_url, _END_COMMITTERS)
            with pytest.raises(psycopg.OperationalError):
                await commit
            await until(lambda: committer._libpq.status == ConnStatus.BAD)
            others: list[socket.socket] = []
            while committer._socket not in [one.fileno() for one in others]:
                others += socket.socketpair()
            at = [one.fileno() for one in others].index(committer._socket)
            heard = asyncio.Event()
            loop.add_reader(others[at], heard.set)
            await committer.close()
            others[at ^ 1].send(b".")
            await heard.wait()
            loop.remove_reader(others[at])
            for one in others:
                one.close()

    run(act())


def test_the_end_of_the_server_is_heard_at_rest(database_url: str) -> None:
    async def act() -> None:
        async with opened(database_url) as committer:
            await committer.commit([packed(make_row())])
            ask(database_url, _END_COMMITTERS)
            await until(lambda: committer._libpq.status == ConnStatus.BAD)
            assert not asyncio.get_running_loop().remove_reader(committer._socket), "or the loop would never rest"
            with pytest.raises(psycopg.OperationalError):
                await committer.commit([packed(make_row())])

    run(act())
    assert stored(database_url) == (1, 1)


@pytest.mark.parametrize("way", ["give up", "cancel"])
def test_the_server_is_asked_to_stop_what_nobody_waits_for(database_url: str, way: str) -> None:
    async def act() -> None:
        async with opened(database_url) as committer, locked(database_url):
            commit = await begun(database_url, committer)
            if way == "cancel":
                commit.cancel()
            else:
                committer.give_up()
            with pytest.raises(asyncio.CancelledError if way == "cancel" else TimeoutError):
                await commit
            await committer.close()
            await until(lambda: not ask(database_url, _UNDER_WAY))

    run(act())
    assert stored(database_url) == (0, 0)


def test_nobody_waits_for_a_server_that_is_silent(database_url: str) -> None:
    async def act(proxy: Proxy) -> None:
        async with opened(url_through(proxy, database_url)) as committer:
            await committer.commit([packed(make_row())])
            proxy.is_silent = True
            commit = asyncio.create_task(committer.commit([packed(make_row())]))
            await asyncio.sleep(0.1)
            committer.give_up()
            with pytest.raises(TimeoutError):
                await commit

    with Proxy(address_of(database_url)) as proxy:
        run(act(proxy))
    assert stored(database_url) == (1, 1)
