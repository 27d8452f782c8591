"""Opens connections to PostgreSQL and brings its tables up to date.

The embedded server is started in `embedded`; what is asked and written is left to the other rooms.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.storage.partitions import ensure_partitions
from app.storage.queue import upgrade_queue

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
OLDEST_SERVER = 150000
MIGRATION_LOCK = 0x63616C6C626F78  # "callbox": one migrator at a time, whatever process
CONNECT_TIMEOUT_S = 5
_IN_USE = (
    "The tables are in use, so not all migrations could be made; those that were made hold. Run `callbox migrate` again"
    " while nothing processes (`serve --no-work`) and no long question is asked."
)
_LIVELY = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 5, "tcp_user_timeout": 15_000}


class DatabaseError(Exception):
    """The database cannot be used; the text says why and names the setting."""


class UnreachableError(DatabaseError):
    """The database does not answer now; it may later."""


def connect(
    url: str, *, autocommit: bool = True, options: str = "-c timezone=UTC"
) -> psycopg.Connection[tuple[object, ...]]:
    """Return a plain connection.

    Raises:
        UnreachableError: the server does not answer or refuses; the text holds no password.
    """
    try:
        return psycopg.connect(url, autocommit=autocommit, connect_timeout=CONNECT_TIMEOUT_S, options=options)
    except psycopg.OperationalError as error:
        raise UnreachableError(f"{described(url)} cannot be reached: {_reason(error)}") from None


def lively(url: str) -> str:
    """Return the address with what notices within 15 s that a server is gone without a word; else it takes hours."""
    return make_conninfo("", **(_LIVELY | conninfo_to_dict(url)))


def _reason(error: psycopg.OperationalError) -> str:
    """Return why there is no connection; a hint, which libpq puts in a line of its own behind a tab, is left out."""
    lines = str(error).strip().splitlines()
    return next((line for line in reversed(lines) if not line.startswith("\t")), "")


def described(url: str) -> str:
    """Return where a database is, without user and password."""
    parts = conninfo_to_dict(url)
    return " ".join(f"{name}={parts[name]}" for name in ("host", "port", "dbname") if name in parts)


def newest_revision() -> str:
    """Return the revision that the code expects, without importing Alembic: the file that no other follows."""
    revisions, followed = set(), set()
    for path in (MIGRATIONS / "versions").glob("*.py"):
        text = path.read_text()
        revisions.update(re.findall(r'^revision\b.*?=\s*"(\w+)"', text, re.MULTILINE))
        followed.update(re.findall(r'^down_revision\b.*?=\s*"(\w+)"', text, re.MULTILINE))
    (head,) = revisions - followed
    return str(head)


def present_revision(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    """Return the revision that the database is at, None for an empty one."""
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def check_server(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Raise DatabaseError where the server is older than PostgreSQL 15 or not in UTF-8."""
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise DatabaseError(f"CALLBOX_DATABASE_URL: PostgreSQL {version // 10000} is too old, 15 to 18 are needed")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise DatabaseError("CALLBOX_DATABASE_URL: the database is not in UTF-8")


def migrate(url: str, say: Callable[[str], None] = lambda _: None) -> None:
    """Bring the tables up to date, under an advisory lock, and make the partitions ahead; cheap with nothing to do."""
    with connect(url) as connection:
        check_server(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        present, newest = present_revision(connection), newest_revision()
        if present != newest:
            say(f"Migrating the tables from {present} to {newest}." if present else "Making the tables.")
            _upgrade(url)
        upgrade_queue(connection, say)
        ensure_partitions(connection, datetime.now(UTC))


def _upgrade(url: str) -> None:
    """Run Alembic; imported here because a start with nothing to migrate should not wait for it."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    config = Config(toml_file=MIGRATIONS.parent / "pyproject.toml")
    config.attributes["url"] = url
    try:
        command.upgrade(config, "head")
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.DeadlockDetected | psycopg.errors.LockNotAvailable):
            raise DatabaseError(_IN_USE) from None
        raise


def is_outdated(error: BaseException | None) -> bool:
    """Tell whether a statement was prepared before a migration gave one of its columns another type.

    It never works again on its connection, and the other connections have such statements, too.
    """
    if not isinstance(error, psycopg.errors.FeatureNotSupported):
        return False
    return error.diag.source_function == "RevalidateCachedQuery"
