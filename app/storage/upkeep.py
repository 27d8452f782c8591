"""Keeps up, for as long as the work process runs, what must not fall behind: partitions ahead, and counts by the hour.

How they are made stands in `partitions`, how is counted in `counting`; `callbox migrate` makes partitions too, which is
for the role that owns the tables.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import structlog

from app.storage.counting import count_next
from app.storage.database import MIGRATION_LOCK, UnreachableError, connect
from app.storage.partitions import ensure_partitions, months_around
from app.times import now

EVERY = timedelta(hours=1)
AGAIN = timedelta(minutes=1)
COUNT_EVERY = timedelta(seconds=5)
LOCK_TIMEOUT_MS = 2000
"""How long writers and readers may be kept waiting behind us, for a lock that somebody else does not let go."""

_COUNTING_OPTIONS = "-c timezone=UTC -c jit=off -c enable_partitionwise_join=on -c synchronous_commit=off"

_PRIVILEGES = (
    "this role may not make partitions: have `callbox migrate` run as the role that owns the tables, see"
    " docs/database.md"
)

_log = structlog.get_logger(__name__)


class Counting:
    """Counts processed deliveries by the hour, a turn every few seconds; whoever asks counts the rest by itself."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._trouble: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Take turns until `stop` is set. Never raises: processing goes on without."""
        while not stop.is_set():
            trouble = self._try(stop)
            if trouble is not None and trouble != self._trouble:
                _log.warning("counting.failed", reason=trouble)
            self._trouble = trouble
            stop.wait(AGAIN.total_seconds())

    def _try(self, stop: threading.Event) -> str | None:
        """Take turns over one connection as long as it lasts; return what was in the way."""
        try:
            with connect(self._url, options=_COUNTING_OPTIONS) as connection:
                while not stop.is_set():
                    if not count_next(connection):
                        self._trouble = None
                        stop.wait(COUNT_EVERY.total_seconds())
        except UnreachableError:
            return "the database is away"
        except Exception as error:  # noqa: BLE001 - the loop must outlive what nobody thought of
            return type(error).__name__
        return None


class Upkeep:
    """Makes the partitions of a database, one turn at a time, and says once what is in the way."""

    def __init__(self, url: str, clock: Callable[[], datetime] = now) -> None:
        self._url = url
        self._clock = clock
        self._trouble: str | None = None

    def turn(self) -> bool:
        """Make what is missing; tell whether nothing is in the way. Never raises: receiving goes on without."""
        trouble = self._try()
        if trouble is not None and trouble != self._trouble:
            _log.error("partitions.not_made", reason=trouble)
        self._trouble = trouble
        return trouble is None

    def run(self, stop: threading.Event) -> None:
        """Take a turn now, every hour, and when a month begins, until `stop` is set."""
        while not stop.is_set():
            pause = self._pause() if self.turn() else AGAIN
            stop.wait(pause.total_seconds())

    def _pause(self) -> timedelta:
        moment = self._clock()
        ((_, next_month),) = months_around(moment, 0)
        return min(EVERY, next_month - moment)

    def _try(self) -> str | None:
        """Return what was in the way, None where all is made or somebody else is at it."""
        options = f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_MS}"
        try:
            with connect(self._url, options=options) as connection:
                if connection.execute("SELECT pg_try_advisory_lock(%s)", (MIGRATION_LOCK,)).fetchone() == (True,):
                    made = ensure_partitions(connection, self._clock())
                    if made:
                        _log.info("partitions.made", names=made)
        except UnreachableError:
            return "the database is away"
        except psycopg.errors.InsufficientPrivilege:
            return _PRIVILEGES
        except psycopg.errors.LockNotAvailable:
            return "somebody held a lock for too long"
        except Exception as error:  # noqa: BLE001 - the loop must outlive what nobody thought of
            return type(error).__name__
        return None
