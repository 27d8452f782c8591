"""Opens what most commands need: settings, the migrated database, and the vault whose key fits it.

Nothing heavy is imported before a command asks for it, so that `--help` is there at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.cli.output import say

if TYPE_CHECKING:
    from app.accounts.writing import Connection
    from app.config import Settings
    from app.crypto import Vault


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database with what belongs to it."""

    settings: "Settings"
    url: str
    vault: "Vault"
    connection: "Connection"


@contextmanager
def opened() -> Iterator[Opened]:
    """Give the database of the settings, migrated; the embedded one runs meanwhile if it does not already.

    Raises:
        ConfigError: a setting is wrong.
        EmbeddedError: the embedded database does not start.
        DatabaseError: the database cannot be used.
        WrongKeyError: the encryption key does not fit it.
    """
    from app.accounts.opening import database_of, fitting_vault, prepare_database  # noqa: PLC0415
    from app.config import load_settings  # noqa: PLC0415
    from app.storage.database import connect  # noqa: PLC0415

    settings = load_settings()
    with database_of(settings, say) as url:
        prepare_database(url, settings, say)
        with connect(url) as connection:
            yield Opened(settings, url, fitting_vault(connection, settings), connection)
