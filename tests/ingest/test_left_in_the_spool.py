"""What the database does not take from the spool, or is not its own, keeps back nothing else."""

import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from app.ids import IdSource
from app.ingest import keeping
from app.ingest.keeping import Keeper
from app.ingest.rows import Packed, Row, packed
from app.ingest.spool import Spool
from app.ingest.spool_file import lock_path
from app.storage.database import connect
from tests.drills.proxy import Proxy
from tests.drills.test_database_away import address_of, url_through
from tests.ingest.test_keeping import Database, run_keeper, until_so
from tests.ingest.test_spool import make_row


@pytest.fixture
def database(database_url: str, server_url: str) -> Database:
    return Database(database_url, server_url)


def _left(folder: Path, rows: Sequence[Packed], name: str = "1-left.sqlite") -> Path:
    """Leave rows in a file of the spool, as a process does that died."""
    spool = Spool(folder, 1 << 30)
    spool.open()
    spool.put(rows)
    path = spool.files[0].path
    spool.close()
    lock_path(path).rename(lock_path(folder / name))
    return path.rename(folder / name)


def _of(source_id: UUID, count: int, size: int = 2) -> list[Row]:
    return [make_row(bytes(size))._replace(source_id=source_id) for _ in range(count)]


def _damage(path: Path, at: int) -> None:
    """Spoil the next page of a body, which begins with the number of the one after it (SQLite's format, 1.6)."""
    with path.open("r+b") as file:
        for place in range(at // 4096 * 4096, path.stat().st_size, 4096):
            file.seek(place)
            if file.read(1) == b"\x00":
                file.seek(place)
                file.write(b"\xaa\xaa\xaa\xaa")
                return


def test_a_damaged_file_keeps_back_only_what_is_behind_the_damage(database: Database, tmp_path: Path) -> None:
    source_id = database.add_source()
    rows, others, live = _of(source_id, 100, 20_000), _of(source_id, 3), make_row()
    path = _left(tmp_path, [packed(row) for row in rows], "0-damaged.sqlite")
    _damage(path, path.stat().st_size // 2)
    _left(tmp_path, [packed(row) for row in others])

    async def act(keeper: Keeper) -> None:
        keeper.is_away = True  # as after the database was away
        await until_so(lambda: not keeper.is_away and not keeper.spooled)
        await keeper.write(live)

    with capture_logs() as logs:
        run_keeper(database.url, tmp_path, act)
    stored = database.stored()
    before = [row.id for row in rows if row.id in stored]
    assert before == [row.id for row in rows[: len(before)]]
    assert 30 < len(before) < 70
    assert {row.id for row in (*others, live)} <= set(stored)
    assert [line["file"] for line in logs if line["event"] == "spool.file_damaged"] == [path.name]
    assert path.exists()


def test_rows_are_not_put_into_a_file_that_may_be_damaged(tmp_path: Path) -> None:
    path = _left(tmp_path, [packed(make_row(bytes(20_000))) for _ in range(100)])
    for at in range(8192, path.stat().st_size // 2, 8192):
        _damage(path, at)
    spool = Spool(tmp_path, 1 << 30)
    spool.open()
    row = packed(make_row())
    spool.put([row])
    spool.close()
    again = Spool(tmp_path, 1 << 30)
    again.open()
    found: list[Packed] = []
    while held := again.oldest():
        found += held.rows
        again.remove(held)
    assert row in found


_POISON = b"poison"


class _Touchy(Proxy):
    """Hangs up at a certain body, as a server does that crashes at it."""

    def _pass(self, data: bytes, to: socket.socket, *, from_server: bool) -> bool:
        return _POISON not in data and super()._pass(data, to, from_server=from_server)


@contextmanager
def _troubled(database: Database, trouble: str) -> Iterator[str]:
    """Give the address at which the database does not take a certain body."""
    if trouble == "hangs up":
        with _Touchy(address_of(database.url)) as proxy:
            yield url_through(proxy, database.url)
        return
    with connect(database.url) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON deliveries FOR EACH ROW WHEN (NEW.body = 'poison')"
            " EXECUTE FUNCTION refuse()"
        )
        yield database.url
        connection.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.parametrize("trouble", ["refuses", "hangs up"])
def test_a_row_that_the_database_does_not_take_keeps_back_no_other(
    database: Database, tmp_path: Path, trouble: str
) -> None:
    source_id = database.add_source()
    rows, live = _of(source_id, 40), make_row()
    bad = rows[17] = rows[17]._replace(body=_POISON)
    path = _left(tmp_path, [packed(row) for row in rows])

    async def act(keeper: Keeper) -> None:
        keeper.is_away = True
        await until_so(lambda: not keeper.is_away and not keeper.spooled)
        assert keeper._most > 1, "the others go together again"
        await keeper.write(live)

    with capture_logs() as logs, _troubled(database, trouble) as url:
        run_keeper(url, tmp_path, act)
    assert database.stored() == [*(row.id for row in rows if row != bad), live.id]
    (told,) = [line for line in logs if line["event"] == "spool.row_refused"]
    assert (told["file"], told["delivery_id"]) == (path.name, bad.id.hex)

    async def again(keeper: Keeper) -> None:
        await until_so(lambda: not keeper.spooled)

    run_keeper(database.url, tmp_path, again)
    assert set(database.stored()) == {row.id for row in (*rows, live)}
    assert list(tmp_path.iterdir()) == []


class _Ending(_Touchy):
    """Hangs up at that body twice, as a server does that is ended while it commits."""

    hung_up = 0

    def _pass(self, data: bytes, to: socket.socket, *, from_server: bool) -> bool:
        if _POISON in data and self.hung_up < 2:
            self.hung_up += 1
            return False
        return Proxy._pass(self, data, to, from_server=from_server)


def test_a_row_at_which_the_server_ended_is_not_to_blame(database: Database, tmp_path: Path) -> None:
    row = _of(database.add_source(), 1)[0]._replace(body=_POISON)
    _left(tmp_path, [packed(row)])

    async def act(keeper: Keeper) -> None:
        keeper.is_away = True
        await until_so(lambda: not keeper.spooled)

    with capture_logs() as logs, _Ending(address_of(database.url)) as proxy:
        run_keeper(url_through(proxy, database.url), tmp_path, act)
        assert proxy.hung_up == 2
    assert database.stored() == [row.id]
    assert "spool.row_refused" not in [line["event"] for line in logs]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["40001", "53100", "57014"], ids=["conflict", "full-disk", "cancelled"])
def test_trouble_of_the_database_is_not_held_against_a_row(database: Database, tmp_path: Path, code: str) -> None:
    row = make_row()
    with connect(database.url) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE 'trouble' USING ERRCODE = '{code}'; END $$"
        )
        connection.execute("CREATE TRIGGER refuses BEFORE INSERT ON deliveries EXECUTE FUNCTION refuse()")

    async def act(keeper: Keeper) -> None:
        keeper.is_away = True
        await keeper.write(row)
        await until_so(lambda: [line["event"] for line in logs].count("spool.waiting") > 3)
        assert keeper.spooled == 1
        with connect(database.url) as connection:
            connection.execute("DROP FUNCTION refuse CASCADE")
        await until_so(lambda: not keeper.spooled)

    with capture_logs() as logs:
        run_keeper(database.url, tmp_path, act)
    assert database.stored() == [row.id]
    assert "spool.row_refused" not in [line["event"] for line in logs]


def test_what_a_process_leaves_that_dies_later_is_brought_too(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_ADOPT_S", 0.0)
    rows = _of(database.add_source(), 3)

    async def act(keeper: Keeper) -> None:
        await keeper.write(rows[0])
        _left(tmp_path, [packed(row) for row in rows[1:]])
        await until_so(lambda: len(database.stored()) == 3)

    run_keeper(database.url, tmp_path, act)
    assert database.stored() == [row.id for row in rows]


def test_what_another_installation_left_stays_for_it(database: Database, tmp_path: Path) -> None:
    ours, theirs = _of(database.add_source(), 300), _of(IdSource().next(), 300)
    mixed = [*theirs[:10], *ours[:3], *theirs[10:290], *ours[3:], *theirs[290:]]
    path = _left(tmp_path, [packed(row) for row in mixed])

    async def act(keeper: Keeper) -> None:
        await until_so(lambda: not keeper.spooled)
        other = Spool(tmp_path, 1 << 30)  # the other installation's, while this one runs
        other.open()

        def has_theirs() -> bool:
            other.adopt()  # what is let go has its lock for a moment yet
            return other.count == len(theirs)

        await until_so(has_theirs)
        other.close()

    run_keeper(database.url, tmp_path, act)
    assert database.stored() == [row.id for row in ours]
    assert path.exists()


@pytest.mark.parametrize("column", ["id", "source_id", "body", "received_at"])
def test_a_row_in_which_a_value_is_spoilt_keeps_back_no_other(database: Database, tmp_path: Path, column: str) -> None:
    source_id = database.add_source()
    rows, live = _of(source_id, 40), make_row()
    path = _left(tmp_path, [packed(row) for row in rows])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(f"UPDATE spool SET {column} = 'spoilt' WHERE id = ?", (rows[17].id.bytes,))  # noqa: S608

    async def act(keeper: Keeper) -> None:
        keeper.is_away = True
        await until_so(lambda: not keeper.is_away and not keeper.spooled)
        await keeper.write(live)

    run_keeper(database.url, tmp_path, act)
    assert set(database.stored()) >= {row.id for row in (*rows[:17], *rows[18:], live)}
