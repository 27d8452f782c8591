"""Whatever process dies under load, each acknowledged callback is stored exactly once."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.drills.ledger import LONG, ROUNDS, Load
from tests.drills.service import (
    await_ok,
    await_processed,
    embedded_path,
    embedded_url,
    given_up,
    pg_ctl,
    service,
    stored_in,
)
from tests.ports import free_port
from tests.server.test_supervisor import Running, add_source, find_postmaster, lives, serving, until

pytestmark = pytest.mark.process


def test_a_child_is_killed_again_and_again_and_the_service_ended(
    database_url: str, encryption_key: str, tmp_path: Path
) -> None:
    """In the end by a signal under load, which leaves nobody waiting."""
    path = add_source(database_url, encryption_key)
    with service(database_url, encryption_key, tmp_path) as running, Load(running.port, path) as load:
        for role in ("receiver", "work") * ROUNDS:
            load.wait_for_more()
            for child in until(lambda: running.children(role), role):  # noqa: B023 - asked at once
                os.kill(child, signal.SIGKILL)
        load.wait_for_more()
        began = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - began < (12 if LONG else 60)
    with service(database_url, encryption_key, tmp_path):
        await_processed(database_url, tmp_path / "spool")
    load.ledger.check(stored_in(database_url), f"kill -9 receiver and work in turn, {ROUNDS} times, then SIGTERM")
    assert not given_up(database_url)


def test_the_supervisor_is_killed_and_started_again(database_url: str, encryption_key: str, tmp_path: Path) -> None:
    port, rounds = free_port(), ROUNDS if LONG else 1
    named = {"database_url": database_url, "encryption_key": encryption_key, "data_dir": str(tmp_path)}
    running = Running(port, **named).await_ready()
    try:
        with Load(port, add_source(database_url, encryption_key)) as load:
            for _ in range(rounds):
                load.wait_for_more()
                children = running.children()
                running.end(signal.SIGKILL)
                until(lambda: not any(map(lives, children)), "the children ended")  # noqa: B023 - asked at once
                running = Running(port, **named).await_ready()
            load.wait_for_more()
        await_processed(database_url, tmp_path / "spool")
        load.ledger.check(stored_in(database_url), f"kill -9 supervisor, {rounds} times")
        assert not given_up(database_url)
    finally:
        running.end()


def test_the_embedded_postgres_is_killed_and_stopped_at_once(short_folder: Path) -> None:
    with serving(data_dir=str(short_folder)) as running:
        running.await_ready()
        data = short_folder / "postgres" / "data"
        with Load(running.port, embedded_path(short_folder, running.port)) as load:
            for number in range(ROUNDS):
                load.wait_for_more()
                postmaster = find_postmaster(short_folder)
                assert postmaster is not None
                if number % 2:
                    pg_ctl(data, "stop", "-m", "immediate")
                else:
                    os.kill(postmaster, signal.SIGKILL)
                until(lambda: find_postmaster(short_folder) not in {None, postmaster}, "a new one")  # noqa: B023 - asked at once
            load.wait_for_more()
        url = embedded_url(short_folder)
        await_processed(url, short_folder / "spool")
        load.ledger.check(stored_in(url), f"kill -9 PostgreSQL and pg_ctl stop -m immediate, {ROUNDS} times in turn")
        assert not given_up(url)
        assert not load.ledger.refused, "while the database was away the spool took all"
        assert not load.ledger.cut_off
        await_ok(running)
