"""The measures of the service, for Prometheus: names, labels out of closed sets, and how they are shown.

Who counts what is told beside each; what the database knows is asked when they are shown, in `app.health`.

With several processes each writes into a file of the folder that `PROMETHEUS_MULTIPROC_DIR` names (the supervisor
makes it), so that `/metrics` of any of them shows all of them; without that variable a process shows its own.
"""

import os
from bisect import bisect_left
from collections import Counter as Numbers
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.registry import Collector

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class GroupedHistogram(Histogram):
    """A histogram that takes many values at once, for to write each one costs as much as many.

    Stands on these private parts of prometheus_client's: `_sum`, `_buckets`, `_upper_bounds`.
    """

    def observe_all(self, values: Sequence[float]) -> None:
        """Count what `observe` would count if it were called with each of the values."""
        self._sum.inc(sum(values))
        for place, number in Numbers(bisect_left(self._upper_bounds, value) for value in values).items():
            self._buckets[place].inc(number)


# --- The receiver and its writer -----------------------------------------------------------------------------------

DELIVERIES = Counter(
    "callbox_deliveries",
    "Deliveries kept, by the worst verdict and the status answered",
    ("provider", "verdict", "status"),
)
QUARANTINED = Counter(
    "callbox_quarantined_deliveries",
    "Deliveries kept of which nothing was accepted, by the reason",
    ("provider", "reason"),
)
REFUSALS = Counter("callbox_refusals", "Callbacks that were not kept, by the reason", ("reason",))
ACKNOWLEDGEMENT_SECONDS = GroupedHistogram(
    "callbox_acknowledgement_seconds", "From the last byte of a callback to its commit", buckets=_SECONDS
)
BATCH_ROWS = GroupedHistogram("callbox_batch_rows", "Deliveries in one commit of the receiver", buckets=_ROWS)
COMMIT_SECONDS = GroupedHistogram("callbox_commit_seconds", "A commit of the receiver", buckets=_SECONDS)
IN_FLIGHT_BYTES = Gauge(
    "callbox_in_flight_bytes", "Bodies that are being received or committed", multiprocess_mode="livesum"
)
SPOOL_ROWS = Gauge("callbox_spool_deliveries", "Deliveries that wait on the local disk", multiprocess_mode="livesum")
SPOOL_BYTES = Gauge("callbox_spool_bytes", "Bytes that wait on the local disk", multiprocess_mode="livesum")

# --- The processor -------------------------------------------------------------------------------------------------

PROCESSED_ROWS = Histogram("callbox_processed_rows", "Deliveries in one batch of the processor", buckets=_ROWS)
PROCESSING_SECONDS = Histogram("callbox_processing_seconds", "A batch of the processor", buckets=_SECONDS)

# --- The jobs ------------------------------------------------------------------------------------------------------

JOBS = Counter("callbox_jobs", "Attempts at jobs, by kind and whether it was done", ("kind", "outcome"))
PULLED = Counter("callbox_pulled_items", "Items that were pulled, by whether they said something new", ("news",))
JOB_SECONDS = Histogram("callbox_job_seconds", "A job that was done", buckets=(*_SECONDS, 10.0, 30.0, 60.0))


# --- Documents -----------------------------------------------------------------------------------------------------

DOCUMENTS = Counter("callbox_documents_fetched", "Attempts to fetch a document, by what came of them", ("outcome",))
DOCUMENTS_GIVEN_UP = Counter("callbox_documents_given_up", "Documents that could not be had", ("source", "state"))
DOCUMENT_BYTES = Counter("callbox_documents_bytes", "Bytes of the documents archived")
DOCUMENT_SECONDS = Histogram(
    "callbox_documents_fetch_seconds", "An attempt to fetch a document", buckets=(*_SECONDS, 10.0, 30.0, 60.0, 240.0)
)


def shown(further: Iterable[Collector] = ()) -> bytes:
    """Return all measures as Prometheus reads them, those of `further` collectors too."""
    if os.environ.get(FOLDER_VARIABLE):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
        shown_by = generate_latest(registry)
    else:
        shown_by = generate_latest(REGISTRY)
    asked = CollectorRegistry()
    for collector in further:
        asked.register(collector)
    return shown_by + generate_latest(asked)


def forget_process(pid: int) -> None:
    """Leave out what only counts as long as process `pid` lives."""
    if os.environ.get(FOLDER_VARIABLE):
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # it has no types
