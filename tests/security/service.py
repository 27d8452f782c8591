"""A real `callbox serve` on its embedded database, whose every word is kept; what it is asked stands in the tests."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.accounts import keys, store
from app.accounts.model import Mode, Scope
from app.accounts.writing import Connection, Platform
from app.administration.platforms import get_platform
from app.crypto import Vault
from app.storage.database import connect
from app.storage.embedded import find_running
from tests.ports import free_port
from tests.server.test_supervisor import PATIENCE_S, ROOT, until

SECRET = "geheim-Wacholderdrossel-77"
PLATFORMS = {
    "thinksurance": Platform("thinksurance", check_recipe=lambda _: None),
    "wegroup": get_platform("wegroup"),
}
DEMANDED = {
    "sender_header_value": "kopf-Wintergoldhähnchen-5",
    "sender_password": "login-Zaunkönig-6",
    "sender_hmac_key": "hmac-Sumpfmeise-7",
}
"""What a sender must know, where a test demands it."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Service:
    """One `serve`, and after `restart` the next one on the same DATA_DIR and port."""

    data_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> "Service":
        """Start it and wait until it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOX_")}
        named = {"data_dir": str(self.data_dir), "port": str(self.port), "log_format": "json", **self.settings}
        environment |= {f"CALLBOX_{name.upper()}": value for name, value in named.items()} | {"PYTHONPATH": str(ROOT)}
        with self._file("stdout").open("ab") as out, self._file("stderr").open("ab") as err:
            before = err.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

        def said() -> bytes:
            return self._file("stderr").read_bytes()[before:]

        until(lambda: b"ready at" in said() or self.process.poll() is not None, "ready")
        assert b"ready at" in said(), (self.process.poll(), said())
        until(lambda: self.ask("GET", "/livez").status == 200, "the API")
        return self

    def restart(self) -> None:
        """End it and start it again."""
        assert self.end() == 0
        self.start()

    def end(self) -> int:
        """End it, if it runs, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def said(self) -> dict[str, bytes]:
        """Return what was written to standard output and standard error."""
        return {name: self._file(name).read_bytes() for name in ("stdout", "stderr")}

    def _file(self, name: str) -> Path:
        return self.data_dir.parent / name

    def ask(
        self, method: str, target: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, target, body, dict(headers or {}))
            got = connection.getresponse()
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())

    def get(self, target: str, key: str) -> Answer:
        """Ask with an API key."""
        return self.ask("GET", target, headers={"Authorization": f"Bearer {key}"})

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """Give a connection to its database."""
        url = until(lambda: find_running(self.data_dir), "the database")
        with connect(url) as connection:
            yield connection

    def add_source(self, provider: str, name: str, mode: Mode | None = None) -> str:
        """Make a source, with the secret if it signs, and return its token once the receiver knows of it."""
        vault = Vault((self.data_dir / "encryption.key").read_text().strip())
        signed = provider == "thinksurance"
        with self.database() as connection:
            added = store.add_source(
                connection, vault, PLATFORMS[provider], name, secrets=[SECRET] if signed else [], mode=mode
            )
        path = f"/callbacks/{provider}/{added.token.token}"
        until(lambda: self.ask("GET", path).status == 204, "a source that the receiver knows of")
        return added.token.token

    def demand(self, name: str, **settings: str) -> None:
        """Have a source check its senders."""
        vault = Vault((self.data_dir / "encryption.key").read_text().strip())
        with self.database() as connection:
            platform = get_platform("wegroup")
            demanded = list(DEMANDED.items())
            store.set_source(connection, vault, platform, name, credentials=demanded, settings=list(settings.items()))

    def add_key(self, name: str, *scopes: Scope) -> str:
        """Make an API key and return it once it is known."""
        with self.database() as connection:
            key = keys.add_key(connection, name, scopes).key
        until(lambda: self.get("/v1/sources", key).status in {200, 403}, "a key that is known")
        return key

    def await_processed(self) -> None:
        """Wait until nothing waits in the inbox any more."""

        def nothing_waits() -> bool:
            with self.database() as connection:
                return connection.execute("SELECT 1 FROM inbox LIMIT 1").fetchone() is None

        until(nothing_waits, "an empty inbox")

    def descendants(self) -> list[int]:
        """Return the ids of the processes that it started, the embedded database's too."""
        found: list[int] = []
        waiting = [self.process.pid]
        while waiting:
            children = Path(f"/proc/{waiting[-1]}/task/{waiting.pop()}/children").read_text().split()
            found += map(int, children)
            waiting += map(int, children)
        return found

    def receiver(self) -> int:
        """Return the id of the receiver's process."""
        for pid in self.descendants():
            if b"app.server.child\x00receiver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError("no receiver runs")


@contextmanager
def running(**settings: str) -> Iterator[Service]:
    """Give a service on a DATA_DIR of its own, on a short path that the user of the embedded server can reach."""
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        Path(made).chmod(0o755)
        service = Service(Path(made) / "data", settings)
        try:
            yield service.start()
        finally:
            service.end()
