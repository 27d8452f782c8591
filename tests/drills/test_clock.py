"""The clock steps back: ids go on rising, over deaths of the process and in the spool too, and find their month."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app.ids import time_of
from app.storage.database import connect
from tests.drills.ledger import LONG, Ledger
from tests.drills.service import stored_in
from tests.ingest.test_keeping import Database
from tests.server.test_supervisor import ROOT, add_source, until

pytestmark = pytest.mark.process

# The receiver as the supervisor starts it, but for the clock of its ids: that goes wrong by the seconds in a file.
PROGRAM = """
import sys, time
from pathlib import Path
from uuid_utils.compat import uuid7
import app.ids
from app.server.child import main
wrong_by = Path(sys.argv[1])
def shifted():
    return uuid7(nanoseconds=time.time_ns() + int(wrong_by.read_text()) * 10**9)
app.ids.uuid7 = shifted
main("receiver")
"""


@dataclass
class Sender:
    """Sends one callback after the other and notes the ids in the order of the answers."""

    port: int
    path: str
    ids: list[UUID] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    def send(self, count: int) -> None:
        """Send so many; each must be acknowledged."""
        for _ in range(count):
            self.ledger.sent += 1
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
                connection.request("POST", self.path, json.dumps({"id": f"lead-{self.ledger.sent}"}))
                answer = connection.getresponse()
                answer.read()
            assert answer.status == 200
            self.ledger.acknowledged.append(answer.headers["Callbox-Delivery"])
            self.ids.append(UUID(answer.headers["Callbox-Delivery"]))


@contextmanager
def receiver(listening: socket.socket, clock: Path, **settings: str | int) -> Iterator[None]:
    """A receiver that is killed at the end."""
    ready, is_ready = os.pipe()
    line, theirs = socket.socketpair()
    with (
        line,
        theirs,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(clock)],
            stdin=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("CALLBOX_")}
            | {"PYTHONPATH": str(ROOT)},
        ) as process,
    ):
        try:
            socket.send_fds(line, [json.dumps(settings).encode() + b"\n"], [listening.fileno(), is_ready])
            until(lambda: select.select([ready], [], [], 0)[0] or process.poll() is not None, "the receiver")
            assert process.poll() is None, "it answers"
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            os.close(ready)
            os.close(is_ready)


def test_ids_rise_though_the_clock_steps_back(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    database, clock, spool = Database(database_url, server_url), tmp_path / "clock", tmp_path / "spool"
    settings = {"database_url": database_url, "encryption_key": encryption_key, "data_dir": str(tmp_path)}

    def set_clock(wrong_by: timedelta) -> None:
        unfinished = clock.with_suffix(".new")
        unfinished.write_text(str(int(wrong_by.total_seconds())))
        unfinished.replace(clock)

    def is_drained() -> bool:
        return not any(spool.glob("*.sqlite"))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        sender = Sender(listening.getsockname()[1], add_source(database_url, encryption_key))
        set_clock(timedelta(days=40))
        with receiver(listening, clock, **settings):
            sender.send(20)
            set_clock(timedelta(0))
            sender.send(20)
            with database.away():
                sender.send(5)
                set_clock(-timedelta(hours=1))
                sender.send(5)
        with database.away(), receiver(listening, clock, **settings):
            sender.send(5)  # above what the dead one left in the spool
        set_clock(-timedelta(days=2))
        with receiver(listening, clock, **settings):
            sender.send(5)  # above what is in the database or the spool, whichever is higher
            until(is_drained, "the spool drained")
            sender.send(5)
        assert sender.ids == sorted(set(sender.ids))
        if LONG:
            highest = max(sender.ids)

            def rises_again() -> bool:
                sender.send(1)
                return sender.ids[-1] > highest

            with ExitStack() as stack:
                with database.away():
                    stack.enter_context(receiver(listening, clock, **settings))
                    sender.send(5)  # nobody can tell the last id now
                until(rises_again, "ids above those in the database")
                until(is_drained, "the spool drained")
    sender.ledger.check(stored_in(database_url), "clock stepped back by 40 days, an hour, 2 days")
    with connect(database_url) as connection:
        rows = connection.execute("SELECT id, tableoid::regclass::text FROM deliveries").fetchall()
    assert [name for _, name in rows] == [f"deliveries_{time_of(UUID(str(key))):%Y%m}" for key, _ in rows]
