"""What is under way is left alone, by whichever process and whatever else goes wrong; why a job failed is told anew."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from psycopg_pool import ConnectionPool

from app.config import Settings
from app.crypto import Vault
from app.ids import IdSource
from app.jobs import Bench, Kind, sweeping
from app.jobs.bench import Database
from app.jobs.queue import open_queue
from app.jobs.sweeping import Sweeper
from app.storage.database import connect
from app.submissions.problems import SourceNotReady
from tests.jobs.test_runner import HopelessError, Work, running, until


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep as often as can be."""
    monkeypatch.setattr(sweeping, "_TICK_S", 0.05)


@pytest.fixture
def about() -> UUID:
    return IdSource().next()


class Long(Work):
    """Work that takes until all was looked for twice more."""

    looked = 0

    def find(self, database: Database, moment: datetime) -> list[UUID]:
        self.looked += 1
        return super().find(database, moment)

    async def do(self, bench: Bench, about: UUID) -> None:
        end = self.looked + 2
        while self.looked < end:  # noqa: ASYNC110 - it is a thread that looks
            await asyncio.sleep(0.02)
        await super().do(bench, about)


def test_what_is_under_way_is_not_queued_again(database_url: str, vault: Vault, about: UUID) -> None:
    work = Long(due=[about])
    with running(database_url, vault, work.kind()):
        until(lambda: work.done)
    with connect(database_url) as database:
        assert database.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (1,)


def test_a_sweep_that_goes_wrong_cuts_nothing_off(database_url: str, vault: Vault, about: UUID) -> None:
    work = Long(due=[about])

    def look(_database: Database, _moment: datetime) -> list[UUID]:
        raise HopelessError

    wrong = Kind("looks.do", look, Work().do, every=timedelta(0))
    with running(database_url, vault, wrong, work.kind()):
        until(lambda: work.done)
    assert work.tried == [about]


def test_the_job_of_a_process_that_was_heard_of_lately_is_left_to_it(
    database_url: str, vault: Vault, about: UUID
) -> None:
    async def tidy() -> None:
        with ConnectionPool[Database](database_url, min_size=1, kwargs={"autocommit": True}, open=True) as pool:
            bench = Bench(pool, vault, Settings())
            async with open_queue(database_url, [Work().kind()], bench) as queue:
                await Sweeper(queue, [], bench).tidy()

    with connect(database_url) as database:
        database.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())")
        database.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id)"
            " SELECT 'callbox', 'works.do', jsonb_build_object('id', %s::text), 'doing', id FROM procrastinate_workers",
            (str(about),),
        )
        asyncio.run(tidy())
        assert database.execute("SELECT status::text FROM procrastinate_jobs").fetchall() == [("doing",)]


def test_of_a_job_that_fails_again_the_last_reason_is_told(database_url: str, vault: Vault, about: UUID) -> None:
    work = Work(due=[about])
    work.goes_wrong = lambda _: HopelessError() if len(work.tried) < 2 else SourceNotReady("acme lacks a token")
    with running(database_url, vault, work.kind(rest=timedelta(0))), connect(database_url) as database:
        told = "SELECT FROM job_errors WHERE error = 'acme lacks a token'"
        until(lambda: database.execute(told).fetchone() is not None)
        dead = "SELECT FROM procrastinate_jobs WHERE status = 'failed'"  # at once: no other try helps
        until(lambda: database.execute(dead).fetchone() is not None)
