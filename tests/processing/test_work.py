"""Two real work processes: one is active, the other takes over when it is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from app.accounts.model import Mode
from app.accounts.opening import verify_vault
from app.crypto import Vault
from app.processing.work import ACTIVE_LOCK
from app.storage.database import connect
from tests.processing.conftest import Desk

pytestmark = pytest.mark.process


@pytest.fixture
def start_worker(
    database_url: str, encryption_key: str, tmp_path: Any
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start `callbox work` on this test's database."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "CALLBOX_DATABASE_URL": database_url,
            "CALLBOX_ENCRYPTION_KEY": encryption_key,
            "CALLBOX_DATA_DIR": str(tmp_path),
        }
        started.append(subprocess.Popen([sys.executable, "-m", "app", "work"], env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _wait_until(question: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def test_a_second_processor_goes_on_where_a_killed_one_stopped(
    database_url: str,
    vault: Vault,
    start_worker: Callable[[], subprocess.Popen[bytes]],
    item: Callable[..., dict[str, Any]],
) -> None:
    with closing(connect(database_url)) as database:
        verify_vault(database, vault)
        desk = Desk(database, vault)
        source = desk.add_source("thinksurance", Mode.OBSERVE)

        def is_active() -> bool:
            held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s"
            return desk.rows(held, ACTIVE_LOCK & 0xFFFFFFFF) != []

        active = start_worker()
        _wait_until(is_active)
        start_worker()
        deliveries = 0
        for inquiry in range(1, 121):
            for status in (4, 6, 4):
                desk.lay(item(inquiry, status=status), source)
                deliveries += 1
            if inquiry == 60:
                _wait_until(lambda: desk.row("SELECT count(*) FROM outcomes")[0] > 0)
                active.kill()
                killed_at = time.monotonic()
        _wait_until(lambda: desk.rows("SELECT 1 FROM inbox LIMIT 1") == [])
        assert time.monotonic() - killed_at < 60
        assert desk.row("SELECT count(*), count(DISTINCT delivery_id) FROM events") == (deliveries, deliveries)
        assert desk.row("SELECT count(*), count(DISTINCT seq) FROM outcomes") == (deliveries, deliveries)
        assert desk.rows("SELECT DISTINCT status, event_count FROM inquiries") == [(4, 3)]
        assert desk.rows("SELECT DISTINCT jsonb_array_length(changes) > 0 FROM events") == [(True,)]


_HANGS = """
import re, sys, threading
from zoneinfo import ZoneInfo
from app.crypto import Vault
from app.processing import batch, work
from app.providers import PROVIDERS

def read(delivery, *arguments, **named):
    if b"666" in delivery.body:
        re.match("(a+)+$", "a" * 64 + "b")  # for years, and no other thread has its turn
    return batch_read(delivery, *arguments, **named)

batch_read, batch.read_delivery, work.HELD_S = batch.read_delivery, read, 4
work.run(sys.argv[1], work.Worker(Vault(sys.argv[2]), PROVIDERS, ZoneInfo("UTC")), threading.Event())
"""


def test_a_delivery_whose_reading_never_ends_is_given_up(
    database_url: str, vault: Vault, encryption_key: str, item: Callable[..., dict[str, Any]]
) -> None:
    with closing(connect(database_url)) as database:
        verify_vault(database, vault)
        desk = Desk(database, vault)
        poison, *_ = [desk.lay(item(number)) for number in (666, 1, 2)]
        ended = []
        while desk.rows("SELECT FROM inbox LIMIT 1"):
            process = subprocess.Popen([sys.executable, "-c", _HANGS, database_url, encryption_key], stderr=-1)
            try:
                _wait_until(lambda: process.poll() is not None or desk.rows("SELECT FROM inbox LIMIT 1") == [])  # noqa: B023
            finally:
                process.kill()
            _, told = process.communicate()
            ended += [1] if process.returncode == 1 else []
            assert (b"in read" in told) is (process.returncode == 1)
        assert len(ended) == 3
        assert desk.rows("SELECT delivery_id FROM outcomes WHERE reason = 'processing-failed'") == [(poison,)]
        assert desk.row("SELECT count(*) FROM outcomes WHERE status = 'accepted'") == (2,)
