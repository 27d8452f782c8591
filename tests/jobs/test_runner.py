"""Jobs with the real queue: what is due is done once, tried again, given up, and taken up by hand."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

import pytest

from app.config import Settings
from app.crypto import Vault
from app.ids import IdSource
from app.jobs import Bench, Kind
from app.jobs.bench import Database
from app.jobs.runner import run_jobs
from app.storage.database import connect


class HopelessError(Exception):
    """What no retry helps against."""

    retry_could_help: ClassVar[bool] = False


@dataclass
class Work:
    """What is due, what was done, and what goes wrong."""

    due: list[UUID] = field(default_factory=list)
    done: list[UUID] = field(default_factory=list)
    tried: list[UUID] = field(default_factory=list)
    goes_wrong: Callable[[UUID], Exception | None] = lambda _: None

    def find(self, _database: Database, _moment: datetime) -> list[UUID]:
        return [one for one in self.due if one not in self.done]

    async def do(self, _bench: Bench, about: UUID) -> None:
        self.tried.append(about)
        error = self.goes_wrong(about)
        if error is not None:
            raise error
        self.done.append(about)

    def kind(self, **more: object) -> Kind:
        return Kind("works.do", self.find, self.do, every=timedelta(seconds=0), **more)  # type: ignore[arg-type]


@contextmanager
def running(url: str, vault: Vault, kind: Kind) -> Iterator[None]:
    """Run jobs in a thread, as the work process does, and see that they stop in time."""
    stop = threading.Event()
    thread = threading.Thread(target=run_jobs, args=(url, vault, Settings(), (kind,), stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def until(question: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not question():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture
def ids() -> list[UUID]:
    source = IdSource()
    return [source.next() for _ in range(5)]


def test_what_is_due_is_done_once_however_often_it_is_seen(database_url: str, vault: Vault, ids: list[UUID]) -> None:
    work = Work(due=ids)
    with running(database_url, vault, work.kind()):
        until(lambda: len(work.done) == len(ids))
    assert sorted(work.tried) == ids
    with connect(database_url) as database:
        rows = database.execute("SELECT DISTINCT status::text, args - 'id' FROM procrastinate_jobs").fetchall()
    assert rows == [("succeeded", {})]


def test_a_job_that_fails_is_dead_in_the_end_with_its_reason_and_not_queued_again(
    database_url: str, vault: Vault, ids: list[UUID]
) -> None:
    work = Work(due=ids[:1], goes_wrong=lambda _: HopelessError("Erika Beispiel"))
    with running(database_url, vault, work.kind()), connect(database_url) as database:
        until(lambda: database.execute("SELECT FROM procrastinate_jobs WHERE status = 'failed'").fetchone() is not None)
        tried = len(work.tried)
        work.due.append(ids[1])
        work.goes_wrong = lambda one: HopelessError() if one == ids[0] else None
        until(lambda: work.done == [ids[1]])  # so a sweep has seen the dead one since
        errors = database.execute("SELECT error FROM job_errors").fetchall()
    assert (tried, work.tried.count(ids[0])) == (1, 1)
    assert [text.startswith("HopelessError at test_runner.py") for (text,) in errors] == [True]  # type: ignore[attr-defined]


def test_a_dead_job_is_taken_up_again_after_its_rest(database_url: str, vault: Vault, ids: list[UUID]) -> None:
    work = Work(due=ids[:1])
    work.goes_wrong = lambda _: HopelessError() if len(work.tried) < 2 else None
    with running(database_url, vault, work.kind(rest=timedelta(0))):
        until(lambda: work.done)
    assert work.tried == [ids[0]] * 2
    with connect(database_url) as database:
        assert database.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (1,)


def test_a_job_whose_process_died_is_taken_up(database_url: str, vault: Vault, ids: list[UUID]) -> None:
    work = Work()
    lock = f"works.do:{ids[0]}"
    with connect(database_url) as database:
        database.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
        database.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status, worker_id)"
            " SELECT 'callbox', 'works.do', %s, %s, jsonb_build_object('id', %s::text), 'doing', id"
            " FROM procrastinate_workers",
            (lock, lock, str(ids[0])),
        )
    with running(database_url, vault, work.kind()):
        until(lambda: work.done == [ids[0]])


def test_it_goes_on_after_the_database_cut_its_connections(database_url: str, vault: Vault, ids: list[UUID]) -> None:
    work = Work(due=ids[:1])
    with running(database_url, vault, work.kind()), connect(database_url) as database:
        until(lambda: work.done)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        work.due.append(ids[1])
        until(lambda: ids[1] in work.done)
