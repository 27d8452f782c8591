"""What every test may ask for: a real PostgreSQL, migrated, and a vault.

The server is the embedded one, or the one that CALLBOX_DATABASE_URL names when the tests start.
"""

import logging
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from app import health, main
from app.accounts import snapshot
from app.crypto import Vault, new_encryption_key
from app.ingest import writer
from app.storage import database, embedded, engine
from tests.databases import Databases

_GIVEN_SERVER = os.environ.get("CALLBOX_DATABASE_URL")
for _name in [name for name in os.environ if name.startswith("CALLBOX_")]:
    del os.environ[_name]

# Who starts the tests in the background may have them ignore Ctrl-C; what they start would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE_S = 30
"""How long what is only a question of load may take."""

# The suite tries the same examples each time, however busy the machine is. HYPOTHESIS_PROFILE=long looks for others.
_SLOW = [HealthCheck.too_slow]
settings.register_profile("steady", deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW)
settings.register_profile("long", deadline=None, max_examples=5000, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_xdist_auto_num_workers() -> int:
    """Take a worker more than there are cores: the tests of processes wait more than they compute."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start processes: they take longest, and no worker shall be alone with them at last."""
    slow = {item.path for item in items if item.get_closest_marker("process")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Let no test leave its logging, and so what it takes for standard error, to the next."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """Let an application in the test process wait for its database: half a minute where the service waits a second.

    A machine that stands still for a moment shall change no answer. Tests of the bounds themselves set them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "Writer", partial(writer.Writer, patience=timedelta(seconds=PATIENCE_S)))
        patch.setattr(health, "PROBE_S", float(PATIENCE_S))
        patch.setattr(snapshot, "BOUND_S", float(PATIENCE_S))
        patch.setattr(snapshot, "STALE_S", 3.0 * PATIENCE_S)
        for room, name in ((snapshot, "_OPTIONS"), (engine, "READ_OPTIONS")):
            longer = re.sub(r"statement_timeout=\w+", f"statement_timeout={PATIENCE_S}s", getattr(room, name))
            patch.setattr(room, name, longer)
        for room in (main, health, writer, database, engine):
            patch.setattr(room, "CONNECT_TIMEOUT_S", PATIENCE_S)
        yield


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
def databases(server_url: str) -> Iterator[Databases]:
    """Lend migrated, empty databases; to be taken back."""
    databases = Databases(server_url, copies_files=_GIVEN_SERVER is None)
    yield databases
    databases.drop_all()


@pytest.fixture
def new_database(databases: Databases) -> Iterator[Callable[[], str]]:
    """Give migrated databases for this test alone, empty at first."""
    urls = []

    def make() -> str:
        urls.append(databases.lend())
        return urls[-1]

    yield make
    for url in urls:
        databases.take_back(url)


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A migrated, empty database for this test alone."""
    return new_database()


@pytest.fixture(scope="module")
def shared_database_url(databases: Databases) -> Iterator[str]:
    """A migrated database for all tests of a module; each of them leaves it as it was."""
    url = databases.lend()
    yield url
    databases.take_back(url)


@pytest.fixture(scope="session")
def encryption_key() -> str:
    """A key for this test run."""
    return new_encryption_key()


@pytest.fixture(scope="session")
def vault(encryption_key: str) -> Vault:
    """A vault with this test run's key."""
    return Vault(encryption_key)
