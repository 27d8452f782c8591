"""Keeps the tables of the job queue, which are procrastinate's, at the version of the installed package.

The SQL is the package's own, run from where it is installed; what the queue is used for is `app.jobs`'s business.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg

PREFIX = "procrastinate_"
"""How the names of all its tables, types and functions begin."""

_VERSION_KEY = "procrastinate"

_DROP = r"""
DO $$
DECLARE found record;
BEGIN
    FOR found IN SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND starts_with(relname, 'procrastinate_')
    LOOP EXECUTE format('DROP TABLE %s CASCADE', found.name); END LOOP;
    FOR found IN SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'procrastinate_')
    LOOP EXECUTE format('DROP FUNCTION %s CASCADE', found.name); END LOOP;
    FOR found IN SELECT oid::regtype AS name FROM pg_type
        WHERE typnamespace = current_schema()::regnamespace AND typtype IN ('e', 'c')
        AND starts_with(typname, 'procrastinate_')
    LOOP EXECUTE format('DROP TYPE %s CASCADE', found.name); END LOOP;
END $$
"""


def newest_version() -> str:
    """Return the version of the queue's tables that the installed package expects: the name of its last migration."""
    return max(_migrations())


def create_queue(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Make the tables of the installed version, in the caller's transaction."""
    connection.execute(_text("schema.sql"))
    _note_version(connection, newest_version())


def drop_queue(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Drop them with all that waits in them, in the caller's transaction."""
    connection.execute(_DROP)
    connection.execute("DELETE FROM installation WHERE key = %s", (_VERSION_KEY,))


def upgrade_queue(
    connection: psycopg.Connection[tuple[object, ...]], say: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Bring the tables to the installed version, a transaction for each step; return the names of the steps.

    A package that is older than the tables changes nothing: its workers know what an earlier version had.
    """
    present = _present_version(connection)
    if present is None or present >= newest_version():
        return []
    steps = sorted(name for name in _migrations() if name > present)
    say(f"Bringing the job queue from {present} to {steps[-1]}.")
    for name in steps:
        with connection.transaction():
            connection.execute(_text("migrations", f"{name}.sql"))
            _note_version(connection, name)
    return steps


def _present_version(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    row = connection.execute(
        "SELECT convert_from(value, 'UTF8') FROM installation WHERE key = %s", (_VERSION_KEY,)
    ).fetchone()
    return None if row is None else str(row[0])


def _note_version(connection: psycopg.Connection[tuple[object, ...]], version: str) -> None:
    connection.execute(
        "INSERT INTO installation (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
        (_VERSION_KEY, version.encode()),
    )


def _migrations() -> Iterator[str]:
    """Return the names of the package's migrations; they sort as they follow each other."""
    return (path.stem for path in (_folder() / "migrations").glob("*.sql"))


def _text(*path: str) -> bytes:
    """Return a file of the package. As bytes without parameters, nothing in it is taken for a placeholder."""
    return _folder().joinpath(*path).read_bytes()


def _folder() -> Path:
    """Return where the package has its SQL, without importing it: every start comes by here."""
    found = find_spec("procrastinate")
    if found is None or not found.submodule_search_locations:
        raise ImportError("procrastinate is not installed")
    return Path(found.submodule_search_locations[0]) / "sql"
