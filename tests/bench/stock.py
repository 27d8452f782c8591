"""Opens the database of the measurements: the one that the settings name, or one kept under var/; fills it once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.accounts.opening import database_of, prepare_database, vault_of, verify_vault
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
