"""Fetches one document after another: takes it, brings the file, keeps it, and settles when to try again.

Which ways there are is told in `ways`, how far a document is in `keeping`. Interrupted at any moment it is done again:
what was stored is then found stored, under the same name.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from app import metrics
from app.accounts.model import Source
from app.documents import keeping
from app.documents.incoming import Incoming
from app.documents.keeping import MOST_RENEWALS, RENEW_EVERY, Archived, Held
from app.documents.store import StoreError, open_store
from app.documents.ways import Brought, bring
from app.ids import IdSource
from app.jobs.bench import Bench, Database
from app.jobs.kind import LIMIT, Kind
from app.providers.thinksurance.calls import ThinksuranceClient, client_for
from app.submissions.problems import SourceNotReady

_log = structlog.get_logger(__name__)

_PROLONG_SECONDS: Final = keeping.HOLD.total_seconds() / 3


class _Patience(NamedTuple):
    """How often a document is tried in a row with the same kind of trouble, and how long it waits between."""

    attempts: int
    first_wait: timedelta
    longest_wait: timedelta = timedelta(hours=1)


_AWAY = _Patience(200, timedelta(seconds=30))
"""More than a week: a platform that is away says nothing about its documents."""
_DOUBTFUL = _Patience(3, timedelta(seconds=30))
_SURE = _Patience(1, timedelta())
_PATIENCE: Final = {
    "unreachable": _AWAY,
    "timed-out": _AWAY,
    "server-failed": _AWAY,
    "store-failed": _AWAY,
    "login-refused": _Patience(200, timedelta(minutes=15)),
    "not-a-file": _DOUBTFUL,
    "refused": _DOUBTFUL,  # Thinksurance answers all its errors alike; the file may be made only now
}
_MAY_BE_THE_TOKEN: Final = frozenset({"refused", "not-found", "not-a-file", "link-refused", "no-way"})

_ids = IdSource()


async def fetch(bench: Bench, document_id: UUID) -> None:
    """Fetch a document if it is due and nobody else does."""
    held = await bench.ask(keeping.claim, bench.vault, document_id, bench.clock())
    if held is None:
        return
    source = (await bench.sources()).get(held.source_id)
    if source is None:  # disabled since it was found due
        await bench.ask(keeping.give_back, held, "no-way", "announced", bench.clock() + _AWAY.longest_wait)
        return
    async with _holding(bench, held):
        with metrics.DOCUMENT_SECONDS.time():
            brought = await _bring_and_keep(bench, held, source)
    trouble = brought.trouble
    if trouble is not None:
        state, at = settle(held, trouble, bench.clock(), renewable=bool(source.credentials.get("hash")))
        if at is not None:  # or as late as the platform asks for
            at = max(at, bench.clock() + min(timedelta(seconds=brought.wait_seconds), _AWAY.longest_wait))
        await bench.ask(keeping.give_back, held, _word(held, trouble, bench.clock()), state, at)
        if at is None:
            metrics.DOCUMENTS_GIVEN_UP.labels(source.name, state).inc()
        _log.info("document.missed", document_id=str(held.id), source=source.name, trouble=trouble, state=state)
    metrics.DOCUMENTS.labels(trouble or "archived").inc()


async def _bring_and_keep(bench: Bench, held: Held, source: Source) -> Brought:
    """Archive a document, or say what was in the way."""
    try:
        store = open_store(bench.settings)
        with Incoming(bench.settings.max_document_bytes, store.folder) as incoming:
            brought = await bring(held, source, _client(bench, source), incoming)
            if brought.trouble is not None:
                return brought
            await store.keep(incoming.file, incoming.sha256, incoming.size)
            kept = Archived(incoming.sha256, incoming.size, brought.content_type, brought.way)
    except (StoreError, OSError) as error:
        _log.warning("document.not_stored", document_id=str(held.id), error=type(error).__name__)
        return Brought(trouble="store-failed")
    if await bench.ask(keeping.archive, held, kept, bench.clock()):
        metrics.DOCUMENT_BYTES.inc(kept.size)
        _log.info("document.archived", document_id=str(held.id), source=source.name, size=kept.size, way=kept.way)
    return brought


def _client(bench: Bench, source: Source) -> ThinksuranceClient | None:
    """Return the source's client, None where it has no API user."""
    try:
        return bench.clients.get(source, client_for)
    except SourceNotReady:
        return None


@asynccontextmanager
async def _holding(bench: Bench, held: Held) -> AsyncIterator[None]:
    """Keep hold of a document as long as this lasts."""

    async def prolong() -> None:
        while True:
            await asyncio.sleep(_PROLONG_SECONDS)
            await bench.ask(keeping.prolong, held, bench.clock())

    task = asyncio.create_task(prolong())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def settle(held: Held, trouble: str, now: datetime, *, renewable: bool) -> tuple[str, datetime | None]:
    """Return the state of a document that was not had, and when it is tried again.

    Where its token has ended, that may be all that was in the way: a source that is `renewable` is asked for another
    some times before the document is given up.
    """
    patience = _PATIENCE.get(trouble, _SURE)
    if _has_ended(held, now) and trouble in _MAY_BE_THE_TOKEN:
        if renewable and held.renewals < MOST_RENEWALS:
            return "announced", now + RENEW_EVERY
        return "expired", None
    if held.attempt >= patience.attempts:
        return "failed", None
    wait = min(patience.longest_wait, patience.first_wait * 2 ** min(held.attempt - 1, 20))
    return "announced", now + wait * random.uniform(0.8, 1.2)  # noqa: S311 - so that not all come back at once


def _word(held: Held, trouble: str, now: datetime) -> str:
    return "token-ended" if _has_ended(held, now) and trouble in _MAY_BE_THE_TOKEN else trouble


def _has_ended(held: Held, now: datetime) -> bool:
    return held.token_expires_at is not None and held.token_expires_at <= now


async def renew(bench: Bench, source_id: UUID) -> None:
    """Have the tokens of a source's documents renewed that end soon, by pulls of their inquiries."""
    count = await bench.ask(keeping.want_tokens, _ids, source_id, bench.clock())
    _log.info("documents.renewal_wanted", source_id=str(source_id), inquiries=count)


def _due(database: Database, now: datetime) -> list[UUID]:
    return keeping.find_due(database, now, LIMIT)


def _renewable(database: Database, now: datetime) -> list[UUID]:
    keeping.take_up(database, now)  # here, for this is asked once a minute
    return keeping.find_sources_to_renew(database, now, LIMIT)


FETCH: Final = Kind(
    "documents.fetch", _due, fetch, every=timedelta(seconds=1), rest=timedelta(minutes=5), queue="callbox-documents"
)
RENEW: Final = Kind("documents.renew", _renewable, renew)
