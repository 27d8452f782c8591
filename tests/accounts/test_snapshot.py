"""The accounts of a running process: how soon changes are in them, how much is asked, and what a dead database does."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.accounts import keys, parts, snapshot, store
from app.accounts.model import Accounts, Scope
from app.accounts.opening import verify_vault
from app.accounts.reading import to_accounts
from app.accounts.snapshot import BOUND_S, AccountBook, AccountsUnavailableError, read_accounts
from app.accounts.writing import Connection, Platform
from app.crypto import Vault, WrongKeyError, new_encryption_key, sha256

WEGROUP = Platform("wegroup")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def _book(url: str, vault: Vault) -> AsyncIterator[AccountBook]:
    book = AccountBook(url, vault)
    await book.start()
    try:
        yield book
    finally:
        await book.stop()


async def _within(seconds: float, happened: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def _end_others(connection: Connection) -> None:
    """Cut the connections of all others."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_changes_take_effect_by_themselves(database_url: str, connection: Connection, vault: Vault) -> None:
    async def story() -> None:
        async with _book(database_url, vault) as book:
            added = await asyncio.to_thread(store.add_source, connection, vault, WEGROUP, "a")
            token = sha256(added.token.token)
            await _within(120, lambda: token in book.present.tokens)
            key = await asyncio.to_thread(keys.add_key, connection, "k", [Scope.READ])
            await _within(120, lambda: sha256(key.key) in book.present.keys)
            await asyncio.to_thread(keys.revoke_key, connection, "k")
            await _within(120, lambda: not book.present.keys)
            await asyncio.to_thread(store.disable_source, connection, "a")
            await _within(120, lambda: token not in book.present.tokens)
            assert added.id in book.present.sources

    asyncio.run(story())


def test_a_refresh_has_what_was_committed_before_it(database_url: str, connection: Connection, vault: Vault) -> None:
    async def story() -> None:
        async with _book(database_url, vault) as book:
            store.add_source(connection, vault, WEGROUP, "a")
            for _ in range(20):
                added = parts.add_token(connection, vault, "a")
                # Two that come before and after one another's question has begun.
                early = asyncio.create_task(book.refresh())
                await asyncio.sleep(0.0005)
                await book.refresh()
                assert sha256(added.token) in book.present.tokens
                await early

    asyncio.run(story())


def test_who_asks_at_once_shares_one_question(database_url: str, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = under_way = most = 0
    counted: psycopg.AsyncConnection[Any] | None = None
    execute = psycopg.AsyncConnection.execute

    async def counting(self: psycopg.AsyncConnection[Any], *given: Any, **named: Any) -> Any:
        nonlocal asked, under_way, most
        if self is not counted:  # an application that other tests share asks beside us
            return await execute(self, *given, **named)
        asked, under_way = asked + 1, under_way + 1
        most = max(most, under_way)
        try:
            await asyncio.sleep(0.01)
            return await execute(self, *given, **named)
        finally:
            under_way -= 1

    async def story() -> None:
        nonlocal counted
        monkeypatch.setattr(snapshot, "INTERVAL_S", 60)
        async with _book(database_url, vault) as book:
            counted = book._connection
            monkeypatch.setattr(psycopg.AsyncConnection, "execute", counting)
            await asyncio.gather(*(book.refresh() for _ in range(100)))
            assert asked == 1
            # Those who come while it is under way share the next one.
            first = asyncio.gather(*(book.refresh() for _ in range(50)))
            await asyncio.sleep(0.005)
            second = asyncio.gather(*(book.refresh() for _ in range(50)))
            await asyncio.gather(first, second)
            assert asked == 3
            assert most == 1

    asyncio.run(story())


def test_nothing_is_read_whole_while_nothing_changes(
    database_url: str, connection: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_source(connection, vault, WEGROUP, "a")

    async def story() -> None:
        async with _book(database_url, vault) as book:
            before = book.present
            await book.refresh()
            assert book.present is before
            monkeypatch.setattr(snapshot, "FULL_READ_S", 0)
            await book.refresh()
            assert book.present is not before
            assert book.present == before

    asyncio.run(story())


def test_a_change_while_all_is_read_is_seen_the_next_time(
    database_url: str, connection: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_source(connection, vault, WEGROUP, "a")
    added: list[bytes] = []

    def changed_meanwhile(*given: Any) -> Accounts:
        if not added:
            added.append(sha256(parts.add_token(connection, vault, "a").token))
        return to_accounts(*given)

    async def story() -> None:
        monkeypatch.setattr(snapshot, "INTERVAL_S", 60)
        monkeypatch.setattr(snapshot, "to_accounts", changed_meanwhile)
        async with _book(database_url, vault) as book:
            assert added[0] not in book.present.tokens
            await book.refresh()
            assert added[0] in book.present.tokens

    asyncio.run(story())


def test_use_of_tokens_is_written_together_and_rarely(
    database_url: str, connection: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "INTERVAL_S", 0.05)
    first, second = (store.add_source(connection, vault, WEGROUP, name).token.id for name in "ab")

    def used() -> int:
        rows = connection.execute("SELECT 1 FROM source_tokens WHERE last_used_at IS NOT NULL").fetchall()
        return len(rows)

    async def story() -> None:
        async with _book(database_url, vault) as book:
            book.note_use(first)
            book.note_use(first)
            await asyncio.sleep(0.3)
            assert used() == 0
            monkeypatch.setattr(snapshot, "NOTE_INTERVAL_S", 0)
            await _within(120, lambda: used() == 1)
            monkeypatch.setattr(snapshot, "NOTE_INTERVAL_S", 60)
            connection.execute("UPDATE source_tokens SET last_used_at = '2100-01-01' WHERE id = %s", (first,))
            book.note_use(first)
            book.note_use(second)
        assert used() == 2
        assert connection.execute("SELECT max(last_used_at)::date FROM source_tokens").fetchone() == (date(2100, 1, 1),)

    asyncio.run(story())


def test_use_that_could_not_be_written_is_written_later(
    database_url: str, connection: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "INTERVAL_S", 60)
    token_id = store.add_source(connection, vault, WEGROUP, "a").token.id

    async def story() -> None:
        async with _book(database_url, vault) as book:
            book.note_use(token_id)
            _end_others(connection)
            with pytest.raises(AccountsUnavailableError):
                await book._bounded(book._write_used())
            await book._bounded(book._write_used())
            rows = connection.execute("SELECT 1 FROM source_tokens WHERE last_used_at IS NOT NULL").fetchall()
            assert len(rows) == 1

    asyncio.run(story())


def test_a_key_that_does_not_fit_is_told_at_start(database_url: str, connection: Connection, vault: Vault) -> None:
    store.add_source(connection, vault, Platform("thinksurance", check_recipe=lambda _: None), "a", secrets=["s"])

    async def story() -> None:
        book = AccountBook(database_url, Vault(new_encryption_key()))
        with pytest.raises(WrongKeyError, match="CALLBOX_ENCRYPTION_KEY"):
            await book.start()
        await book.stop()

    asyncio.run(story())


def test_a_secret_that_cannot_be_decrypted_is_its_own_sources_trouble(
    database_url: str, connection: Connection, vault: Vault
) -> None:
    signing = Platform("thinksurance", several=frozenset({"b_token"}), check_recipe=lambda _: None)
    for name in ("one", "two", "three"):
        store.add_source(connection, vault, signing, name, secrets=["s"], credentials=[("b_token", "b")])
    connection.execute("UPDATE sources SET recipe_proven_at = now()")
    for table, name in (("source_secrets", "one"), ("source_credentials", "two")):
        connection.execute(
            f"UPDATE {table} SET value_encrypted = %s"  # noqa: S608 - two tables of ours
            " WHERE source_id = (SELECT id FROM sources WHERE name = %s)",
            (bytes(40), name),
        )
    verify_vault(connection, vault)

    async def story() -> Accounts:
        async with _book(database_url, vault) as book:
            return book.present

    present = asyncio.run(story())
    assert present == read_accounts(connection, vault)
    assert len(present.tokens) == 3, "all of them go on receiving"
    found = {one.name: one for one in present.sources.values()}
    assert {name: (len(one.secrets), len(one.credentials)) for name, one in found.items()} == {
        "one": (0, 1),
        "two": (1, 0),
        "three": (1, 1),
    }
    assert {name for name, one in found.items() if one.unreadable} == {"one", "two"}
    assert {name for name, one in found.items() if one.recipe_proven} == {"three"}

    parts.add_secret(connection, vault, "one", "s", label="again")
    parts.revoke_secret(connection, "one", "secret-1")
    store.set_source(connection, vault, signing, "two", credentials=[("b_token", "b")])
    assert all(not one.unreadable and one.recipe_proven for one in read_accounts(connection, vault).sources.values())


def test_the_second_host_is_reached_where_the_first_is_silent(
    database_url: str, connection: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "BOUND_S", 2.0)
    store.add_source(connection, vault, WEGROUP, "a")
    host, port = connection.info.host, connection.info.port

    async def story(url: str) -> None:
        async with _book(url, vault) as book:
            await _within(120, lambda: book.healthy)
            assert len(book.present.sources) == 1

    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = {"host": f"127.0.0.1,{host}", "port": f"{silent.getsockname()[1]},{port}"}
        asyncio.run(story(make_conninfo(database_url, **hosts)))


class _Wire:
    """A relay to the database that can fall silent: takes everything and passes nothing on."""

    def __init__(self, url: str) -> None:
        parts_ = psycopg.conninfo.conninfo_to_dict(url)
        self._host, self._port = str(parts_.get("host", "localhost")), int(str(parts_.get("port", 5432)))
        self.silent = False
        self._server: asyncio.Server | None = None
        self._given = url
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return make_conninfo(self._given, host="127.0.0.1", hostaddr="127.0.0.1", port=port, sslmode="disable")

    async def close(self) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        if self._host.startswith("/"):
            theirs = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            theirs = await asyncio.open_connection(self._host, self._port)
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await asyncio.gather(self._pass(reader, theirs[1]), self._pass(theirs[0], writer))
        writer.close()
        theirs[1].close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.silent:
                writer.write(data)
                await writer.drain()
        writer.close()


def test_a_silent_database_is_bounded_and_comes_back(
    database_url: str, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "BOUND_S", BOUND_S)

    async def story() -> None:
        wire = _Wire(database_url)
        async with _book(await wire.open(), vault) as book:
            await book.refresh()
            assert book.healthy
            before = book.present
            wire.silent = True
            began = time.monotonic()
            answers = await asyncio.gather(*(book.refresh() for _ in range(20)), return_exceptions=True)
            assert all(isinstance(answer, AccountsUnavailableError) for answer in answers)
            assert time.monotonic() - began < 20
            assert book.present is before
            wire.silent = False
            age = book.age or 0
            await _within(120, lambda: (book.age or 0) < age)
        await wire.close()

    asyncio.run(story())


@contextmanager
def _refusing_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_start_without_a_database_waits_for_it(vault: Vault) -> None:
    async def story() -> None:
        with _refusing_port() as port:
            async with _book(f"postgresql://u@127.0.0.1:{port}/x", vault) as book:
                assert (book.age, book.healthy) == (None, False)
                assert not book.present.tokens
                with pytest.raises(AccountsUnavailableError):
                    await book.refresh()

    asyncio.run(story())


def test_who_asks_just_after_a_failure_is_told_without_a_question(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown tokens that come while the database is away."""
    monkeypatch.setattr(snapshot, "INTERVAL_S", 60)
    monkeypatch.setattr(snapshot, "_PAUSE_AFTER_FAILURE_S", 60)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0)
            async with _book(f"postgresql://u@127.0.0.1:{server.getsockname()[1]}/x?connect_timeout=1", vault) as book:
                server.accept()[0].close()
                for _ in range(3):
                    with pytest.raises(AccountsUnavailableError):
                        await book.refresh()
                with pytest.raises(BlockingIOError):
                    server.accept()

    asyncio.run(story())


def test_a_lost_connection_is_opened_again(database_url: str, connection: Connection, vault: Vault) -> None:
    async def story() -> None:
        async with _book(database_url, vault) as book:
            _end_others(connection)
            added = store.add_source(connection, vault, WEGROUP, "a")
            await _within(120, lambda: sha256(added.token.token) in book.present.tokens)

    asyncio.run(story())


def test_a_stop_in_the_middle_of_keeping_leaves_no_connection_open(
    database_url: str, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping, over = threading.Event(), threading.Event()

    def keep(*_: object) -> None:
        keeping.set()
        over.wait(30)

    monkeypatch.setattr(snapshot, "keep_answers", keep)

    async def story() -> None:
        book = AccountBook(database_url, vault, tmp_path)
        starting = asyncio.create_task(book.start())
        await _within(120, keeping.is_set)
        connection = book._connection
        assert connection is not None
        starting.cancel()
        await asyncio.wait({starting})
        over.set()
        await book.stop()
        assert connection.closed

    asyncio.run(story())
