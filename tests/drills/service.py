"""The service and the databases of the drills, and what of a delivery is stored there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.storage.database import connect
from app.storage.embedded import find_running
from app.storage.embedded_program import find_account, find_programs, run_as
from tests.server.test_supervisor import Running, serving, until


@contextmanager
def service(url: str, key: str, folder: Path, *, port: int | None = None, **settings: str) -> Iterator[Running]:
    """A `callbox serve` on a database of ours, which answers."""
    with serving(port=port, database_url=url, encryption_key=key, data_dir=str(folder), **settings) as running:
        yield running.await_ready()


def embedded_path(folder: Path, port: int) -> str:
    """Return the path of a callback of the service that has its own database in `folder`."""
    sources = json.loads((folder / "first-start.json").read_text())["sources"]
    return str(sources[1]["callback_url"]).split(str(port), 1)[1]


def embedded_url(folder: Path) -> str:
    """Wait for the service's own database and return its URL."""
    return str(until(lambda: find_running(folder), "the database"))


def stored_in(url: str) -> list[str]:
    """Return the ids of all stored deliveries."""
    with connect(url) as connection:
        return [str(row[0]) for row in connection.execute("SELECT id FROM deliveries")]


def given_up(url: str) -> int:
    """Return how many deliveries processing gave up on: none is at fault for what happens to its processor."""
    with connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM outcomes WHERE reason = 'processing-failed'").fetchone()
    assert row is not None
    return int(str(row[0]))


def await_processed(url: str, spool: Path) -> None:
    """Wait until nothing waits any more, neither in the spool nor in the inbox, as long as it becomes less."""
    until(lambda: not any(spool.glob("*.sqlite")), "the spool drained")
    while before := _waiting_in(url):
        until(lambda: _waiting_in(url) < before, f"fewer than {before} deliveries in the inbox")


def _waiting_in(url: str) -> int:
    with connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM inbox").fetchone()
    assert row is not None
    return int(str(row[0]))


def status_of(running: Running) -> tuple[int, str, dict[str, str]]:
    """Return what `/readyz` answers: the status, the word, the parts."""
    status, told = running.request("GET", "/readyz")
    return status, told.get("status", ""), told["parts"]


def await_ok(running: Running) -> None:
    """Wait until the service says that all is well again."""
    until(lambda: status_of(running)[:2] == (200, "ok"), "the service to be well")


def pg_ctl(data: Path, *arguments: str | Path) -> None:
    """Run PostgreSQL's own `pg_ctl` on a database folder, as the user who runs its server."""
    account = find_account(data)
    programs = find_programs(account, data.parent)
    ended = run_as(account, [programs / "pg_ctl", "-D", data, *arguments])
    assert ended.returncode == 0, ended.stdout
