"""Jobs with the real queue: what is due is done once, tried again, given up, and taken up by hand."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from app.config import Settings
from app.crypto import Vault
from app.ids import IdSource
from app.jobs import Bench, Kind, runner
from app.jobs.bench import Database, Turns
from app.jobs.queue import open_queue
from app.jobs.runner import JOBS_AT_ONCE, run_jobs
from app.jobs.sweeping import Sweeper
from app.providers.calling import ServerFailedError
from app.storage.database import connect
from app.times import now


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
def running(url: str, vault: Vault, *kinds: Kind) -> Iterator[None]:
    """Run jobs in a thread, as the work process does, and see that they stop in time."""
    stop = threading.Event()
    thread = threading.Thread(target=run_jobs, args=(url, vault, Settings(), kinds, stop), daemon=True)
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


def test_after_a_call_that_failed_a_source_is_left_alone_as_well() -> None:
    pause = 0.3

    async def fail_and_ask() -> float:
        turns, source_id = Turns(pause), UUID(int=1)
        begun = time.monotonic()
        with suppress(HopelessError):
            async with turns.take(source_id):
                raise HopelessError
        async with turns.take(source_id):
            return time.monotonic() - begun

    assert asyncio.run(fail_and_ask()) >= pause


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


@pytest.mark.parametrize(("asked_for", "wait"), [(1800.0, 1800), (86_400.0, 3600)])
def test_a_platform_that_wants_to_be_left_alone_is_so_for_an_hour_at_most(
    asked_for: float, wait: int, database_url: str, vault: Vault, ids: list[UUID]
) -> None:
    busy = ServerFailedError("test.call", "answered 429", wait_seconds=asked_for)
    work = Work(due=ids[:1], goes_wrong=lambda _: busy)
    begun = now()
    with running(database_url, vault, work.kind()), connect(database_url) as database:
        until(lambda: database.execute("SELECT FROM procrastinate_jobs WHERE attempts = 1").fetchone() is not None)
        question = "SELECT extract(epoch FROM scheduled_at - %s)::float8 FROM procrastinate_jobs"
        waits = [float(str(row[0])) for row in database.execute(question, (begun,))]
    assert [0 <= seconds - wait < 300 for seconds in waits] == [True]


def test_the_wait_grows_with_each_attempt_until_the_last_and_no_error_tells_a_value(
    database_url: str, vault: Vault, ids: list[UUID]
) -> None:
    work = Work(goes_wrong=lambda _: psycopg.errors.DataError("invalid input: Erika Beispiel"))
    begun = now()
    with connect(database_url) as database:
        for attempts, one in enumerate(ids, 2):
            database.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args, attempts)"
                " VALUES ('callbox', 'works.do', jsonb_build_object('id', %s::text), %s)",
                (str(one), attempts),
            )
        with running(database_url, vault, work.kind(attempts=6)):
            until(lambda: database.execute("SELECT sum(attempts) FROM procrastinate_jobs").fetchone() == (25,))
        rows = database.execute(
            "SELECT status::text, extract(epoch FROM scheduled_at - %s)::float8 FROM procrastinate_jobs ORDER BY id",
            (begun,),
        ).fetchall()
        errors = database.execute("SELECT DISTINCT error FROM job_errors").fetchall()
    assert [row[0] for row in rows] == ["todo"] * 3 + ["failed"] * 2
    waits = [float(str(row[1])) for row in rows[:3]]
    assert [0 <= wait - least < 100 for wait, least in zip(waits, (160, 640, 2560), strict=True)] == [True] * 3
    assert errors == [("the database: DataError",)]


def test_a_job_that_the_end_of_its_process_cuts_off_is_done_by_the_next(
    database_url: str, vault: Vault, ids: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STOP_WITHIN_S", 0.1)
    work = Work(due=ids[:1])

    async def do(bench: Bench, about: UUID) -> None:
        if not work.tried:
            work.tried.append(about)
            await asyncio.Event().wait()
        await work.do(bench, about)

    kind = Kind("works.do", work.find, do, every=timedelta(0))
    with running(database_url, vault, kind):
        until(lambda: work.tried)
    with connect(database_url) as database:
        assert database.execute("SELECT status::text FROM procrastinate_jobs").fetchall() == [("todo",)]
    with running(database_url, vault, kind):
        until(lambda: work.done == ids[:1])


def test_what_is_done_is_cleared_away_after_a_day_and_what_is_dead_after_thirty(
    database_url: str, vault: Vault
) -> None:
    with connect(database_url) as database:
        for status, hours in (("succeeded", 23), ("succeeded", 25), ("failed", 29 * 24), ("failed", 31 * 24)):
            database.execute(
                "WITH made AS (INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('x', %s) RETURNING id)"
                " INSERT INTO job_errors (job_id, error, at) SELECT id, %s, now() - %s FROM made",
                (status, f"{hours}", timedelta(hours=hours)),
            )
        database.execute("UPDATE procrastinate_jobs SET status = task_name::procrastinate_job_status")
        database.execute("UPDATE procrastinate_events v SET at = e.at FROM job_errors e WHERE e.job_id = v.job_id")
        with running(database_url, vault, Work().kind()):
            until(lambda: database.execute("SELECT count(*) FROM job_errors").fetchone() != (4,))
        jobs = database.execute("SELECT id, task_name FROM procrastinate_jobs ORDER BY id").fetchall()
        errors = database.execute("SELECT job_id, error FROM job_errors ORDER BY job_id").fetchall()
    assert [row[1] for row in jobs] == ["succeeded", "failed"]
    assert errors == [(jobs[0][0], "23"), (jobs[1][0], f"{29 * 24}")]


def test_a_dead_job_is_taken_up_again_after_its_rest(database_url: str, vault: Vault, ids: list[UUID]) -> None:
    work = Work(due=ids[:1])
    work.goes_wrong = lambda _: HopelessError() if len(work.tried) < 2 else None
    with running(database_url, vault, work.kind(rest=timedelta(0))):
        until(lambda: work.done)
    assert work.tried == [ids[0]] * 2
    with connect(database_url) as database:
        assert database.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (1,)


def test_a_dead_job_that_another_process_takes_up_first_cuts_nothing_off(
    database_url: str, vault: Vault, ids: list[UUID]
) -> None:
    work, taken = Work(due=ids[1:2]), threading.Event()

    async def do(_bench: Bench, about: UUID) -> None:
        work.tried.append(about)
        while not taken.is_set():  # noqa: ASYNC110 - it is set from another thread
            await asyncio.sleep(0.02)
        work.done.append(about)

    kind = Kind("works.do", work.find, do, every=timedelta(0), rest=timedelta(0))
    with connect(database_url) as database, connect(database_url) as other, running(database_url, vault, kind):
        until(lambda: work.tried)
        lock = f"works.do:{ids[0]}"
        with other.transaction():
            other.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status)"
                " VALUES ('callbox', 'works.do', %s, %s, jsonb_build_object('id', %s::text), 'todo')",
                (lock, lock, str(ids[0])),
            )
            other.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE lock = %s", (lock,))
        with other.transaction():
            other.execute("SELECT FROM procrastinate_jobs WHERE lock = %s FOR UPDATE", (lock,))
            work.due.append(ids[0])
            waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            until(lambda: database.execute(waiting).fetchone() is not None)
            other.execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE lock = %s", (lock,))
        work.due.append(ids[2])
        until(lambda: ids[2] in work.tried)
        taken.set()
        until(lambda: ids[1] in work.done)
    assert work.tried.count(ids[1]) == 1


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


def test_a_job_that_a_clock_ahead_put_off_for_long_is_taken_up(
    database_url: str, vault: Vault, ids: list[UUID]
) -> None:
    work = Work(due=ids[:1])
    with connect(database_url) as database:
        database.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, scheduled_at)"
            " VALUES ('callbox', 'works.do', %(name)s, %(name)s, jsonb_build_object('id', %(id)s::text),"
            " now() + interval '400 days')",
            {"name": f"works.do:{ids[0]}", "id": str(ids[0])},
        )
    with running(database_url, vault, work.kind()):
        until(lambda: work.done == ids[:1])


def test_a_dead_job_that_a_clock_ahead_gave_up_is_taken_up(database_url: str, vault: Vault, ids: list[UUID]) -> None:
    work = Work(due=ids[:1])
    lock = f"works.do:{ids[0]}"
    with connect(database_url) as database:
        database.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)"
            " VALUES ('callbox', 'works.do', %s, %s, jsonb_build_object('id', %s::text))",
            (lock, lock, str(ids[0])),
        )
        database.execute("UPDATE procrastinate_jobs SET status = 'failed'")
        database.execute("UPDATE procrastinate_events SET at = now() + interval '400 days'")
    with running(database_url, vault, work.kind()):
        until(lambda: work.done == ids[:1])


def test_a_process_that_died_while_the_clock_was_ahead_is_given_up(
    database_url: str, vault: Vault, ids: list[UUID]
) -> None:
    with connect(database_url) as database:
        database.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '400 days')")
        database.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id)"
            " SELECT 'callbox', 'works.do', jsonb_build_object('id', %s::text), 'doing', id FROM procrastinate_workers",
            (str(ids[0]),),
        )

        async def tidy() -> None:
            with ConnectionPool[Database](database_url, min_size=1, kwargs={"autocommit": True}, open=True) as pool:
                bench = Bench(pool, vault, Settings())
                async with open_queue(database_url, [Work().kind()], bench) as queue:
                    await Sweeper(queue, [], bench).tidy()

        asyncio.run(tidy())
        database.execute("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - interval '31 seconds'")
        asyncio.run(tidy())
        assert database.execute("SELECT status::text FROM procrastinate_jobs").fetchall() == [("todo",)]


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


def test_a_clock_that_ran_ahead_once_stops_no_sweeps(database_url: str, vault: Vault) -> None:
    ahead = [timedelta(days=400)]
    looked: list[datetime] = []

    def look(_database: Database, moment: datetime) -> list[UUID]:
        looked.append(moment)
        return []

    async def sweep() -> None:
        kinds = [Kind("works.do", look, Work().do)]
        with ConnectionPool[Database](database_url, min_size=1, kwargs={"autocommit": True}, open=True) as pool:
            bench = Bench(pool, vault, Settings(), clock=lambda: now() + ahead[0])
            async with open_queue(database_url, kinds, bench) as queue:
                sweeping = asyncio.create_task(Sweeper(queue, kinds, bench).run())
                for count in (1, 2):
                    async with asyncio.timeout(60):
                        while len(looked) < count:  # noqa: ASYNC110 - it is a thread that looks
                            await asyncio.sleep(0.02)
                    ahead[0] = timedelta(0)
                sweeping.cancel()
                await asyncio.gather(sweeping, return_exceptions=True)

    asyncio.run(sweep())
    assert looked[0] - looked[1] > timedelta(days=300)


def test_a_sweep_that_takes_too_long_ends_no_job(database_url: str, vault: Vault, ids: list[UUID]) -> None:
    looked: list[datetime] = []
    work = Work(due=ids[:1])

    def look(database: Database, moment: datetime) -> list[UUID]:
        looked.append(moment)
        with database.transaction():
            database.execute("SET LOCAL statement_timeout = 1")
            database.execute("SELECT pg_sleep(60)")
        return []

    async def do(bench: Bench, about: UUID) -> None:
        before = len(looked)
        while len(looked) < before + 2:  # noqa: ASYNC110 - it is a thread that looks
            await asyncio.sleep(0.02)
        await work.do(bench, about)

    slow = Kind("looks.do", look, work.do, every=timedelta(0))
    with running(database_url, vault, slow, Kind("works.do", work.find, do, every=timedelta(0))):
        until(lambda: work.done)


def test_what_takes_long_keeps_nothing_of_another_queue_waiting(
    database_url: str, vault: Vault, ids: list[UUID]
) -> None:
    slow, quick = Work(due=ids), Work(due=ids[:1])

    async def do(bench: Bench, about: UUID) -> None:
        while not quick.done:  # noqa: ASYNC110 - another job of the same loop does it
            await asyncio.sleep(0.02)
        await slow.do(bench, about)

    def find(database: Database, moment: datetime) -> list[UUID]:
        return quick.find(database, moment) if slow_has_begun(database_url) else []

    files = Kind("files.fetch", slow.find, do, every=timedelta(0), queue="files")
    with running(database_url, vault, files, Kind("works.do", find, quick.do, every=timedelta(0))):
        until(lambda: len(slow.done) == len(ids))


def slow_has_begun(url: str) -> bool:
    """Tell whether as many jobs are under way as there are at once."""
    with connect(url) as database:
        row = database.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'").fetchone()
    return row == (JOBS_AT_ONCE,)
