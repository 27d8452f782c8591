"""Runs the jobs of a process: sweeps what is due into the queue, and does it, until it is told to stop.

The queue is procrastinate's; what is due, and what is done about it, is told by each `Kind`.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import procrastinate
import structlog
from psycopg_pool import ConnectionPool

from app.config import Settings
from app.crypto import Vault
from app.jobs.bench import Bench
from app.jobs.kind import Kind
from app.jobs.queue import open_queue
from app.jobs.sweeping import Sweeper
from app.storage.database import CONNECT_TIMEOUT_S

JOBS_AT_ONCE = 3
"""Of each queue."""

_MOST_CONNECTIONS = 4
STOP_WITHIN_S = 5.0
_PAUSE_S = 1.0
_LOOK_S = 0.1
_OPTIONS = "-c timezone=UTC -c jit=off -c statement_timeout=8s -c lock_timeout=5s"

_log = structlog.get_logger(__name__)


def run_jobs(url: str, vault: Vault, settings: Settings, kinds: Sequence[Kind], stop: threading.Event) -> None:
    """Do what is due until `stop` is set; comes back after the database was away. Any number of processes may."""
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)  # what matters is logged here, without tracebacks
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    while not stop.is_set():
        try:
            asyncio.run(_work(url, vault, settings, kinds, stop))
        except Exception as error:  # noqa: BLE001 - the loop outlives any turn: told, begun anew; what is due stays
            _log.warning("jobs.interrupted", error=type(error.__cause__ or error).__name__)
            stop.wait(_PAUSE_S)


async def _work(url: str, vault: Vault, settings: Settings, kinds: Sequence[Kind], stop: threading.Event) -> None:
    async with AsyncExitStack() as stack:
        pool = ConnectionPool(
            url,
            min_size=0,
            max_size=_MOST_CONNECTIONS,
            timeout=10,
            open=False,
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True, "connect_timeout": CONNECT_TIMEOUT_S, "options": _OPTIONS},
        )
        pool.open()
        stack.push_async_callback(asyncio.to_thread, pool.close)
        bench = Bench(pool, vault, settings)
        stack.push_async_callback(bench.aclose)
        queue = await stack.enter_async_context(open_queue(url, kinds, bench))
        workers = [_worker(queue, name) for name in sorted({kind.queue for kind in kinds})]
        await _until(stop, workers, Sweeper(queue, kinds, bench))


def _worker(queue: procrastinate.App, name: str) -> Coroutine[Any, Any, None]:
    return queue.run_worker_async(
        queues=[name],
        concurrency=JOBS_AT_ONCE,
        install_signal_handlers=False,
        shutdown_graceful_timeout=STOP_WITHIN_S,
        fetch_job_polling_interval=1.0,
    )


async def _until(stop: threading.Event, workers: Sequence[Coroutine[Any, Any, None]], sweeper: Sweeper) -> None:
    """Sweep and work until `stop` is set, or any of it fails."""
    tasks = [asyncio.create_task(one) for one in (_stopped(stop), sweeper.run(), *workers)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _stopped(stop: threading.Event) -> None:
    """Return once `stop` is set; a thread that waits for it could not be called back."""
    while not stop.is_set():  # noqa: ASYNC110 - it is set from a signal of another thread
        await asyncio.sleep(_LOOK_S)
