"""Is the work process: runs the processor, and the jobs beside it, until it is told to stop.

What processing does is `app.processing`'s business, how jobs are done `app.jobs`'s.
"""

import gc
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

from app import metrics
from app.accounts.opening import database_of, fitting_vault, prepare_database
from app.config import ConfigError, Settings
from app.crypto import Vault, WrongKeyError
from app.log import configure_logging
from app.processing.work import Worker, run
from app.providers import PROVIDERS
from app.server.speech import CANNOT_START, refuse, speaker
from app.storage.database import DatabaseError, connect, lively
from app.storage.embedded_program import EmbeddedError
from app.storage.upkeep import Counting, Upkeep

if TYPE_CHECKING:
    from app.jobs import Kind

_JOBS_STOP_WITHIN_S = 7.0


class Measured:
    """Takes note of the processor's work for Prometheus."""

    def processed(self, deliveries: int, seconds: float) -> None:
        """Take note of a batch."""
        metrics.PROCESSED_ROWS.observe(deliveries)
        metrics.PROCESSING_SECONDS.observe(seconds)


def run_work(settings: Settings) -> None:
    """Process deliveries until SIGTERM or SIGINT; `settings` name a migrated database and the key of its secrets."""
    if settings.database_url is None or settings.encryption_key is None:
        raise ValueError("work needs DATABASE_URL and ENCRYPTION_KEY; the supervisor fills them in")
    _run(settings.database_url.get_secret_value(), Vault(settings.encryption_key.get_secret_value()), settings)


def work_alone(settings: Settings) -> int:
    """Open what the settings name, then process deliveries until SIGTERM or SIGINT; return the exit status."""
    configure_logging(settings)
    say = speaker(settings)
    try:
        with database_of(settings, say) as url:
            prepare_database(url, settings, say)
            with connect(url) as connection:
                vault = fitting_vault(connection, settings)
            say("Callbox is processing.")
            _run(url, vault, settings)
    except (ConfigError, DatabaseError, WrongKeyError, EmbeddedError) as error:
        refuse(settings, error)
        return CANNOT_START
    return 0


def _run(url: str, vault: Vault, settings: Settings) -> None:
    url, stop = lively(url), threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    jobs = threading.Thread(target=_run_jobs, args=(url, vault, settings, stop), name="jobs", daemon=True)
    jobs.start()
    threading.Thread(target=Upkeep(url).run, args=(stop,), name="partitions", daemon=True).start()
    threading.Thread(target=Counting(url).run, args=(stop,), name="counting", daemon=True).start()
    run(url, Worker(vault, PROVIDERS, settings.zone, Measured(), settings.keep_months), stop)
    jobs.join(_JOBS_STOP_WITHIN_S)


def _run_jobs(url: str, vault: Vault, settings: Settings, stop: threading.Event) -> None:
    """Do the jobs in this thread's own event loop: they wait for others most of the time.

    Imported here, for all of it is heavy and processing does without.
    """
    from app.jobs.runner import run_jobs  # noqa: PLC0415

    kinds = job_kinds()
    gc.freeze()  # what was imported stays: collecting it again and again would hold up the processor, and the end
    run_jobs(url, vault, settings, kinds, stop)


def job_kinds() -> "tuple[Kind, ...]":
    """Return all kinds of jobs there are."""
    from app.backfill import PULL, SEARCH  # noqa: PLC0415 - see above
    from app.documents.fetching import FETCH, RENEW  # noqa: PLC0415

    return (FETCH, RENEW, PULL, SEARCH)
