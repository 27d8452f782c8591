"""Starts what is measured as real processes over one PostgreSQL, and reads what they cost the machine.

What they do is told in `endpoints`; Callbox is the real service.
"""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.endpoints import DATABASE_VARIABLE, SECRET_VARIABLE

ROOT = Path(__file__).parents[2]
SECRET = secrets.token_hex(16)
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SOURCE = "bench"

_UP_WITHIN_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contender:
    """A server under test: where it answers, and its process."""

    name: str
    url: str
    pid: int

    @property
    def port(self) -> int:
        """Return its port."""
        return int(self.url.split(":")[2].split("/")[0])


@contextmanager
def plain(name: str, workers: int, database_url: str) -> Iterator[Contender]:
    """Run an application of `endpoints` on uvicorn, as Callbox runs: uvloop, httptools, no access log."""
    port = free_port()
    words = ["-m", "uvicorn", f"tests.bench.endpoints:{name}", "--port", str(port), "--workers", str(workers)]
    words += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    environment = {
        DATABASE_VARIABLE: database_url.replace("postgresql:", "postgresql+psycopg:"),
        SECRET_VARIABLE: SECRET,
    }
    with running(words, environment) as pid:
        _await_up(port, "/callbacks/none")
        yield Contender(name, f"http://127.0.0.1:{port}/callbacks/none", pid)


@contextmanager
def callbox(folder: Path, workers: int, database_url: str, *, work: bool) -> Iterator[Contender]:
    """Run `callbox serve` with one source that enforces signatures."""
    port = free_port()
    environment = settings(folder, database_url, port)
    command("migrate", environment=environment)
    if SOURCE not in command("sources", "list", "--json", environment=environment):
        command("sources", "add", "thinksurance", SOURCE, "--secret", SECRET, "--json", environment=environment)
    url = str(
        json.loads(command("sources", "url", SOURCE, "--json", environment=environment))["urls"][0]["callback_url"]
    )
    words = ["-P", "-m", "app", "serve", "--workers", str(workers), *(() if work else ("--no-work",))]
    with running(words, environment) as pid:
        _await_up(port, "/v1/sources")  # which waits for all that is imported
        yield Contender("callbox --no-work" if not work else "callbox", url, pid)


def settings(folder: Path, database_url: str, port: int) -> dict[str, str]:
    """Return the environment of a `callbox` over a database."""
    return {
        "CALLBOX_DATABASE_URL": database_url,
        "CALLBOX_ENCRYPTION_KEY": KEY,
        "CALLBOX_DATA_DIR": str(folder),
        "CALLBOX_PORT": str(port),
        "CALLBOX_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CALLBOX_LOG_LEVEL": "error",
    }


def command(*words: str, environment: dict[str, str]) -> str:
    """Return what a command of Callbox prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "app", *words],
        env={**outside(), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and all that it started, so far."""
    return sum(map(_own_seconds, family(pid)))


def resident_bytes(pid: int) -> int:
    """Return the memory that a process and all that it started hold now, shared pages counted once each."""
    return sum(_pages(one) for one in family(pid))


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found


def _own_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # its own, and that of children which ended


def _pages(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


@contextmanager
def running(words: list[str], environment: dict[str, str]) -> Iterator[int]:
    """Run Python with these words, give its number, and end it by SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, *words], env={**outside(), **environment}, cwd=ROOT, stdin=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def outside() -> dict[str, str]:
    """Return the environment without settings of Callbox."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CALLBOX_")}


def _await_up(port: int, path: str) -> None:
    end = time.monotonic() + _UP_WITHIN_S
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError(f"nothing answers at port {port}")


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
