"""Runs the processor: one is active, any number stand by, and all of them come back after the database was away.

What processing does is told in `processor`; the process around it is `app.server`'s.
"""

import faulthandler
import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Protocol
from uuid import UUID

import structlog

from app.accounts.model import Source
from app.accounts.sealing import Sealer
from app.accounts.snapshot import read_accounts
from app.accounts.version import VERSION_QUESTION
from app.crypto import Vault
from app.ingest.contract import Provider
from app.processing.batch import Circumstances
from app.processing.faults import Doubts
from app.processing.matching import LOOK_S
from app.processing.meanwhile import BusyConnection
from app.processing.processor import DatabaseTroubleError, Processor
from app.processing.record_rows import Database
from app.storage.database import CONNECT_TIMEOUT_S
from app.times import now

POLL_S = 0.05
# A batch holds some hundred thousand objects for a moment, hardly one of them in a circle: to look through them for
# garbage at each seven hundredth took a fifth of the time.
_COLLECT_AFTER = 400_000
WATCH_S = 1.0
STANDBY_S = 1.0
HELD_S = 600.0
_STDERR = 2
MOST_DRIFT = timedelta(hours=1)
_COUNTED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps, where there is one
ACTIVE_LOCK = 0x70726F6365  # "proce": held by the active processor on the connection it writes with
# All it asks for is found by key. A plan made while a table was small must not go on reading all of it later:
# on a new database at 200 a second that took the time until an event is readable from 70 ms to 350 ms (median).
# Planned once: to plan over all months takes longer than to find a few rows in one of them.
_BY_KEY = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan"
OPTIONS = (
    _BY_KEY + " -c timezone=UTC"
    " -c synchronous_commit=on -c jit=off -c lock_timeout=30s -c statement_timeout=300s"
    " -c idle_in_transaction_session_timeout=300s -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2"
    " -c tcp_keepalives_count=2"
)

_log = structlog.get_logger(__name__)


class Progress(Protocol):
    """What is told of the work, for metrics."""

    def processed(self, deliveries: int, seconds: float) -> None:
        """Take note of a batch."""


class _Silent:
    def processed(self, deliveries: int, seconds: float) -> None:
        """Take no note."""


class _KnownSources:
    """The sources as the processor sees them: read again when their version has changed."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._version: object = self
        self._sources: Mapping[UUID, Source] = {}

    def __call__(self) -> Mapping[UUID, Source]:
        row = self._database.execute(VERSION_QUESTION).fetchone()
        version = row[0] if row else None
        if version != self._version:
            self._sources = read_accounts(self._database, self._vault).sources
            self._version = version
        return self._sources


@dataclass(frozen=True, slots=True)
class Worker:
    """What a processor is given besides its connection."""

    vault: Vault
    providers: Mapping[str, Provider]
    zone: tzinfo
    progress: Progress = field(default_factory=_Silent)
    keep_months: int | None = None
    clock: Callable[[], datetime] = now

    def on(self, database: Database, doubts: Doubts | None = None) -> Processor:
        """Return the processor that works over a connection, with the doubts of the one before."""
        sources = _KnownSources(database, self.vault)
        given = lambda: Circumstances(self.providers, sources(), self.vault, self.zone)  # noqa: E731 - asked anew each time
        return Processor(database, given, self.keep_months, self.clock, doubts)


class _Clocks:
    """Sees whether the clock goes as time does: by one that has jumped ahead every month would be an old one."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._begun_at = clock()
        self._begun = time.clock_gettime(_COUNTED)
        self._has_told = False

    def agree(self) -> bool:
        """Tell whether it did so since this was made; says once that it did not."""
        passed = timedelta(seconds=time.clock_gettime(_COUNTED) - self._begun)
        drift = self._clock() - self._begun_at - passed
        is_well = abs(drift) <= MOST_DRIFT
        if not is_well and not self._has_told:
            _log.error("clock.jumped", seconds=round(drift.total_seconds()))
        self._has_told = not is_well
        return is_well


def run(url: str, worker: Worker, stop: threading.Event) -> None:
    """Process what comes until `stop` is set; waits for its turn while another processor is active."""
    gc.set_threshold(_COLLECT_AFTER)
    clocks, doubts = _Clocks(worker.clock), Doubts()
    interrupted: Sequence[UUID] = ()
    told = ""
    while not stop.is_set():
        _come_round()
        try:
            with closing(_connect(url)) as database:
                told = ""
                if _stand_by(database, stop):
                    processor = worker.on(database, doubts)
                    database.meanwhile = processor.read_ahead
                    processor.forgive(interrupted)
                    interrupted = ()
                    _be_active(processor, Sealer(database, worker.vault), worker.progress, clocks, stop)
        except Exception as error:  # noqa: BLE001 - the loop outlives whatever one turn meets; nothing is lost by it
            interrupted = error.ids if isinstance(error, DatabaseTroubleError) else interrupted
            name = type(error.__cause__ or error).__name__
            if name != told:  # a database that is away is told once
                _log.warning("processor.interrupted", error=name)
            told = name
            stop.wait(STANDBY_S)
    faulthandler.cancel_dump_traceback_later()


def _come_round() -> None:
    """Have this process end, and be started again, where this is not called again in time.

    So ends what neither answers nor fails, be it the reading of a delivery, which counts as an attempt, or a proxy.
    """
    faulthandler.dump_traceback_later(HELD_S, exit=True, file=_STDERR)


def _connect(url: str) -> BusyConnection:
    return BusyConnection.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, options=OPTIONS)


def _stand_by(database: Database, stop: threading.Event) -> bool:
    """Wait for the lock of the active processor; tell whether it was had before `stop`."""
    _log.debug("processor.standing_by")
    while not stop.is_set():
        _come_round()
        row = database.execute("SELECT pg_try_advisory_lock(%s)", (ACTIVE_LOCK,)).fetchone()
        if row and row[0]:
            _log.info("processor.activated")
            return True
        stop.wait(STANDBY_S)
    return False


def _be_active(
    processor: Processor, sealer: Sealer, progress: Progress, clocks: _Clocks, stop: threading.Event
) -> None:
    """Process batch after batch; with nothing left in the inbox, begin the next one 50 ms after this one.

    Also where deliveries never cease: a batch of ten costs three times as much for each of them as one of hundreds.
    Once a second look after the rest.
    Old months are dropped while the inbox is empty, and a little each second also where it never is; none as long as
    the clock is another than it was.
    """
    matched_at, watched_at = -LOOK_S, -WATCH_S
    while not stop.is_set():
        begun = time.perf_counter()
        if begun - matched_at >= LOOK_S:
            processor.match()
            matched_at = begun
        if begun - watched_at >= WATCH_S:
            _come_round()
            processor.look_after(sealer)
            if clocks.agree():
                processor.drop_old()
            watched_at = begun
        done = processor.step()
        if done:
            progress.processed(done, time.perf_counter() - begun)
        elif clocks.agree() and processor.drop_old():
            continue
        if not done or not processor.is_behind:
            stop.wait(max(0.0, POLL_S - (time.perf_counter() - begun)))
    processor.finish()
