"""The supervisor with real processes: what it starts, restarts and ends, and what it says when it cannot start."""

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.accounts import store
from app.accounts.writing import Platform
from app.crypto import Vault
from app.server import ahead, processes
from app.server.measuring import METRICS_VARIABLE
from app.server.ports import find_holder
from app.server.processes import Child, end_in_time
from app.storage.database import MIGRATION_LOCK
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds and return what it gave."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


class Running:
    """A `callbox serve` in a process of its own."""

    def __init__(self, port: int, *arguments: str, command: str = "serve", **settings: str) -> None:
        self.port = port
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOX_")}
        self._folder = tempfile.TemporaryDirectory(prefix="cbx")
        environment["CALLBOX_DATA_DIR"] = self._folder.name  # but for those that are given one
        environment |= {f"CALLBOX_{name.upper()}": value for name, value in settings.items()}
        environment |= {"CALLBOX_PORT": str(port), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", command, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                self.said.append(line)

    def children(self, role: str = "") -> list[int]:
        """Return the ids of the child processes of a role."""
        listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)  # noqa: S607
        found = [line.split(maxsplit=2) for line in listed.stdout.splitlines()[1:]]
        return [
            int(pid)
            for pid, parent, command in found
            if int(parent) == self.process.pid and f"app.server.child {role}" in command
        ]

    def await_ready(self) -> "Running":
        until(lambda: "ready at" in "".join(self.said) or self.process.poll() is not None, "ready")
        assert "ready at" in "".join(self.said), self.said
        return self

    def request(self, method: str, path: str, body: bytes | str = b"") -> tuple[int, dict[str, Any]]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content.startswith(b"{") else {"text": content.decode()}

    def answers(self, method: str, path: str, body: bytes | str = b"") -> bool:
        try:
            return self.request(method, path, body)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.status()

    def status(self) -> int:
        """Wait for the end and return the exit status."""
        status = self.process.wait(PATIENCE_S)
        self._listener.join(PATIENCE_S)
        self._folder.cleanup()
        return status


@contextmanager
def serving(*arguments: str, port: int | None = None, command: str = "serve", **settings: str) -> Iterator[Running]:
    running = Running(port or free_port(), *arguments, command=command, **settings)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end()
        running.status()


def lives(pid: int) -> bool:
    """Tell whether a process lives; a zombie that nobody has fetched yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def folder() -> Iterator[Path]:
    """A DATA_DIR on a short path that the user of the embedded server can reach."""
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "data"


def add_source(database_url: str, key: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        added = store.add_source(connection, Vault(key), Platform("wegroup"), "leads")
    return f"/callbacks/wegroup/{added.token.token}"


def kill_and_await_new(running: Running, role: str) -> None:
    """Kill the only child of a role; the supervisor starts another."""
    (before,) = until(lambda: running.children(role), role)
    os.kill(before, signal.SIGKILL)
    until(lambda: set(running.children(role)) - {before}, f"a new {role}")


def find_postmaster(folder: Path) -> int | None:
    try:
        return int((folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return None


LEAD = json.dumps({"id": "8f0f7b9e-8c1c-4a43-9f6f-0a4f8a0c9b11", "event": "lead.updated", "customer": {"id": "1"}})


@pytest.mark.process
def test_the_embedded_service_from_first_start_to_end(folder: Path) -> None:
    with serving(data_dir=str(folder)) as first:
        first.await_ready()
        made = json.loads((folder / "first-start.json").read_text())
        curl = shlex.split(made["curl"][0])
        path, body = curl[-1].split(str(first.port))[1], curl[curl.index("-d") + 1]
        until(lambda: first.answers("POST", path, body), "an answer")

        with serving(data_dir=str(folder)) as second:
            assert second.status() == 2
        (line,) = second.said
        assert f"process {first.process.pid} at http://127.0.0.1:{first.port}" in line

        for role in ("receiver", "work"):
            kill_and_await_new(first, role)
        assert until(lambda: first.answers("POST", path, body), "an answer of the new receiver")
        measures = until(lambda: first.request("GET", "/metrics")[1].get("text"), "measures")
        assert re.search(r"^callbox_deliveries_total\{[^}]*\} 2.0$", measures, re.MULTILINE), "of both receivers"

        postmaster = find_postmaster(folder)
        assert postmaster
        os.kill(postmaster, signal.SIGKILL)
        until(lambda: find_postmaster(folder) not in {None, postmaster}, "another database server")
        assert until(lambda: first.answers("POST", path, body), "an answer on the new database server")

        children = first.children()
        began = time.monotonic()
        assert first.end() == 0
        assert time.monotonic() - began < 60
        assert not any(lives(pid) for pid in children)
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()
    assert path not in "".join(first.said)


@pytest.mark.process
def test_a_killed_supervisor_leaves_nothing_that_holds_the_port(database_url: str, encryption_key: str) -> None:
    path = add_source(database_url, encryption_key)
    port = free_port()
    settings = {"database_url": database_url, "encryption_key": encryption_key}
    with serving("--workers", "2", port=port, **settings) as first:
        first.await_ready()
        until(lambda: len(first.children()) == 3, "two receivers and work")
        children = first.children()
        first.end(signal.SIGKILL)
        with serving(port=port, **settings) as second:  # at once
            second.await_ready()
            until(lambda: second.answers("POST", path, LEAD), "an answer")
            until(lambda: not any(lives(pid) for pid in children), "the end of the orphans")
            second.process.send_signal(signal.SIGTERM)
            assert second.end(signal.SIGINT) == 0  # both at once, as from an impatient hand
            assert "Traceback" not in "".join(second.said)


@pytest.mark.process
def test_what_waits_is_answered_at_the_end(database_url: str, encryption_key: str) -> None:
    path = add_source(database_url, encryption_key)
    with (
        serving("--no-work", database_url=database_url, encryption_key=encryption_key) as running,
        psycopg.connect(database_url) as blocker,
    ):
        running.await_ready()
        assert not running.children("work")
        blocker.execute("LOCK TABLE deliveries")
        waiting = [http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE_S) for _ in range(5)]
        for one in waiting:
            one.request("POST", path, LEAD)
        held = "SELECT 1 FROM pg_locks WHERE relation = 'deliveries'::regclass AND NOT granted"
        until(lambda: blocker.execute(held).fetchone(), "a statement that waits")
        assert running.request("GET", "/livez")[0] == 200  # accepted after all five, which are in the receiver then
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        blocker.rollback()
        answers = []
        for one in waiting:
            answers.append(one.getresponse().status)
            one.close()
        assert running.status() == 0
    assert len(answers) == 5
    assert set(answers) <= {200, 202}


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_just_after_the_start_leaves_nothing(number: int) -> None:
    with serving() as running:
        (child,) = until(lambda: running.children("receiver"), "the receiver begun ahead")
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        (measures,) = (one.partition(b"=")[2] for one in environment if one.startswith(METRICS_VARIABLE.encode()))
        assert running.end(number) == 0
        assert "Traceback" not in "".join(running.said)
    assert not lives(child)
    assert not Path(os.fsdecode(measures)).exists()


@pytest.mark.process
def test_a_signal_while_the_tables_are_made_is_quiet(database_url: str, encryption_key: str) -> None:
    asked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(psycopg.connect(database_url, autocommit=True)) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        with serving(database_url=database_url, encryption_key=encryption_key) as running:
            until(lambda: other.execute(asked).fetchone(), "its wait for the lock")
            assert running.end() == 0
            assert running.said == []


@pytest.mark.process
def test_a_receiver_begun_ahead_that_nobody_takes_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_VARIABLE, "put back afterwards")
    ahead.begin()
    (begun,) = ahead._begun
    pid = begun.receiver.pid
    assert pid
    assert lives(pid)
    assert begun.measures.path.is_dir()
    ahead._end()
    assert not lives(pid)
    assert not begun.measures.path.exists()
    assert ahead.take() is None


def test_a_receiver_that_cannot_be_begun_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_VARIABLE, "put back afterwards")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    ahead.begin()
    assert not Path(os.environ[METRICS_VARIABLE]).exists()
    assert ahead.take() is None


@pytest.mark.process
def test_a_child_that_does_not_end_in_time_is_killed() -> None:
    child = Child("receiver", 1, os.environ)
    child.start()
    pid = child.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)  # else the next signal may reach it first
    end_in_time([child], 0.2)
    assert not lives(pid)


@pytest.mark.process
def test_a_child_that_dies_early_is_not_started_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_FIRST_PAUSE_S", 3600.0)
    child = Child("receiver", 1, os.environ)
    child.start()
    child.signal(signal.SIGKILL)
    assert until(child.ended, "its end") == -signal.SIGKILL
    assert not child.is_due()


@pytest.mark.process
def test_a_taken_port(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        with serving(port=port, data_dir=str(folder)) as running:
            assert running.status() == 2
        (line,) = running.said
        assert f"port {port} is taken" in line
        assert f"CALLBOX_PORT={port + 1} make run" in line
        if sys.platform == "linux":
            assert f"process {os.getpid()}" in line
    assert not (folder / "postgres").exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data_dir": "/dev/null/x"}, ["CALLBOX_DATA_DIR", "Not a directory"]),
        ({"host": "203.0.113.77"}, ["CALLBOX_HOST", "203.0.113.77"]),
        ({"migrate": "off"}, ["CALLBOX_MIGRATE", "callbox migrate"]),
        ({"encryption_key": "B" * 43}, ["CALLBOX_ENCRYPTION_KEY"]),
        ({"database_url": "postgresql://x:geheim@127.0.0.1:1/x"}, ["cannot be reached", "127.0.0.1", "refused"]),
        ({"log_format": "json", "log_level": "error", "host": "203.0.113.77"}, ["service.refused", "CALLBOX_HOST"]),
    ],
    ids=["folder", "host", "migrate-off", "other-key", "no-database", "logs-of-errors-alone"],
)
def test_what_keeps_it_from_starting_is_one_line(
    settings: dict[str, str], words: list[str], database_url: str, encryption_key: str
) -> None:
    add_source(database_url, encryption_key)
    with psycopg.connect(database_url, autocommit=True) as connection:
        from app.accounts.opening import verify_vault  # noqa: PLC0415

        verify_vault(connection, Vault(encryption_key))
        if "migrate" in settings:
            connection.execute("UPDATE alembic_version SET version_num = '0000'")
    if "data_dir" not in settings:
        settings = {"database_url": database_url, "encryption_key": encryption_key} | settings
    with serving(port=free_port(), command="serve", **settings) as running:
        assert running.status() == 2
    (line,) = running.said
    assert all(word in line for word in words), line
    assert "geheim" not in line


def test_who_holds_a_port_is_found() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells")
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        assert str(os.getpid()) in str(find_holder(port))
    assert find_holder(port) is None
