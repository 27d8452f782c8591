"""Opens the PostgreSQL that all contenders share, a database for each, and reads what they cost there."""

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from app.storage import embedded
from app.storage.embedded_program import WHEEL, find_programs
from tests.bench import contenders, endpoints

NAMES = ("usual", "callbox --no-work", "callbox", "open loop", "steady")
_COST = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())"


@dataclass(frozen=True)
class Cost:
    """What was spent so far."""

    wal_bytes: int
    stored_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class Database:
    """A database of one contender."""

    url: str
    server_pid: int

    def cost(self) -> Cost:
        """Return what it has cost so far; the processor time is the whole server's, 0 for one on another machine."""
        with psycopg.connect(self.url) as connection:
            wal, stored = connection.execute(_COST).fetchone() or (0, 0)
        return Cost(int(wal), int(stored), contenders.cpu_seconds(self.server_pid) if self.server_pid else 0.0)

    def backlog(self) -> int:
        """Return how many deliveries wait to be processed; 0 where nothing ever is."""
        with psycopg.connect(self.url) as connection:
            if connection.execute("SELECT to_regclass('inbox')").fetchone() == (None,):
                return 0
            row = connection.execute("SELECT count(*) FROM inbox").fetchone()
        return int(row[0]) if row else 0

    def forget_backlog(self) -> None:
        """Let the processor have nothing to do while others are measured."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            if connection.execute("SELECT to_regclass('inbox')").fetchone() != (None,):
                connection.execute("TRUNCATE inbox")


@dataclass(frozen=True)
class Server:
    """PostgreSQL, with a database for each contender that needs one."""

    url: str
    pid: int
    databases: dict[str, Database]
    pgbench: str
    """The program that knows PostgreSQL's own limit."""


@contextmanager
def open_server(folder: Path) -> Iterator[Server]:
    """Start the embedded PostgreSQL in `folder`, or take that of `CALLBOX_DATABASE_URL`."""
    given = os.environ.get("CALLBOX_DATABASE_URL")
    own = None if given else embedded.start(folder / "server")
    url = given or (own.url if own else "")
    pid = own.pid if own else 0
    programs = find_programs(None, folder) if importlib.util.find_spec(WHEEL) else None
    databases = {name: Database(_made(url, "bench_" + re.sub(r"\W+", "_", name)), pid) for name in NAMES}
    with psycopg.connect(databases["usual"].url, autocommit=True) as connection:
        connection.execute(endpoints.table())
    try:
        yield Server(url, pid, databases, str(programs / "pgbench") if programs else "pgbench")
    finally:
        if own:
            own.stop()


def _made(url: str, name: str) -> str:
    """Make a database anew beside the one of `url`, and return its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    before, _, after = url.partition("?")
    server = before.rpartition("/")[0]
    return f"{server}/{name}{'?' + after if after else ''}"
