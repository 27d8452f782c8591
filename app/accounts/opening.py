"""Opens what the settings name: the database, embedded or not, and the vault with the key that fits it.

Whoever opens the embedded database for a moment closes it again; who serves on it is the supervisor's business.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from app.accounts.reading import VAULT_CHECK, VAULT_QUESTION, is_key
from app.accounts.writing import Connection
from app.config import ConfigError, Settings
from app.crypto import Vault, WrongKeyError, new_encryption_key
from app.storage import database

CHECK_TEXT, CHECK_ROW = VAULT_CHECK
KEY_FILE = "encryption.key"
_COMING_FILE = f"{KEY_FILE}.new"

Say = Callable[[str], None]


def _silent(_: str) -> None:
    """Say nothing."""


@contextmanager
def database_of(settings: Settings, say: Say = _silent) -> Iterator[str]:
    """Give the URL of the database. Beside a running `serve` the embedded one is shared, else it runs meanwhile.

    Raises:
        EmbeddedError: the embedded database cannot be started; the text names the setting.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    from app.storage import embedded  # noqa: PLC0415 - not needed, and not there on every machine, with DATABASE_URL

    # Not `find_running`: to be one of its users keeps a `serve` that ends meanwhile from stopping it under our hands.
    server = embedded.start(settings.data_dir, say=say)
    try:
        yield server.url
    finally:
        server.stop()


def prepare_database(url: str, settings: Settings, say: Say = _silent) -> None:
    """Bring the tables up to date, or with `MIGRATE=off` see that they are.

    Raises:
        DatabaseError: the database cannot be used, or its tables are another version's and may not be migrated.
    """
    if settings.migrate == "auto":
        database.migrate(url, say)
        return
    with database.connect(url) as connection:
        present, newest = database.present_revision(connection), database.newest_revision()
    if present != newest:
        state = f"at revision {present}" if present else "empty"
        raise database.DatabaseError(
            f"the database is {state}, this version needs {newest}; CALLBOX_MIGRATE is off: run `callbox migrate`"
        )


def vault_of(settings: Settings) -> Vault:
    """Return the vault with `ENCRYPTION_KEY`, or with the key that lies, or is made now, in `DATA_DIR`.

    Raises:
        ConfigError: the key in `DATA_DIR` cannot be read or written, or is malformed.
    """
    if settings.encryption_key is not None:
        return Vault(settings.encryption_key.get_secret_value())
    path = settings.data_dir / KEY_FILE
    try:
        key = _read_or_make_key(path)
    except OSError as error:
        raise ConfigError(f"CALLBOX_DATA_DIR: {path}: {error.strerror}") from error
    try:
        return Vault(key)
    except ValueError as error:
        raise ConfigError(f"CALLBOX_DATA_DIR: {path}: {error}") from None


def _read_or_make_key(path: Path) -> str:
    """Return the key in a file; a missing one is made whole and durable at once, and by one process only."""
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # made with 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(new_encryption_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, path)
        except FileExistsError:
            pass  # another process was first: its key it is
        else:
            _make_durable(path.parent)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return path.read_text(errors="replace").strip()


@contextmanager
def replaced_key(settings: Settings, key: str) -> Iterator[None]:
    """Put `key` in the place of the one in `DATA_DIR` if what is done inside succeeds; a key from elsewhere is left.

    The new key is on the disk, as `encryption.key.new`, before anything is encrypted with it. It stays there where
    nobody knows whether the database took it: see `fitting_vault`.

    Raises:
        ConfigError: the key cannot be written.
    """
    if settings.encryption_key is not None:
        yield
        return
    path = settings.data_dir / KEY_FILE
    coming = path.with_name(_COMING_FILE)
    try:
        with os.fdopen(os.open(coming, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        _make_durable(path.parent)
    except OSError as error:
        raise ConfigError(f"CALLBOX_DATA_DIR: {coming}: {error.strerror}") from error
    try:
        yield
    except psycopg.Error:  # perhaps in the middle of the commit
        raise
    except Exception:  # raised again; whatever it was has rolled the change back, so the database has the old key still
        coming.unlink()
        raise
    coming.replace(path)
    _make_durable(path.parent)


def _make_durable(folder: Path) -> None:
    """Have a folder's new entry survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fitting_vault(connection: Connection, settings: Settings) -> Vault:
    """Return the vault whose key is this database's; bring a change of the key to its end that was cut off.

    Raises:
        ConfigError: the key in `DATA_DIR` cannot be read or written, or is malformed.
        WrongKeyError: there is no such key; the text names the setting.
    """
    vault = vault_of(settings)
    check = find_vault_check(connection)
    if settings.encryption_key is None and check is not None and not is_key(vault, check):
        with suppress(OSError):
            new = find_coming_vault(settings, check)
            if new is not None:
                (settings.data_dir / _COMING_FILE).replace(settings.data_dir / KEY_FILE)
                _make_durable(settings.data_dir)
                return new
    verify_vault(connection, vault)
    return vault


def find_coming_vault(settings: Settings, check: bytes) -> Vault | None:
    """Return the vault of the key whose change was cut off, where it is the database's by now."""
    with suppress(OSError, ValueError):
        new = Vault((settings.data_dir / _COMING_FILE).read_text().strip())
        return new if is_key(new, check) else None
    return None


def verify_vault(connection: Connection, vault: Vault) -> None:
    """See that the key fits this database; the first one that is tried becomes its key.

    Raises:
        WrongKeyError: it does not; the text names the setting.
    """
    row = find_vault_check(connection)
    if row is None:
        connection.execute(
            "INSERT INTO installation (key, value) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (CHECK_ROW, vault.encrypt(CHECK_TEXT, CHECK_ROW)),
        )
        row = find_vault_check(connection)
    if row is None or not is_key(vault, row):
        raise WrongKeyError(
            "CALLBOX_ENCRYPTION_KEY (embedded: the file encryption.key in CALLBOX_DATA_DIR) is not the key that the"
            " secrets in this database were encrypted with; put the earlier key back"
        )


def find_vault_check(connection: Connection) -> bytes | None:
    """Return the value that only the right key decrypts, None where no key was ever used."""
    row = connection.execute(VAULT_QUESTION).fetchone()
    return None if row is None else bytes(row[0])
