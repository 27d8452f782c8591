"""Failure drills with real processes: whatever dies, each acknowledged callback is stored exactly once.

Each drill ends with a ledger. `DRILL_ROUNDS` says how often the killing ones kill (20 for `make drills`, few in CI).
"""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from app.storage.database import connect
from app.storage.embedded import find_running
from tests.ingest.test_keeping import Database
from tests.server.test_supervisor import Running, add_source, find_postmaster, free_port, lives, serving, until

pytestmark = pytest.mark.process

ROUNDS = int(os.environ.get("DRILL_ROUNDS", "2"))
SENDERS = 8


@dataclass
class Ledger:
    """What senders sent and what they were told."""

    sent: int = 0
    acknowledged: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    cut_off: int = 0

    def check(self, stored: list[str]) -> None:
        """Assert that each acknowledged delivery is stored exactly once; say what was counted."""
        held = Counter(stored)
        lost = [one for one in self.acknowledged if one not in held]
        doubled = [one for one, times in held.items() if times > 1]
        told = Counter(self.acknowledged)
        line = (
            f"sent {self.sent}, acknowledged {len(self.acknowledged)}, stored {len(stored)}, doubled {len(doubled)},"
            f" refused {dict(self.refused)}, cut off {self.cut_off}, lost {len(lost)}"
        )
        print(line)  # noqa: T201 - the ledger is what a drill is for
        assert self.acknowledged, line
        assert not lost, line
        assert not doubled, line
        assert max(told.values()) == 1, line
        assert self.sent == len(self.acknowledged) + sum(self.refused.values()) + self.cut_off, line


class Load:
    """Senders that post one callback after the other until told to stop."""

    def __init__(self, port: int, path: str) -> None:
        self.ledger = Ledger()
        self._port = port
        self._path = path
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._senders = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]

    def __enter__(self) -> Self:
        for sender in self._senders:
            sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for sender in self._senders:
            sender.join(60)
            assert not sender.is_alive(), "a sender was left hanging"

    def _send(self, sender: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            body = json.dumps({"id": f"lead-{sender}-{number}", "prospect": {"first_name": "Marieke"}})
            with self._lock:
                self.ledger.sent += 1
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
                    connection.request("POST", self._path, body)
                    answer = connection.getresponse()
                    content = answer.read()
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.ledger.cut_off += 1
                time.sleep(0.02)
                continue
            with self._lock:
                if answer.status == 200:
                    self.ledger.acknowledged.append(json.loads(content)["id"])
                else:
                    self.ledger.refused[answer.status] += 1

    def wait_for_more(self, count: int = 30) -> None:
        """Wait until so many more were acknowledged."""
        before = len(self.ledger.acknowledged)
        until(lambda: len(self.ledger.acknowledged) >= before + count, f"{count} more acknowledgements")


def stored_in(url: str) -> list[str]:
    with connect(url) as connection:
        return [str(row[0]) for row in connection.execute("SELECT id FROM deliveries")]


def all_processed(url: str, spool: Path | None = None) -> Callable[[], bool]:
    """Return the question whether nothing waits any more, neither in the inbox nor in the spool."""

    def question() -> bool:
        if spool is not None and any(spool.glob("*.sqlite")):
            return False
        with connect(url) as connection:
            return connection.execute("SELECT 1 FROM inbox LIMIT 1").fetchone() is None

    return question


@contextmanager
def service(url: str, key: str, folder: Path, port: int | None = None) -> Iterator[Running]:
    with serving(port=port, database_url=url, encryption_key=key, data_dir=str(folder)) as running:
        yield running.await_ready()


@pytest.mark.parametrize("role", ["receiver", "work"])
def test_a_child_is_killed_again_and_again(database_url: str, encryption_key: str, tmp_path: Path, role: str) -> None:
    with service(database_url, encryption_key, tmp_path) as running:
        path = add_source(database_url, encryption_key)
        with Load(running.port, path) as load:
            for _ in range(ROUNDS):
                load.wait_for_more()
                for child in running.children(role):
                    os.kill(child, signal.SIGKILL)
            load.wait_for_more()
        until(all_processed(database_url, tmp_path / "spool"), "everything processed")
        load.ledger.check(stored_in(database_url))


def test_the_supervisor_is_killed_and_started_again(database_url: str, encryption_key: str, tmp_path: Path) -> None:
    port = free_port()
    named = {"database_url": database_url, "encryption_key": encryption_key, "data_dir": str(tmp_path)}
    running = Running(port, **named).await_ready()
    try:
        with Load(port, add_source(database_url, encryption_key)) as load:
            for _ in range(ROUNDS):
                load.wait_for_more()
                children = running.children()
                running.end(signal.SIGKILL)
                until(lambda: not any(map(lives, children)), "the children ended")  # noqa: B023 - asked at once
                running = Running(port, **named).await_ready()
            load.wait_for_more()
        until(all_processed(database_url, tmp_path / "spool"), "everything processed")
        load.ledger.check(stored_in(database_url))
    finally:
        running.end()


def test_the_embedded_postgres_is_killed(short_folder: Path) -> None:
    with serving(data_dir=str(short_folder)) as running:
        running.await_ready()
        path = json.loads((short_folder / "first-start.json").read_text())["sources"][1]["callback_url"]
        path = path.split(str(running.port), 1)[1]
        with Load(running.port, path) as load:
            for _ in range(max(1, ROUNDS // 2)):
                load.wait_for_more()
                postmaster = find_postmaster(short_folder)
                assert postmaster is not None
                os.kill(postmaster, signal.SIGKILL)
                until(lambda: find_postmaster(short_folder) not in {None, postmaster}, "a new one")  # noqa: B023 - asked at once
            load.wait_for_more()
        url = until(lambda: find_running(short_folder), "the database")
        until(all_processed(url, short_folder / "spool"), "everything processed")
        load.ledger.check(stored_in(url))
        assert not load.ledger.refused, "while the database was away the spool took all"


@pytest.mark.parametrize("trouble", ["away", "read_only"])
def test_the_database_is_in_trouble_under_load(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path, trouble: str
) -> None:
    database = Database(database_url, server_url)
    with service(database_url, encryption_key, tmp_path) as running:
        path = add_source(database_url, encryption_key)
        with Load(running.port, path) as load:
            load.wait_for_more()
            with getattr(database, trouble)():
                load.wait_for_more(100)
                status, told = running.request("GET", "/readyz")
                assert (status, told["status"]) == (200, "degraded")
            load.wait_for_more()
        until(all_processed(database_url, tmp_path / "spool"), "everything processed")
        load.ledger.check(stored_in(database_url))
        assert not load.ledger.refused
        assert not load.ledger.cut_off
        until(lambda: running.request("GET", "/readyz")[1]["status"] == "ok", "ready again")


def test_a_service_starts_and_receives_while_the_database_is_away(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    database = Database(database_url, server_url)
    with service(database_url, encryption_key, tmp_path) as running:
        path = add_source(database_url, encryption_key)
        assert running.request("POST", path, "{}")[0] == 202
    with database.away(), service(database_url, encryption_key, tmp_path) as running:
        status, told = running.request("POST", path, '{"id": "lead-1", "first_name": "Marieke"}')
        assert status == 200
        assert running.request("POST", path[:-8] + "AAAAAAAA", "{}")[0] == 503
    with service(database_url, encryption_key, tmp_path):
        until(all_processed(database_url, tmp_path / "spool"), "everything processed")
    assert told["id"] in stored_in(database_url)


def test_a_term_signal_under_load_leaves_nobody_waiting(database_url: str, encryption_key: str, tmp_path: Path) -> None:
    with service(database_url, encryption_key, tmp_path) as running:
        path = add_source(database_url, encryption_key)
        with Load(running.port, path) as load:
            load.wait_for_more(100)
            began = time.monotonic()
            assert running.end() == 0
            assert time.monotonic() - began < 12
        load.ledger.check(stored_in(database_url))
