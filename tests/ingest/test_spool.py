"""The spool keeps rows over the death of its process, within its bound, and gives each of them on once."""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.ids import IdSource, time_of
from app.ingest.rows import Packed, Row, packed
from app.ingest.spool import ROOM, Spool, SpoolError, SpoolFullError
from app.ingest.spool_file import lock_path, try_lock, weight

_IDS = IdSource()


def make_row(body: bytes = b"{}") -> Row:
    """Make a row of a delivery that nobody sent."""
    delivery_id = _IDS.next()
    return Row(
        delivery_id, delivery_id, None, time_of(delivery_id), 0, 0, 200, 0, len(body), b"", b"d", b"", b"", b"[]", body
    )


def _open(folder: Path, max_bytes: int = 1 << 30) -> Spool:
    spool = Spool(folder, max_bytes)
    spool.open()
    return spool


def _drained(spool: Spool) -> list[Packed]:
    rows: list[Packed] = []
    while held := spool.oldest():
        rows += held.rows
        spool.remove(held)
    return rows


@settings(max_examples=30, deadline=None)
@given(bodies=st.lists(st.binary(max_size=200), max_size=20), cuts=st.integers(1, 5))
def test_what_is_put_in_comes_out_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], cuts: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = _open(folder)
    rows = [packed(make_row(body)) for body in bodies]
    for start in range(0, len(rows), cuts):
        spool.put(rows[start : start + cuts])
    assert spool.count == len(rows)
    assert spool.last_id() == (max(_id(row) for row in rows) if rows else None)
    assert _drained(spool) == rows
    assert (spool.count, spool.size) == (0, 0)
    spool.close()
    assert list(folder.iterdir()) == []


def _id(row: Packed) -> UUID:
    return UUID(bytes=row[0])


def test_a_large_spool_is_given_on_in_bounded_pieces(tmp_path: Path) -> None:
    spool = _open(tmp_path)
    rows = [packed(make_row(bytes(1 << 20))) for _ in range(20)]
    spool.put(rows)
    held = spool.oldest()
    assert held is not None
    assert 1 <= len(held.rows) < 9
    assert _drained(spool) == rows


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = _open(tmp_path, max_bytes=300_000)
    first = packed(make_row(bytes(100_000)))
    spool.put([first])
    with pytest.raises(SpoolFullError, match="CALLBOX_SPOOL_MAX_BYTES"):
        spool.put([packed(make_row(bytes(300_000)))])
    assert _drained(spool) == [first]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpoolError, match="CALLBOX_SPOOL_DIR"):
        _open(tmp_path / "file" / "spool")


def test_a_living_process_keeps_its_file_and_a_closed_one_leaves_it(tmp_path: Path) -> None:
    first, second = _open(tmp_path), _open(tmp_path)
    row = packed(make_row())
    first.put([row])
    second.adopt()
    assert second.count == 0
    first.close()
    second.adopt()
    assert _drained(second) == [row]


@pytest.mark.process
def test_a_killed_process_leaves_all_that_it_acknowledged(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from app.ingest.rows import packed
from app.ingest.spool import Spool
from tests.ingest.test_spool import make_row
spool = Spool(Path(sys.argv[1]), 1 << 30)
spool.open()
while True:
    row = make_row(b"x" * 1000)
    spool.put([packed(row)])
    print(row.id, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    acknowledged = [first, *process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    spool = _open(tmp_path)
    kept = [str(_id(row)) for row in _drained(spool)]
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) <= 1


def test_what_cannot_be_deleted_is_given_on_once_and_its_file_goes_at_the_end(tmp_path: Path) -> None:
    """As on a full disk, where a deletion finds no room for its log."""
    spool = _open(tmp_path)
    rows = [packed(make_row(bytes(1 << 20))) for _ in range(20)]
    spool.put(rows)
    spool.files[0].database.execute("PRAGMA query_only = on")
    assert _drained(spool) == rows
    assert list(tmp_path.iterdir()) == []


def test_rows_find_room_where_others_were_taken_out(tmp_path: Path) -> None:
    spool = _open(tmp_path, max_bytes=20 << 20)
    row = packed(make_row(bytes(1 << 20)))
    while True:
        try:
            spool.put([row])
        except SpoolFullError:
            break
    count = spool.count
    held = spool.oldest()
    assert held is not None
    spool.remove(held)
    spool.put([row])
    assert 0 < spool.count < count
    spool.close()


def test_an_unreadable_file_does_not_keep_the_others_from_being_taken_over(tmp_path: Path) -> None:
    left = _open(tmp_path)
    row = packed(make_row())
    left.put([row])
    left.close()
    (tmp_path / "0-broken.sqlite").write_bytes(b"no database" * 1000)
    (tmp_path / "0-forbidden.sqlite").touch()
    (tmp_path / "0-forbidden.lock").mkdir()  # cannot be opened, as that of another user
    spool = _open(tmp_path)
    assert _drained(spool) == [row]
    spool.adopt()
    assert spool.unreadable == {"0-broken.sqlite", "0-forbidden.sqlite"}
    assert (tmp_path / "0-broken.sqlite").exists()


@pytest.mark.parametrize("spoilt", ["weight = NULL", "id = x'ff'", "body = CAST(x'4572696b61ff' AS TEXT)"])
def test_a_file_with_a_value_that_nobody_wrote_does_not_keep_back_the_others(tmp_path: Path, spoilt: str) -> None:
    """As a bit that fell over leaves it; SQLite does not notice."""
    left = _open(tmp_path)
    rows = [packed(make_row()) for _ in range(4)]
    left.put(rows[:3])
    left.close()
    (path,) = tmp_path.glob("*.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '')")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"UPDATE spool SET {spoilt} WHERE number = 2")  # noqa: S608 - ours
    path.rename(tmp_path / "0-left.sqlite")
    other = _open(tmp_path)
    other.put(rows[3:])
    other.close()
    spool = _open(tmp_path)
    with capture_logs() as logs:
        spool.last_id()
        assert rows[3] in _drained(spool)
    assert "Erika" not in str(logs), "what was in it is nobody's business"
    spool.close()
    assert (tmp_path / "0-left.sqlite").exists()


def test_a_spool_that_refused_tells_when_it_has_room_again(tmp_path: Path) -> None:
    spool = _open(tmp_path, max_bytes=1 << 20)
    ballast = tmp_path / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    with pytest.raises(SpoolFullError):
        spool.check()
    ballast.unlink()
    spool.check()
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_holds_rows_tells_whether_it_takes_more(tmp_path: Path) -> None:
    spool = _open(tmp_path)
    spool.put([packed(make_row())])
    spool.check()
    assert spool.count == 1
    with closing(sqlite3.connect(spool.files[0].path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolError):
            spool.check()
    spool.check()
    assert len(_drained(spool)) == 1


def test_a_file_without_rows_that_a_dead_process_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "1-1.sqlite").touch()
    spool = _open(tmp_path)
    assert (spool.count, list(tmp_path.iterdir())) == (0, [])


def test_rows_are_not_put_into_a_file_that_somebody_deleted(tmp_path: Path) -> None:
    spool = _open(tmp_path)
    first, second = (packed(make_row()) for _ in range(2))
    spool.put([first])
    for path in tmp_path.iterdir():
        path.unlink()
    spool.put([second])
    (file,) = tmp_path.glob("*.sqlite")
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT id FROM spool").fetchall() == [(second[0],)], "the next process would find it"
    assert sorted(map(_id, _drained(spool))) == sorted(map(_id, (first, second)))
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_acknowledged_outlives_a_loss_of_power(tmp_path: Path) -> None:
    """No test can cut the power: this is how SQLite is told to wait for the disk at each commit."""
    spool = _open(tmp_path)
    spool.put([packed(make_row())])
    database = spool.files[0].database
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    spool.close()


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    mask = os.umask(0)
    try:
        spool = _open(folder)
        for _ in range(2):
            spool.put([packed(make_row())])
            assert folder.stat().st_mode & 0o777 == 0o700
            modes = {path.suffix: path.stat().st_mode & 0o777 for path in folder.iterdir()}
            assert modes == dict.fromkeys((".lock", ".sqlite", ".sqlite-shm", ".sqlite-wal"), 0o600)
            shutil.rmtree(folder)  # it is made again
        spool.close()
    finally:
        os.umask(mask)


def test_the_highest_id_of_all_files_is_told(tmp_path: Path) -> None:
    spools = [_open(tmp_path) for _ in range(3)]
    rows = [make_row() for _ in spools]
    for spool, row in zip(spools, rows, strict=True):
        spool.put([packed(row)])
    for spool in spools:
        spool.close()
    spool = _open(tmp_path)
    assert spool.last_id() == rows[-1].id
    assert (spool.count, spool.size) == (3, sum(weight(packed(row)) for row in rows))
    assert len(_drained(spool)) == 3


def test_a_file_that_was_let_go_is_left_to_others_for_a_while(tmp_path: Path) -> None:
    left = _open(tmp_path)
    left.put([packed(make_row())])
    left.close()
    spool = _open(tmp_path)
    held = spool.oldest()
    assert held is not None
    spool.leave_out(held)
    spool.adopt()
    assert spool.count == 0
    spool.resting = dict.fromkeys(spool.resting, time.monotonic())
    spool.adopt()
    assert _drained(spool) == held.rows


def test_a_disk_without_room_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the little that is written as a trial would find some."""
    spool = _open(tmp_path)
    state = os.statvfs(tmp_path)
    fields = list(state)
    fields[4] = ROOM // state.f_frsize - 1  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    with pytest.raises(SpoolError, match="full disk"):
        spool.check()


@pytest.mark.parametrize("is_there_again", [False, True])
def test_a_file_that_its_holder_has_just_deleted_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there_again: bool
) -> None:
    """Its lock would be one that nobody else sees."""
    path = tmp_path / "1-left.sqlite"
    flock = fcntl.flock

    def late(handle: int, how: int) -> None:
        lock_path(path).unlink()
        if is_there_again:
            lock_path(path).touch()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert try_lock(path) is None
