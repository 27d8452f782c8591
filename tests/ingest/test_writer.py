"""The group commit, against a real PostgreSQL: what is acknowledged is stored, once."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.ids import IdSource, time_of
from app.ingest import writer as writing
from app.ingest.rows import Row
from app.ingest.writer import DatabaseAwayError, Writer

SOURCE = UUID(int=7)
LONG = timedelta(seconds=60)
"""So long a machine that is busy may take for a commit."""


def row(ids: IdSource, body: bytes = b"{}", **changes: Any) -> Row:
    fresh = ids.next()
    made = Row(
        id=fresh,
        source_id=SOURCE,
        token_id=UUID(int=8),
        received_at=time_of(fresh),
        via=0,
        method=1,
        answered=200,
        verdict=3,
        size=len(body),
        judged=b"\x83\x00",
        body_sha256=hashlib.sha256(body).digest(),
        remote_addr=b"203.0.113.9",
        query=b"a=\x00",
        headers=b"[]",
        body=body,
    )
    return made._replace(**changes)


@asynccontextmanager
async def running(url: str, **options: Any) -> AsyncIterator[Writer]:
    writer = Writer(url, **{"patience": LONG} | options)
    writer.start()
    try:
        yield writer
    finally:
        await writer.close()


def ask(url: str, question: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(question).fetchall()


def test_a_row_comes_back_as_it_went(database_url: str) -> None:
    sent = row(IdSource(), bytes(range(256)) * 10)
    without_token = row(IdSource(), b"", token_id=None)

    async def act() -> None:
        async with running(database_url) as writer:
            await asyncio.gather(writer.write(sent), writer.write(without_token))

    asyncio.run(act())
    names = ", ".join(Row._fields)
    stored = {found[0]: tuple(found) for found in ask(database_url, f"SELECT {names} FROM deliveries")}  # noqa: S608
    assert stored == {sent.id: tuple(sent), without_token.id: tuple(without_token)}
    assert sorted(ask(database_url, "SELECT delivery_id, source_id, attempts FROM inbox")) == sorted(
        [(sent.id, SOURCE, 0), (without_token.id, SOURCE, 0)]
    )


def test_rows_that_wait_go_together_and_within_bounds(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_ROWS", 16)
    monkeypatch.setattr(writing, "MOST_BYTES", 100_000)
    ids = IdSource()
    rows = [row(ids, b"x" * 10) for _ in range(100)] + [row(ids, b"y" * 60_000) for _ in range(4)]

    async def act() -> None:
        async with running(database_url) as writer:
            await asyncio.gather(*(writer.write(one) for one in rows))

    asyncio.run(act())
    batches = ask(database_url, "SELECT count(*), sum(size) FROM deliveries GROUP BY xmin")
    assert sum(count for count, _ in batches) == 104
    assert max(count for count, _ in batches) == 16
    assert max(size for _, size in batches) <= 100_000
    assert len(batches) < 20


async def pass_by() -> None:
    """Let the writer do all that it would do by now."""
    for _ in range(20):
        await asyncio.sleep(0)


def sizes(url: str) -> list[int]:
    """Return how many rows each commit had, in their order."""
    groups = ask(url, "SELECT count(*) FROM deliveries GROUP BY xmin ORDER BY min(id::text)")
    return [count for (count,) in groups]


def test_soon_after_a_commit_rows_are_gathered_until_they_are_enough(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "APART_S", 3600.0)
    ids = IdSource()

    async def act() -> None:
        async with running(database_url, may_more_come=lambda: True) as writer:
            await writer.write(row(ids))
            waiting = []
            for _ in range(writing.ENOUGH_ROWS):
                await pass_by()
                assert not writer._under_way
                waiting.append(asyncio.create_task(writer.write(row(ids))))
            await asyncio.gather(*waiting)

    asyncio.run(act())
    assert sizes(database_url) == [1, writing.ENOUGH_ROWS]


def test_nobody_waits_when_no_more_may_come(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "APART_S", 3600.0)
    ids = IdSource()
    free = [1, 2, 3]

    async def send(writer: Writer) -> None:
        free.pop()
        await writer.write(row(ids))

    async def act() -> None:
        async with running(database_url, may_more_come=lambda: bool(free)) as writer:
            await writer.write(row(ids))
            waiting = []
            for _ in range(3):
                await pass_by()
                waiting.append(asyncio.create_task(send(writer)))
            await asyncio.gather(*waiting)

    asyncio.run(act())
    assert sizes(database_url) == [1, 3]


def test_rows_wait_for_others_a_moment_only(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those too that came while the commit before was under way."""
    apart = 0.05
    monkeypatch.setattr(writing, "APART_S", apart)
    ids = IdSource()

    async def act() -> float:
        async with running(database_url, may_more_come=lambda: True) as writer:
            began = asyncio.get_running_loop().time()
            first = asyncio.create_task(writer.write(row(ids)))
            while not writer._under_way:  # noqa: ASYNC110 - it is not for long
                await asyncio.sleep(0)
            await asyncio.gather(first, writer.write(row(ids)))
            await writer.write(row(ids))
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(act()) > 2 * apart * 0.9
    assert sizes(database_url) == [1, 1, 1]


def test_the_same_row_twice_is_stored_once(database_url: str) -> None:
    sent = row(IdSource())

    async def act() -> None:
        async with running(database_url) as writer:
            await asyncio.gather(writer.write(sent), writer.write(sent))
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute("DELETE FROM inbox")  # as if it had been processed
            await writer.write(sent)

    asyncio.run(act())
    assert ask(database_url, "SELECT count(*) FROM deliveries") == [(1,)]
    assert ask(database_url, "SELECT count(*) FROM inbox") == [(0,)]


def test_the_session_is_durable_whatever_the_default(database_url: str) -> None:
    database = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = off')

    async def act() -> Any:
        async with running(database_url) as writer:
            await writer.write(row(IdSource()))
            assert writer._committer
            return await (await writer._committer.connection.execute("SHOW synchronous_commit")).fetchone()

    assert asyncio.run(act()) == ("on",)


async def _until(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.01)


KILL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE 'LOCK%'"
)


def test_a_lost_connection_is_made_anew_and_its_rows_written_again(database_url: str) -> None:
    ids = IdSource()
    sent = [row(ids) for _ in range(20)]

    async def act() -> None:
        async with running(database_url) as writer:
            await writer.write(sent[0])
            blocker = await psycopg.AsyncConnection.connect(database_url)
            await blocker.execute("LOCK TABLE deliveries")  # the statement hangs on this
            waiting = [asyncio.create_task(writer.write(one)) for one in sent[1:]]
            await _until(lambda: bool(writer._under_way))
            await asyncio.sleep(0.05)
            ask(database_url, KILL_OTHERS)
            await blocker.rollback()
            await blocker.close()
            await asyncio.gather(*waiting)

    asyncio.run(act())
    assert ask(database_url, "SELECT count(*), count(DISTINCT id) FROM deliveries") == [(20, 20)]
    assert ask(database_url, "SELECT count(*) FROM inbox") == [(20,)]


def test_who_waits_too_long_is_told_and_the_next_ones_are_served(database_url: str) -> None:
    ids = IdSource()

    async def act() -> float:
        async with running(database_url, patience=timedelta(seconds=0.5)) as writer:
            await writer.write(row(ids))
            assert writer._committer
            backend = writer._committer.connection.info.backend_pid
            blocker = await psycopg.AsyncConnection.connect(database_url)
            await blocker.execute("LOCK TABLE deliveries")
            began = asyncio.get_running_loop().time()
            results = await asyncio.gather(*(writer.write(row(ids)) for _ in range(5)), return_exceptions=True)
            waited = asyncio.get_running_loop().time() - began
            assert [type(result) for result in results] == [DatabaseAwayError] * 5
            await _until(lambda: (backend,) not in ask(database_url, "SELECT pid FROM pg_stat_activity"))
            await blocker.close()
            await _until(lambda: not writer.is_away)
            await writer.write(row(ids))
            return waited

    assert 0.4 < asyncio.run(act()) < 20
    (found,) = ask(database_url, "SELECT count(*), (SELECT count(*) FROM inbox) FROM deliveries")
    assert found[0] == found[1] >= 2


def test_a_database_that_is_not_there_is_said_in_time() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

        async def act() -> float:
            began = asyncio.get_running_loop().time()
            async with running(f"postgresql://x@127.0.0.1:{port}/x", patience=timedelta(seconds=0.4)) as writer:
                with pytest.raises(DatabaseAwayError):
                    await writer.write(row(IdSource()))
                assert writer.is_away
            return asyncio.get_running_loop().time() - began

        assert 0.3 < asyncio.run(act()) < 20


def test_a_database_that_comes_back_in_time_is_not_noticed(database_url: str) -> None:
    """Rows that come while there is no connection wait for it."""
    ids = IdSource()

    async def act() -> None:
        async with running(database_url) as writer:
            await writer.write(row(ids))
            right, writer._url = writer._url, "postgresql://x@127.0.0.1:1/x"
            ask(database_url, KILL_OTHERS)
            waiting = asyncio.create_task(writer.write(row(ids)))
            await _until(lambda: writer.is_away)
            writer._url = right
            await waiting

    asyncio.run(act())
    assert ask(database_url, "SELECT count(*) FROM deliveries") == [(2,)]


def test_a_server_that_does_not_speak_does_not_hold_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that takes the connection and stays silent, as a frozen machine does."""
    monkeypatch.setattr(writing, "CONNECT_TIMEOUT_S", 60)
    monkeypatch.setattr(writing, "_CONNECT_WITHIN_S", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x"

        async def act() -> float:
            began = asyncio.get_running_loop().time()
            async with running(url, patience=timedelta(seconds=0.3)) as writer:
                await pass_by()  # until it connects
                with pytest.raises(DatabaseAwayError):
                    await writer.write(row(IdSource()))
                monkeypatch.setattr(writing, "CONNECT_TIMEOUT_S", 0)  # how long the end waits for it
            return asyncio.get_running_loop().time() - began

        assert asyncio.run(act()) < 30


def test_closing_writes_what_waits(database_url: str) -> None:
    ids = IdSource()

    async def act() -> None:
        writer = Writer(database_url, patience=LONG)
        writer.start()
        waiting = [asyncio.create_task(writer.write(row(ids))) for _ in range(300)]
        await asyncio.sleep(0)
        await writer.close()
        await asyncio.gather(*waiting)
        with pytest.raises(DatabaseAwayError):
            await writer.write(row(ids))

    asyncio.run(act())
    assert ask(database_url, "SELECT count(*) FROM deliveries") == [(300,)]


@pytest.mark.process
def test_what_was_acknowledged_before_a_kill_is_there(database_url: str) -> None:
    """A process that prints each id after its acknowledgement is killed in the middle."""
    program = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[2]); import test_writer as t\n"
        "async def act():\n"
        "    ids = t.IdSource()\n"
        "    async with t.running(sys.argv[1]) as writer:\n"
        "        async def one():\n"
        "            while True:\n"
        "                row = t.row(ids); await writer.write(row); print(row.id, flush=True)\n"
        "        await asyncio.gather(*(one() for _ in range(20)))\n"
        "asyncio.run(act())\n"
    )
    folder = os.path.dirname(__file__)  # noqa: PTH120 - for a program's text
    with subprocess.Popen(
        [sys.executable, "-c", program, database_url, folder], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        acknowledged = [UUID(process.stdout.readline().strip()) for _ in range(500)]
        process.kill()
        acknowledged += [UUID(line.strip()) for line in process.stdout if len(line) == 37]
    stored = {found[0] for found in ask(database_url, "SELECT id FROM deliveries")}
    assert set(acknowledged) <= stored
    assert ask(database_url, "SELECT count(*) FROM inbox") == [(len(stored),)]
