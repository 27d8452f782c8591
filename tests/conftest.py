"""What every test may ask for: a real PostgreSQL, migrated, and a vault.

The server is the embedded one, or the one that CALLBOX_DATABASE_URL names when the tests start.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app.crypto import Vault, new_encryption_key
from app.storage import embedded
from app.storage.database import migrate

_GIVEN_SERVER = os.environ.get("CALLBOX_DATABASE_URL")
# Copying files is the quicker way where nothing waits for the disk, as on the embedded server of the tests.
_CLONE = "CREATE DATABASE {} TEMPLATE {}" + ("" if _GIVEN_SERVER else " STRATEGY FILE_COPY")
for _name in [name for name in os.environ if name.startswith("CALLBOX_")]:
    del os.environ[_name]


def _url(server: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    parts = psycopg.conninfo.conninfo_to_dict(server) | {"dbname": database}
    user, password = parts.pop("user", ""), parts.pop("password", "")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    host, port, name = parts.pop("host", ""), parts.pop("port", ""), parts.pop("dbname")
    if str(host).startswith("/"):
        query = "&".join(f"{key}={value}" for key, value in {"host": host, "port": port, **parts}.items() if value)
        return f"postgresql://{login}/{name}?{query}"
    query = "&".join(f"{key}={value}" for key, value in parts.items())
    return f"postgresql://{login}{host}{f':{port}' if port else ''}/{name}{f'?{query}' if query else ''}"


def _execute(server: str, statement: str, *names: str) -> None:
    with psycopg.connect(make_conninfo(server), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL for this test process."""
    if _GIVEN_SERVER:
        yield _GIVEN_SERVER
        return
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp" if Path("/tmp").is_dir() else None) as folder:  # noqa: S108
        Path(folder).chmod(0o755)  # as root the server is another user and must reach its folder
        server = embedded.start(Path(folder) / "data", durable=False)
        try:
            yield server.url
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """A migrated, empty database to clone."""
    name = f"callbox_template_{uuid4().hex[:12]}"
    _execute(server_url, "CREATE DATABASE {}", name)
    migrate(_url(server_url, name))
    yield name
    _execute(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def new_database(server_url: str, template: str) -> Iterator[Callable[[], str]]:
    """Make migrated databases of this test's own; they are dropped after it."""
    names = []

    def make() -> str:
        names.append(f"callbox_test_{uuid4().hex[:12]}")
        _execute(server_url, _CLONE, names[-1], template)
        return _url(server_url, names[-1])

    yield make
    for name in names:
        _execute(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A migrated, empty database of this test's own."""
    return new_database()


@pytest.fixture(scope="session")
def encryption_key() -> str:
    """A key for this test run."""
    return new_encryption_key()


@pytest.fixture(scope="session")
def vault(encryption_key: str) -> Vault:
    """A vault with this test run's key."""
    return Vault(encryption_key)
