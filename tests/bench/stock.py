"""Opens the database of the measurements: the one that the settings name, or one kept under var/; fills it once."""

# ruff: noqa: S608 - the names in the statements are those that PostgreSQL has

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.accounts.opening import database_of, prepare_database, vault_of, verify_vault
from app.accounts.writing import Connection
from app.config import Settings, load_settings
from app.crypto import Vault
from app.storage.database import connect
from tests.bench.filling import Say, fill

KEPT = Path(__file__).resolve().parents[2] / "var" / "bench"


@contextmanager
def filled(count: int, say: Say) -> Iterator[tuple[Settings, str, Vault]]:
    """Give settings, URL and vault of a database with `count` deliveries at least; an empty one is filled.

    Without CALLBOX_DATABASE_URL it is an embedded one in a folder for each size, which is there again the next time.
    """
    if "CALLBOX_DATABASE_URL" not in os.environ:
        os.environ["CALLBOX_DATA_DIR"] = str(KEPT / f"{count}")
        (KEPT / f"{count}").mkdir(parents=True, exist_ok=True)
    settings = load_settings()
    with database_of(settings, say) as url:
        prepare_database(url, settings, say)
        vault = vault_of(settings)
        with connect(url) as connection:
            verify_vault(connection, vault)
            is_empty = connection.execute("SELECT 1 FROM deliveries LIMIT 1").fetchone() is None
        if is_empty:
            say(f"filling {settings.data_dir if settings.database_url is None else 'the database'}")
            fill(url, vault, count, say)
        yield settings, url, vault


def read_through(database: Connection) -> None:
    """Read the tables and their indexes, but for bodies and words: what PostgreSQL has room for is in its memory then.

    Table by table and month by month, each of which is small enough not to be led past that memory.
    """
    mine = "relnamespace = current_schema()::regnamespace"
    tables = f"SELECT relname FROM pg_class WHERE relkind = 'r' AND {mine} ORDER BY relpages"
    for (name,) in database.execute(tables).fetchall():
        whole = "count(*)" if name.startswith("deliveries") else "sum(length(t::text))"
        database.execute(f'SELECT {whole} FROM "{name}" t')
    indexes = (
        "SELECT t.relname, a.attname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid"
        " JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam"
        " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]"
        f" WHERE m.amname = 'btree' AND t.relkind = 'r' AND t.{mine}"
    )
    database.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    for name, column in database.execute(indexes).fetchall():
        database.execute(f'SELECT count(*) FROM (SELECT "{column}" FROM "{name}" ORDER BY "{column}") t')
    database.execute("RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_sort")
