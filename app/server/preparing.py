"""Makes a database that answers ready for the service: tables, key, and on the embedded one the first start.

Bringing it up is the supervisor's business.
"""

from collections.abc import Callable

import psycopg

from app.accounts.first_start import show_first_start
from app.accounts.opening import KEY_FILE, fitting_vault, prepare_database
from app.config import ConfigError, Settings
from app.server.speech import StartError
from app.storage.database import DatabaseError, UnreachableError, connect


def prepare(url: str, settings: Settings, say: Callable[[str], None]) -> str:
    """Migrate, check the key, show the first start; return the key.

    Raises:
        UnreachableError: the database does not answer now.
        StartError, ConfigError, WrongKeyError: the database cannot be used as the settings are.
    """
    try:
        prepare_database(url, settings, say)
        with connect(url) as connection:
            vault = fitting_vault(connection, settings)
            if settings.embedded:
                show_first_start(connection, vault, settings)
    except UnreachableError:
        raise
    except DatabaseError as error:
        raise StartError(str(error)) from error
    except _refusals() as error:  # looked up only when something was raised
        refused = getattr(error, "orig", error)
        raise StartError(f"the database refused: {str(refused).strip().splitlines()[0]}") from error
    except OSError as error:
        raise ConfigError(f"CALLBOX_DATA_DIR: {error.filename or settings.data_dir}: {error.strerror}") from error
    if settings.encryption_key is not None:
        return settings.encryption_key.get_secret_value()
    return (settings.data_dir / KEY_FILE).read_text().strip()


def _refusals() -> tuple[type[Exception], ...]:
    """Return the driver's error and that in which a migration wraps it."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - a start that succeeds does without

    return psycopg.Error, DBAPIError
