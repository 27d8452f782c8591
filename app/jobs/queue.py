"""Opens the queue: a task of procrastinate for each kind, which does the job, counts it and says why it failed.

When a job comes into the queue is `sweeping`'s business.
"""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import procrastinate
import psycopg
import structlog
from procrastinate import jobs, retry

from app import metrics
from app.jobs.bench import Bench, Database
from app.jobs.kind import Kind
from app.providers.calling import CallError
from app.storage.database import CONNECT_TIMEOUT_S
from app.submissions.problems import SourceNotReady

_FIRST_WAIT = timedelta(seconds=10)
_LONGEST_WAIT = timedelta(hours=1)
_FACTOR = 4
_OPTIONS = "-c timezone=UTC -c jit=off -c statement_timeout=8s -c lock_timeout=5s"

_NOTE_ERROR = """
INSERT INTO job_errors (job_id, error) VALUES (%s, %s)
ON CONFLICT (job_id) DO UPDATE SET error = EXCLUDED.error, at = clock_timestamp()
"""

_log = structlog.get_logger(__name__)


class JobFailedError(Exception):
    """A job could not be done; the text says why, without what anybody sent. `wait_seconds` is a platform's wish."""

    def __init__(self, told: str, *, retry_could_help: bool, wait_seconds: float | None = None) -> None:
        super().__init__(told)
        self.retry_could_help = retry_could_help
        self.wait_seconds = wait_seconds


class BackOff(retry.BaseRetryStrategy):
    """Tries again after 10 s, then after four times as long each time, or as late as a platform asks; up to an hour."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision | None:
        """Return when to try again, None for a job that is dead."""
        if isinstance(exception, asyncio.CancelledError):  # the process ends: the next one goes on
            return retry.RetryDecision(retry_in={"seconds": 0})
        if not getattr(exception, "retry_could_help", True) or job.attempts + 1 >= self._attempts:
            return None
        asked_for = timedelta(seconds=getattr(exception, "wait_seconds", None) or 0)
        wait = min(max(_FIRST_WAIT * _FACTOR**job.attempts, asked_for), _LONGEST_WAIT)
        return retry.RetryDecision(retry_in={"seconds": int(wait.total_seconds())})


@asynccontextmanager
async def open_queue(url: str, kinds: Sequence[Kind], bench: Bench) -> AsyncIterator[procrastinate.App]:
    """Give the queue with a task for each kind."""
    connector = procrastinate.PsycopgConnector(
        conninfo=url,
        min_size=1,
        max_size=6,  # each worker keeps one to listen
        timeout=5.0,
        kwargs={"connect_timeout": CONNECT_TIMEOUT_S, "options": _OPTIONS},
    )
    app = procrastinate.App(connector=connector)
    for kind in kinds:
        task = app.task(name=kind.name, queue=kind.queue, pass_context=True, retry=BackOff(kind.attempts))
        task(_doing(kind, bench))
    async with app.open_async():
        yield app


def _doing(kind: Kind, bench: Bench) -> Callable[..., Awaitable[None]]:
    async def do(context: procrastinate.JobContext, id: str) -> None:  # noqa: A002 - what the job is about
        begun = time.monotonic()
        try:
            await kind.run(bench, UUID(id))
        except Exception as error:  # noqa: BLE001 - raised again without its text, which may hold what is personal
            failed = _failed(error)
            metrics.JOBS.labels(kind.name, "failed").inc()
            _log.warning("job.failed", kind=kind.name, job=context.job.id, about=id, error=str(failed))
            await bench.ask(_note_error, context.job.id, str(failed))
            raise failed from None
        metrics.JOBS.labels(kind.name, "done").inc()
        metrics.JOB_SECONDS.observe(time.monotonic() - begun)

    return do


def _note_error(database: Database, job_id: int | None, told: str) -> None:
    database.execute(_NOTE_ERROR, (job_id, told))


def _failed(error: Exception) -> JobFailedError:
    """Return an error whose text may be shown: a driver's or a parser's may hold what somebody sent."""
    if isinstance(error, CallError):
        return JobFailedError(str(error), retry_could_help=error.retry_could_help, wait_seconds=error.wait_seconds)
    if isinstance(error, SourceNotReady):
        return JobFailedError(error.detail or "the source is not ready", retry_could_help=False)
    if isinstance(error, JobFailedError):
        return error
    helps = getattr(error, "retry_could_help", True)
    if isinstance(error, psycopg.Error):
        return JobFailedError(f"the database: {type(error).__name__}", retry_could_help=helps)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return JobFailedError(f"{type(error).__name__} at {place}", retry_could_help=helps)
