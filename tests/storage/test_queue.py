"""The tables of the job queue: at the version of the installed package, and brought there step by step."""

from contextlib import closing

import pytest

from app.storage import queue
from app.storage.database import connect, migrate


def _version(url: str) -> bytes:
    with closing(connect(url)) as connection:
        row = connection.execute("SELECT value FROM installation WHERE key = 'procrastinate'").fetchone()
        assert row is not None
        return bytes(row[0])  # type: ignore[call-overload, no-any-return]


def test_a_new_database_has_the_installed_version(database_url: str) -> None:
    assert _version(database_url).decode() == queue.newest_version()


def test_an_older_one_is_brought_there_by_the_packages_own_steps(database_url: str) -> None:
    with closing(connect(database_url)) as connection:
        queue.drop_queue(connection)
        connection.execute("INSERT INTO installation VALUES ('procrastinate', '00')")  # before the first step
    said: list[str] = []
    migrate(database_url, said.append)
    assert said == [f"Bringing the job queue from 00 to {queue.newest_version()}."]
    assert _version(database_url).decode() == queue.newest_version()
    with closing(connect(database_url)) as connection:
        assert connection.execute("SELECT 'procrastinate_retry_job_v2'::regproc").fetchone() is not None


def test_a_step_that_fails_leaves_the_version_before_it(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later = {"99.00.00_01_pre_good": b"CREATE TABLE procrastinate_good ()", "99.00.00_02_pre_bad": b"SELECT 1/0"}
    monkeypatch.setattr(queue, "_migrations", lambda: iter(sorted(later)))
    monkeypatch.setattr(queue, "_text", lambda _folder, name: later[name.removesuffix(".sql")])
    with closing(connect(database_url)) as connection, pytest.raises(Exception, match="division"):
        queue.upgrade_queue(connection)
    assert _version(database_url) == b"99.00.00_01_pre_good"


def test_tables_that_are_newer_than_the_package_stay(database_url: str) -> None:
    with closing(connect(database_url)) as connection:
        connection.execute("UPDATE installation SET value = '99.00.00' WHERE key = 'procrastinate'")
        assert queue.upgrade_queue(connection) == []
    assert _version(database_url) == b"99.00.00"
